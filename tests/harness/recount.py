"""The counters of every maildrop against a recount of its rows, and the references of every segment."""

from __future__ import annotations

from .service import Service

MAILDROPS = """
WITH live AS (
  SELECT tenant_id, account_id, count(*) n, sum(octets) o, max(uid) top FROM restante.messages GROUP BY 1, 2
), kept AS (
  SELECT tenant_id, account_id, count(*) n, sum(octets) o, max(uid) top FROM restante.expunged GROUP BY 1, 2
)
SELECT m.tenant_id, m.account_id, m.live_messages, m.live_octets, m.kept_messages, m.kept_octets, m.next_uid,
       coalesce(live.n, 0), coalesce(live.o, 0), coalesce(kept.n, 0), coalesce(kept.o, 0), greatest(live.top, kept.top, 0)
FROM restante.maildrops m
LEFT JOIN live USING (tenant_id, account_id) LEFT JOIN kept USING (tenant_id, account_id)
WHERE (m.live_messages, m.live_octets, m.kept_messages, m.kept_octets)
      IS DISTINCT FROM (coalesce(live.n, 0), coalesce(live.o, 0), coalesce(kept.n, 0), coalesce(kept.o, 0))
   OR m.next_uid <= greatest(live.top, kept.top, 0)
"""

SEGMENTS = """
WITH rows AS (
  SELECT segment_id, count(*) n FROM
    (SELECT segment_id FROM restante.messages UNION ALL SELECT segment_id FROM restante.expunged) each GROUP BY 1
)
SELECT s.segment_id, s.state, s.refs, coalesce(rows.n, 0) FROM restante.segments s LEFT JOIN rows USING (segment_id)
WHERE s.refs <> coalesce(rows.n, 0)
UNION ALL
SELECT rows.segment_id, NULL, NULL, rows.n FROM rows LEFT JOIN restante.segments s USING (segment_id) WHERE s IS NULL
"""

GUIDS = """
SELECT guid, count(*) FROM (SELECT guid FROM restante.messages UNION ALL SELECT guid FROM restante.expunged) each
GROUP BY 1 HAVING count(*) > 1
"""


def problems(service: Service) -> list[str]:
    """Every maildrop whose counters are not its rows', every segment whose refs are not, every guid that is there twice."""
    return [
        f"{name}: {row}"
        for name, query in (("maildrop", MAILDROPS), ("segment", SEGMENTS), ("guid", GUIDS))
        for row in service.sql(query)
    ]
