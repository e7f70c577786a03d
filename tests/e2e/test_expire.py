"""Mail expires as the policy says (RFC 2449 section 6.7): the worker executes what CAPA tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import recount
from harness.process import wait_until
from harness.service import Embedded
from harness.tenants import new_tenant

# The first two of each maildrop came 31 days ago: a guid begins with its time.
AGE = """
UPDATE restante.messages
   SET guid = (lpad(to_hex(floor(extract(epoch FROM now() - interval '31 days') * 1000)::bigint), 12, '0')
               || right(replace(guid::text, '-', ''), 20))::uuid
 WHERE uid <= 2
"""


@pytest.mark.timeout(180)
def test_mail_expires_as_the_policy_says(tmp_path: Path) -> None:
    service = Embedded(tmp_path / "data")
    service.start(env={"RESTANTE_WORKER__EXPIRE_INTERVAL_SECONDS": "1", "RESTANTE_POP3__ANNOUNCED_EXPIRE_DAYS": "30"})
    try:
        tenant = new_tenant(service)
        kept, expiring, untouched = (tenant.add(name) for name in ("kept", "expiring", "untouched"))
        for address in (kept, expiring, untouched):
            for number in range(1, 4):
                service.deliver([address], b"Subject: message %d\r\n\r\ntext\r\n" % number)
        service.sql(AGE)
        service.api.call("PATCH", f"/v1/accounts/{kept}", {"policy": {"expire_days": "never"}})

        def left(address: str) -> int:
            return service.api.get(f"/v1/accounts/{address}/usage")["messages"]

        with service.open(expiring, tenant.password) as session:
            before = session.uidl()
            assert len(before) == 3
            service.api.call("PATCH", f"/v1/domains/{tenant.domain}", {"policy": {"expire_days": 30}})
            wait_until("two messages expire", lambda: left(expiring) == 1 and left(untouched) == 1, 30)
            # The session sees to its end what it saw at its beginning.
            assert session.uidl() == before
            assert b"Subject: message 1\r\n" in session.retr(1)
            session.dele(1)
            session.dele(3)
            session.quit()
        for address, count, told in (
            (expiring, 0, "EXPIRE 30"),
            (untouched, 1, "EXPIRE 30"),
            (kept, 3, "EXPIRE NEVER"),
        ):
            with service.open(address, tenant.password) as session:
                assert session.stat()[0] == count
                assert told in session.multi("CAPA")
                session.quit()
        expired = "SELECT count(*) FROM restante.expunged x JOIN restante.sessions s USING (tenant_id, session_uuid)"
        assert service.sql(f"{expired} WHERE s.outcome = 2") == [["4"]]
        assert service.sql(f"{expired} WHERE s.outcome = 0") == [["1"]], "what had expired is not expunged again"
        assert recount.problems(service) == []
    finally:
        service.stop()
