"""What a look-up and a page cost beside a thousand accounts and beside a million. Only in the long campaigns: it is a measurement."""

from __future__ import annotations

import datetime
import http.client
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.api import Api
from harness.service import Embedded

GUIDE = Path(__file__).parents[2] / "docs" / "admin-api.md"
FEW, MANY = 1_000, 1_000_000
ROUNDS = 300

# Without the checks of references, and in one go: over HTTP it would take a day.
FILL = """
SET session_replication_role = replica;
INSERT INTO restante.accounts (tenant_id, domain_id, local_part, scram_salt)
SELECT d.tenant_id, d.domain_id, 'u' || lpad(n::text, 7, '0'), '\\x00112233445566778899aabbccddeeff'
  FROM restante.domains d, generate_series(0, {count} - 1) n WHERE d.name = '{domain}';
INSERT INTO restante.addresses (tenant_id, domain_id, local_key, account_id)
SELECT a.tenant_id, a.domain_id, a.local_part, a.account_id
  FROM restante.accounts a JOIN restante.domains d USING (tenant_id, domain_id) WHERE d.name = '{domain}';
INSERT INTO restante.maildrops (tenant_id, account_id)
SELECT a.tenant_id, a.account_id FROM restante.accounts a JOIN restante.domains d USING (tenant_id, domain_id) WHERE d.name = '{domain}';
"""


class Client:
    """One connection that stays: what is measured is the request."""

    def __init__(self, api: Api) -> None:
        host, _, port = api.url.removeprefix("http://").partition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.headers = {"Authorization": f"Bearer {api.token}"}

    def seconds(self, path: str) -> float:
        begun = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - begun
        assert answer.status == 200, body
        return took


@pytest.mark.only_soak
@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_accounts_cost_what_a_thousand_do(tmp_path: Path) -> None:
    with Embedded(tmp_path / "data") as service:
        service.stop()
        service.start(env={"RESTANTE_ADMIN__RATE_LIMIT__PER_CALLER": "0"})
        api = service.api
        for slug, count in (("few", FEW), ("many", MANY)):
            api.create_tenant(slug)
            api.create_domain(f"{slug}.test", slug)
            service.sql(FILL.format(count=count, domain=f"{slug}.test"))
        service.sql("VACUUM (ANALYZE)")
        keys = {slug: api.with_token(api.create_key("own", slug, "tenant-admin")["secret"]) for slug in ("few", "many")}
        figures = measure(keys)
    rows = ["| | 1 000 accounts | 1 000 000 accounts | × |", "| --- | --: | --: | --: |"]
    rows += [
        f"| {what} | {few * 1000:.2f} ms | {many * 1000:.2f} ms | {many / few:.2f} |"
        for what, (few, many) in figures.items()
    ]
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    write(
        "cost",
        f"Medians of {ROUNDS} requests each, in turn, over one connection; debug build, {today}.\n\n"
        + "\n".join(rows)
        + "\n",
    )
    for what, (few, many) in figures.items():
        assert many <= 2 * few, (what, few, many)


def measure(keys: dict[str, Api]) -> dict[str, tuple[float, float]]:
    """The medians of each question, with few and with many; asked in turn, so that what else goes on hits both alike."""
    sizes = {"few": FEW, "many": MANY}

    cursors = {slug: deep_cursor(keys[slug], sizes[slug]) for slug in keys}
    questions: dict[str, Callable[[str, int], str]] = {
        "look up an account": lambda slug, n: f"/v1/accounts/u{n * 7919 % sizes[slug]:07}@{slug}.test",
        "look up what is not there": lambda slug, n: f"/v1/accounts?domain=x{n}.test",
        "the first page of 100": lambda slug, n: "/v1/accounts?limit=100",
        "a page of 100 nearly at the end": lambda slug, n: f"/v1/accounts?limit=100&cursor={cursors[slug]}",
        "the first page of a domain": lambda slug, n: f"/v1/accounts?limit=100&domain={slug}.test",
        "its domain": lambda slug, n: f"/v1/domains/{slug}.test",
        "what it uses": lambda slug, n: f"/v1/accounts/u{n * 7919 % sizes[slug]:07}@{slug}.test/usage",
    }
    clients = {slug: Client(api) for slug, api in keys.items()}
    found = {}
    for what, path in questions.items():
        took: dict[str, list[float]] = {slug: [] for slug in clients}
        for n in range(ROUNDS + 20):
            for slug, client in clients.items():
                took[slug].append(client.seconds(path(slug, n)))
        few, many = (statistics.median(took[slug][20:]) for slug in ("few", "many"))
        found[what] = (few, many)
    return found


def deep_cursor(api: Api, size: int) -> str:
    """The cursor 200 accounts before the end, by walking there in the largest steps."""
    cursor = ""
    seen = 0
    while True:
        step = min(500, size - 200 - seen)
        page = api.get(f"/v1/accounts?limit={step}{cursor}")
        seen += len(page["items"])
        cursor = f"&cursor={page['next_cursor']}"
        if seen >= size - 200:
            return str(page["next_cursor"])


def write(mark: str, text: str) -> None:
    """Replaces what stands between two marks of the guide."""
    before, _, rest = GUIDE.read_text().partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- /{mark} -->")
    GUIDE.write_text(f"{before}<!-- {mark} -->\n{text}<!-- /{mark} -->{after}")
