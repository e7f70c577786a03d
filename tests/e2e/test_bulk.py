"""Bulk: accounts by the thousand while workers die, mail of another server through the API, and a tenant moved elsewhere whole."""

from __future__ import annotations

import io
import json
import socketserver
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import corpus
from harness import octets, recount, report
from harness.api import Problem
from harness.dovecot import PASSWORD, OldServer
from harness.process import wait_until
from harness.service import Cluster, binary
from harness.tenants import Tenant, new_tenant

SECRET = "correct horse battery"
PLAIN = [m.octets for m in corpus.messages() if b"\r" not in m.octets.replace(b"\r\n", b"") and b"\0" not in m.octets]
PLAIN = [text for text in PLAIN if b"\n." not in text.replace(b"\r\n", b"") and 0 < len(text) < 300_000]


@pytest.fixture
def tenant(cluster: Cluster) -> Tenant:
    return new_tenant(cluster)


def hashed(password: str) -> str:
    """As another server keeps it."""
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    return "{SHA512-CRYPT}" + made.stdout.strip()


def body(tenant: Tenant, count: int, password_hash: str) -> tuple[bytes, dict[int, tuple[str, str]]]:
    """Lines of an import, one in a hundred of them bad, and what is wrong with those."""
    lines, wrong = [], {}
    for number in range(1, count + 1):
        line: dict[str, Any] = {"address": f"user{number}@{tenant.domain}", "password_hash": password_hash}
        line["quota"] = {"octets": 10_000_000 + number}
        if number % 10 == 5:
            line["aliases"] = [f"also{number}@{tenant.domain}"]
        if number % 100 == 0:
            kind = number // 100 % 4
            if kind == 0:
                line["address"], fault = f"user{number}@nowhere.test", ("/address", "not_found")
            elif kind == 1:
                line["password_hash"], fault = "{MD5}x", ("/password_hash", "invalid")
            elif kind == 2:
                line["address"], fault = f"user{number - 1}@{tenant.domain}", ("/address", "duplicate")
            else:
                line["colour"], fault = "red", ("/colour", "unknown_field")
            wrong[number] = fault
        lines.append(json.dumps(line))
    return "\n".join(lines).encode(), wrong


def post(cluster: Cluster, lines: bytes, query: str) -> dict[str, Any]:
    return cluster.api.call("POST", f"/v1/imports{query}", lines, content_type="application/x-ndjson")


def progress(cluster: Cluster, job: dict[str, Any]) -> dict[str, Any]:
    return cluster.api.get(f"/v1/imports/{job['id']}")


def ended(cluster: Cluster, job: dict[str, Any], seconds: float = 120) -> dict[str, Any]:
    wait_until(f"{job['id']} has ended", lambda: progress(cluster, job)["ended_at"] is not None, seconds)
    found = progress(cluster, job)
    assert found["state"] == "done", found
    return found


def counts(job: dict[str, Any]) -> tuple[int, int, int]:
    return job["progress"]["made"], job["progress"]["unchanged"], job["progress"]["failed"]


def errors(cluster: Cluster, job: dict[str, Any], limit: int = 7) -> dict[int, tuple[str, str]]:
    """All of them, in pages."""
    found, cursor = {}, ""
    while True:
        page = cluster.api.get(f"/v1/imports/{job['id']}/errors?limit={limit}{cursor}")
        found.update({error["line"]: (error["pointer"], error["code"]) for error in page["items"]})
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_an_import_outlives_its_workers(cluster: Cluster, tenant: Tenant) -> None:
    lines, wrong = body(tenant, 2_000, hashed(SECRET))
    tried = ended(cluster, post(cluster, lines, f"?tenant={tenant.slug}&dry_run=true"))
    assert (counts(tried), tried["dry_run"]) == ((1_980, 0, 20), True)
    assert errors(cluster, tried) == wrong
    assert cluster.api.get(f"/v1/accounts?tenant={tenant.slug}")["items"] == []

    job = post(cluster, lines, f"?tenant={tenant.slug}")
    for least in (1, 800):
        wait_until("some lines are done", lambda least=least: progress(cluster, job)["progress"]["done"] >= least, 60)
        cluster.kill("worker")
        assert progress(cluster, job)["state"] == "running", "it was killed too late to prove anything"
        cluster.start("worker")
    job = ended(cluster, job)
    assert counts(job) == (1_980, 0, 20)
    assert errors(cluster, job) == wrong
    made = cluster.sql(
        "SELECT count(*), count(DISTINCT target) FROM restante.audit_events e JOIN restante.tenants t USING (tenant_id)"
        f" WHERE t.slug = '{tenant.slug}' AND action = 'account.create' AND actor = '{job['created_by']}'"
    )
    assert made == [["1980", "1980"]], "one event an account"
    for user in ("user1", "user1999", "also5"):
        address = f"{user}@{tenant.domain}"
        cluster.deliver([address], b"Subject: hello\r\n\r\nhello\r\n")
    for user in ("user1", "user5", "user1999"):
        with cluster.open(f"{user}@{tenant.domain}", SECRET) as session:
            assert session.stat()[0] == 1
            session.quit()

    again = ended(cluster, post(cluster, lines, f"?tenant={tenant.slug}"))
    assert counts(again) == (0, 1_980, 20)
    assert recount.problems(cluster) == []
    left = cluster.sql("SELECT (SELECT count(*) FROM restante.job_chunks), (SELECT count(*) FROM restante.job_tried)")
    assert left == [["0", "0"]]


def migration(old: OldServer, kind: str, accounts: list[dict[str, str]], **source: object) -> dict[str, Any]:
    port = getattr(old, kind)
    where = {"protocol": kind, "host": "127.0.0.1", "port": port, "tls": "none", **source}
    return {"kind": "maildrop-migration", "source": where, "accounts": accounts}


def test_mail_of_another_server_comes_through_the_api(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    with OldServer(tmp_path / "dovecot", "%08Xu%08Xv") as old:
        accounts = [
            {"address": tenant.add(user), "login": f"{user}@old.test", "password": PASSWORD} for user in ("ann", "ben")
        ]
        for user in ("ann", "ben"):
            old.deliver(user, PLAIN)
        accounts.append({"address": tenant.add("eve"), "login": "eve@old.test", "password": "wrong"})
        accounts.append({"address": f"nobody@{tenant.domain}", "login": "ann@old.test", "password": PASSWORD})
        where = f"/v1/imports?tenant={tenant.slug}"
        tried = ended(cluster, cluster.api.post(f"{where}&dry_run=true", migration(old, "pop3", accounts)))
        assert counts(tried) == (2, 0, 2)
        job = ended(cluster, cluster.api.post(where, migration(old, "pop3", accounts)))
        assert counts(job) == (2, 0, 2)
        assert "password" not in json.dumps(job)
        assert errors(cluster, job) == {3: ("/login", "source_refused"), 4: ("/address", "not_found")}
        told = cluster.api.get(f"/v1/imports/{job['id']}/accounts")["items"]
        assert [(each["listed"], each["imported"], each["known"]) for each in told[:2]] == [
            (len(PLAIN), len(PLAIN), 0)
        ] * 2
        for user in ("ann", "ben"):
            check(cluster, f"{user}@{tenant.domain}", old.seen_over_pop3(user))
        # Run again, over IMAP too, nothing comes twice.
        again = ended(cluster, cluster.api.post(where, migration(old, "pop3", accounts[:2])))
        assert counts(again) == (0, 2, 0)
        over_imap = migration(old, "imap", accounts[:2], uidl_format="%08Xu%08Xv")
        assert counts(ended(cluster, cluster.api.post(where, over_imap))) == (0, 2, 0)
        for host in ("169.254.169.254", "10.0.0.1", "[::1]"):
            refused = ended(cluster, cluster.api.post(where, migration(old, "pop3", accounts[:1], host=host)))
            (error,) = cluster.api.get(f"/v1/imports/{refused['id']}/errors")["items"]
            assert (error["code"], "cannot be reached" in error["detail"]) == ("source_refused", True), error
    assert recount.problems(cluster) == []


def check(cluster: Cluster, account: str, expected: list[tuple[str, bytes]], password: str | None = None) -> None:
    """Unique-ids, order and octets are those, once each."""
    with cluster.open(account, password or "correct horse battery staple") as session:
        found = list(zip(session.uidl().values(), session.retr_all(), strict=True))
        session.quit()
    assert [unique_id for unique_id, _ in found] == [unique_id for unique_id, _ in expected]
    for (unique_id, message), (_, text) in zip(found, expected, strict=True):
        assert octets.difference(octets.mend(text), message) is None, unique_id


class StuckServer(socketserver.ThreadingTCPServer):
    """A POP3 server whose first session of `ann` sends so many messages and then nothing more."""

    daemon_threads = True

    def __init__(self, counts: dict[str, int], sends: int) -> None:
        self.counts, self.sends, self.sessions = counts, sends, 0
        super().__init__(("127.0.0.1", 0), StuckSession)

    def message(self, user: str, number: int) -> bytes:
        return f"Subject: {user} {number}\r\n\r\nmessage {number}\r\n".encode()

    def __enter__(self) -> StuckServer:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class StuckSession(socketserver.StreamRequestHandler):
    server: StuckServer

    def handle(self) -> None:
        user, first = "", False
        self.wfile.write(b"+OK\r\n")
        for line in self.rfile:
            verb, _, argument = line.decode().strip().partition(" ")
            count = self.server.counts.get(user, 0)
            match verb.upper():
                case "CAPA":
                    self.wfile.write(b"+OK\r\nUSER\r\nUIDL\r\n.\r\n")
                case "USER":
                    user = argument.split("@")[0]
                    self.wfile.write(b"+OK\r\n")
                case "PASS":
                    if user == "ann":
                        first, self.server.sessions = self.server.sessions == 0, self.server.sessions + 1
                    self.wfile.write(b"+OK\r\n")
                case "LIST" | "UIDL":
                    self.wfile.write(b"+OK\r\n")
                    for number in range(1, count + 1):
                        told = len(self.server.message(user, number)) if verb == "LIST" else f"{user}-{number}"
                        self.wfile.write(f"{number} {told}\r\n".encode())
                    self.wfile.write(b".\r\n")
                case "RETR" if first and int(argument) > self.server.sends:
                    # Until the client goes away.
                    self.rfile.read()
                    return
                case "RETR":
                    self.wfile.write(b"+OK\r\n" + self.server.message(user, int(argument)) + b".\r\n")
                case "QUIT":
                    self.wfile.write(b"+OK\r\n")
                    return
                case _:
                    self.wfile.write(b"-ERR\r\n")


def test_a_migration_outlives_its_worker(cluster: Cluster, tenant: Tenant) -> None:
    """Killed in the middle of a maildrop, of which one segment of 1000 messages is here and more are on their way."""
    with StuckServer({"ann": 1_300, "ben": 3}, 1_200) as old:
        accounts = [
            {"address": tenant.add(user), "login": f"{user}@old.test", "password": PASSWORD} for user in ("ann", "ben")
        ]
        source = {"protocol": "pop3", "host": "127.0.0.1", "port": old.server_address[1], "tls": "none"}
        job = cluster.api.post(
            f"/v1/imports?tenant={tenant.slug}", {"kind": "maildrop-migration", "source": source, "accounts": accounts}
        )
        usage = [f"/v1/accounts/{account['address']}/usage" for account in accounts]
        wait_until("a segment is here", lambda: [cluster.api.get(one)["messages"] for one in usage] == [1_000, 3], 60)
        cluster.kill("worker")
        assert progress(cluster, job)["state"] == "running"
        cluster.start("worker")
        job = ended(cluster, job)
        assert (counts(job), job["progress"]["done"], job["progress"]["total"]) == ((2, 0, 0), 2, 2)
        assert old.sessions == 2, "the second worker asked for what the first had not brought"
        told = cluster.api.get(f"/v1/imports/{job['id']}/accounts")["items"]
        assert [(each["listed"], each["known"], each["imported"]) for each in told] == [(1_300, 1_000, 300), (3, 0, 3)]
        assert [cluster.api.get(one)["messages"] for one in usage] == [1_300, 3]
        for user, count in old.counts.items():
            expected = [(f"{user}-{number}", old.message(user, number)) for number in range(1, count + 1)]
            check(cluster, f"{user}@{tenant.domain}", expected)
    assert cluster.sql("SELECT count(*) FROM restante.job_chunks") == [["0"]]
    assert recount.problems(cluster) == []


def test_a_tenant_is_moved_elsewhere_whole(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    for user in ("ann", "ben"):
        address = tenant.add(user)
        for text in PLAIN[:20]:
            cluster.deliver([address], text)
    with pytest.raises(Problem) as refused:
        cluster.api.get(f"/v1/tenants/{tenant.slug}/export?mail=true")
    assert refused.value.status == 403
    key = cluster.api.post("/v1/api-keys", {"name": "move", "role": "platform-admin"})
    scopes = "{messages:raw,jobs:write}"
    cluster.sql(f"UPDATE restante.api_keys SET scopes = '{scopes}' WHERE 'key_' || key_id = '{key['id']}' RETURNING 1")
    api = cluster.api.with_token(key["secret"])
    archive = api.get(f"/v1/tenants/{tenant.slug}/export?mail=true&password_hashes=true")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        # Pythons before 3.11.4 have no filters.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(tmp_path)
    assert (tmp_path / "errors.ndjson").read_bytes() == b""

    other = new_tenant(cluster)
    lines = (tmp_path / "accounts-000001.ndjson").read_bytes().replace(tenant.domain.encode(), other.domain.encode())
    assert counts(ended(cluster, post(cluster, lines, f"?tenant={other.slug}"))) == (2, 0, 0)
    for user in ("ann", "ben"):
        maildir = tmp_path / "mail" / f"{user}@{tenant.domain}"
        command = [binary(), "import", "--account", f"{user}@{other.domain}", f"maildir:{maildir}"]
        subprocess.run(command, env=cluster.environment(), check=True, capture_output=True, timeout=120)
        with cluster.open(f"{user}@{tenant.domain}", tenant.password) as session:
            before = list(zip(session.uidl().values(), session.retr_all(), strict=True))
            session.quit()
        assert len(before) == 20
        check(cluster, f"{user}@{other.domain}", before, tenant.password)


@pytest.mark.soak
@pytest.mark.only_soak
@pytest.mark.timeout(2_400)
def test_a_hundred_thousand_accounts(cluster: Cluster, tenant: Tenant) -> None:
    count = 100_000
    lines, wrong = body(tenant, count, hashed(SECRET))
    began = time.monotonic()
    job = post(cluster, lines, f"?tenant={tenant.slug}")
    received = time.monotonic() - began
    job = ended(cluster, job, 1_800)
    seconds = time.monotonic() - began
    assert counts(job) == (count - len(wrong), 0, len(wrong))
    assert errors(cluster, job, 500) == wrong
    again = ended(cluster, post(cluster, lines, f"?tenant={tenant.slug}"), 1_800)
    assert counts(again) == (0, count - len(wrong), len(wrong))
    rows = {
        "lines, one in a hundred of them bad": count,
        "octets of the body": len(lines),
        "seconds until the body was taken in": f"{received:.1f}",
        "seconds until it was done": f"{seconds:.0f}",
        "lines a second (the worker's bound is 500)": f"{count / seconds:.0f}",
        "made, refused; the same body again: unchanged, refused": f"{counts(job)[0]}, {len(wrong)}; {counts(again)[1]}, {counts(again)[2]}",
    }
    report.write(Path(__file__).parents[2] / "docs" / "soak.md", "an import of 100 000 accounts", rows)
