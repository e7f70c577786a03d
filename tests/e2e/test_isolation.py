"""A tenant never sees another's data: by the API, by POP3, in the database."""

from __future__ import annotations

import contextlib
import subprocess
from typing import Any

import pytest

from harness import postgres
from harness.api import Api, Problem
from harness.lmtp import Lmtp
from harness.pop3 import Refused
from harness.service import Cluster, Service
from harness.tenants import Tenant, new_tenant

MESSAGE = b"Subject: private\r\n\r\nHello.\r\n"


class Pair:
    """Two tenants that are alike; `api` has the key of the first."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.mine, self.theirs = new_tenant(service), new_tenant(service)
        for tenant in (self.mine, self.theirs):
            tenant.add("ada")
            service.api.create_alias(f"info@{tenant.domain}", [f"ada@{tenant.domain}"])
            service.deliver([f"ada@{tenant.domain}"], MESSAGE)
        self.issued = {
            tenant.slug: service.api.create_key("ci", tenant.slug, "tenant-admin")
            for tenant in (self.mine, self.theirs)
        }
        self.api: Api = service.api.with_token(self.issued[self.mine.slug]["secret"])


@pytest.fixture(scope="module")
def pair(service: Service) -> Pair:
    return Pair(service)


def test_lists_hold_what_is_ones_own(pair: Pair) -> None:
    mine = pair.mine
    assert [each["slug"] for each in pair.api.items("/v1/tenants")] == [mine.slug]
    assert [each["name"] for each in pair.api.items("/v1/domains")] == [mine.domain]
    assert [each["address"] for each in pair.api.items("/v1/accounts")] == [f"ada@{mine.domain}"]
    assert [each["address"] for each in pair.api.items("/v1/aliases")] == [f"info@{mine.domain}"]
    assert {each["tenant"] for each in pair.api.items("/v1/api-keys")} == {mine.slug}
    for path in ("/v1/accounts", "/v1/domains", "/v1/aliases"):
        try:
            assert pair.api.items(f"{path}?tenant={pair.theirs.slug}") == []
        except Problem as problem:
            assert problem.status == 404


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/tenants/{slug}", None),
    ("PATCH", "/v1/tenants/{slug}", {"name": "Mine now"}),
    ("GET", "/v1/tenants/{slug}/usage", None),
    ("GET", "/v1/domains/{domain}", None),
    ("PATCH", "/v1/domains/{domain}", {"policy": {"over_quota": "defer"}}),
    ("DELETE", "/v1/domains/{domain}", None),
    ("GET", "/v1/accounts/ada@{domain}", None),
    ("PATCH", "/v1/accounts/ada@{domain}", {"status": "suspended"}),
    ("DELETE", "/v1/accounts/ada@{domain}", None),
    ("GET", "/v1/accounts/ada@{domain}/usage", None),
    ("GET", "/v1/accounts/ada@{domain}/messages", None),
    ("POST", "/v1/accounts/ada@{domain}/messages", MESSAGE),
    ("GET", "/v1/accounts/ada@{domain}/messages/expunged", None),
    ("POST", "/v1/accounts/ada@{domain}/messages/restore", {"since": "2026-01-01T00:00:00Z"}),
    ("GET", "/v1/accounts/ada@{domain}/sessions", None),
    ("PUT", "/v1/accounts/ada@{domain}/password", {"password": "a new password"}),
    ("GET", "/v1/accounts/ada@{domain}/app-passwords", None),
    ("POST", "/v1/accounts/ada@{domain}/app-passwords", {"name": "spy"}),
    ("GET", "/v1/aliases/info@{domain}", None),
    ("PATCH", "/v1/aliases/info@{domain}", {"targets": ["ada@{own}"]}),
    ("DELETE", "/v1/aliases/info@{domain}", None),
    ("DELETE", "/v1/api-keys/{key}", None),
]


def answer(api: Api, method: str, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
    """Status, problem and the headers that may tell something."""
    kind = "message/rfc822" if isinstance(body, bytes) else "application/json"
    try:
        api.call(method, path, body, content_type=kind)
    except Problem as problem:
        told = {name: value for name, value in problem.headers.items() if name in ("etag", "location", "allow")}
        return problem.status, problem.body, told
    return 200, None, {}


@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{method} {path}" for method, path, _ in CALLS])
def test_foreign_and_missing_answer_alike(pair: Pair, method: str, path: str, body: Any) -> None:
    """Word for word, apart from the name that was asked for; and nothing happens."""
    if isinstance(body, dict) and "targets" in body:
        body = {"targets": [f"ada@{pair.mine.domain}"]}
    foreign = {"slug": pair.theirs.slug, "domain": pair.theirs.domain, "key": pair.issued[pair.theirs.slug]["id"]}
    missing = {"slug": "tenantx", "domain": "tenantx.test", "key": "key_999999"}
    answers = []
    for names in (foreign, missing):
        status, problem, told = answer(pair.api, method, path.format(**names), body)
        assert isinstance(problem, dict)
        del problem["request_id"]
        text = repr(sorted(problem.items()))
        for name, value in names.items():
            text = text.replace(value, f"<{name}>")
        answers.append((status, text, told))
    assert answers[0][0] in (403, 404), answers[0]
    assert answers[0] == answers[1]


def test_the_other_tenant_is_untouched(pair: Pair) -> None:
    """After all those calls (this test comes after them in the file)."""
    api, theirs = pair.service.api, pair.theirs
    account = api.account(f"ada@{theirs.domain}")
    assert account["status"] == "active"
    assert api.get(f"/v1/aliases/info@{theirs.domain}")["targets"] == [f"ada@{theirs.domain}"]
    with pair.service.open(f"ada@{theirs.domain}", theirs.password) as session:
        assert session.stat()[0] == 1
        session.quit()
    assert pair.service.api.with_token(pair.issued[theirs.slug]["secret"]).items("/v1/domains")


def test_a_tenants_key_makes_nothing_outside(pair: Pair) -> None:
    api, theirs = pair.api, pair.theirs
    for path, body in (
        ("/v1/accounts", {"address": f"spy@{theirs.domain}"}),
        ("/v1/aliases", {"address": f"spy@{theirs.domain}", "targets": [f"ada@{pair.mine.domain}"]}),
        ("/v1/aliases", {"address": f"spy@{pair.mine.domain}", "targets": [f"ada@{theirs.domain}"]}),
        ("/v1/tenants", {"slug": "spy", "name": "Spy"}),
        ("/v1/api-keys", {"name": "spy", "tenant": theirs.slug, "role": "tenant-admin"}),
        ("/v1/api-keys", {"name": "spy", "role": "platform-admin"}),
        ("/v1/domains", {"name": "spy.test", "tenant": theirs.slug}),
    ):
        with pytest.raises(Problem) as refused:
            api.post(path, body)
        assert refused.value.status in (403, 404, 409, 422), (path, body, refused.value)
    # The other's domain can be claimed, which occupies nothing: no mail, no login, and the owner notices nothing.
    api.create_domain(theirs.domain, pair.mine.slug)
    taken = f"taken@{theirs.domain}"
    with contextlib.suppress(Problem):
        api.create_account(taken, pair.mine.password)
        api.create_account(f"ada@{theirs.domain}", "the claimant's password")
    with Lmtp(pair.service.lmtp) as session:
        assert session.deliver("s@sender.test", [taken], MESSAGE)[0].code == 550
    for address, password in ((taken, pair.mine.password), (f"ada@{theirs.domain}", "the claimant's password")):
        with pytest.raises(Refused, match=r"\[AUTH\]"):
            pair.service.open(address, password)
    pair.service.deliver([f"ada@{theirs.domain}"], MESSAGE)
    with pair.service.open(f"ada@{theirs.domain}", theirs.password) as session:
        assert session.stat()[0] == 2
        session.quit()


@pytest.mark.parametrize("role", ["pop3", "lmtp"])
def test_frontends_have_no_table(cluster: Cluster, role: str) -> None:
    """What a stolen password of a frontend's database role can read: no table at all."""
    tables = [
        row[0]
        for row in cluster.sql(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'restante' AND relkind IN ('r', 'p')"
        )
    ]
    assert len(tables) > 10
    for table in tables:
        for statement in (f"SELECT 1 FROM restante.{table} LIMIT 1", f"DELETE FROM restante.{table}"):
            assert "permission denied" in as_role(cluster, role, statement), (role, table)


def test_the_admin_role_sees_no_tenant_unless_one_is_set(cluster: Cluster) -> None:
    new_tenant(cluster).add("ada")
    seen = as_role(cluster, "admin", "SELECT count(*) FROM restante.accounts")
    assert seen.strip() == "0", seen


def test_the_worker_cannot_read_credentials(cluster: Cluster) -> None:
    assert "permission denied" in as_role(cluster, "worker", "SELECT 1 FROM restante.credentials LIMIT 1")


def as_role(cluster: Cluster, role: str, statement: str) -> str:
    done = subprocess.run(
        [postgres.binaries() / "psql", "-XqAt", "-h", cluster.postgres.dir, "-U", f"restante_{role}", "-d", "postgres", "-c", statement],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_every_process_has_its_own_database_role(cluster: Cluster, tenant: Tenant) -> None:
    rows = cluster.sql(
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    users = {row[0] for row in rows}
    assert {"restante_pop3", "restante_lmtp", "restante_admin", "restante_worker"} <= users
    assert users <= {"restante_pop3", "restante_lmtp", "restante_admin", "restante_worker", "postgres"}
