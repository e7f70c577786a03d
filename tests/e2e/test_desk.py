"""The support desk: sessions on two frontends are seen and ended through the API, and `diagnose` names what keeps people from their mail."""

from __future__ import annotations

import base64
import contextlib
import itertools
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.lmtp import Lmtp
from harness.pop3 import Pop3, Refused
from harness.process import wait_until
from harness.service import Cluster
from harness.tenants import Tenant, new_tenant

MESSAGE = b"Subject: one\r\n\r\n%s\r\n"


def live(cluster: Cluster, address: str) -> list[Any]:
    return cluster.api.items(f"/v1/accounts/{address}/live-sessions")


def test_sessions_are_seen_and_ended_on_every_frontend(cluster: Cluster) -> None:
    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    cluster.deliver([address], MESSAGE % b"x")
    sessions = [cluster.open(address, tenant.password, frontend=at) for at in (0, 1)]
    sessions[0].retr(1)
    sessions[1].dele(1)
    wait_until("both are seen", lambda: sorted(one["fetched"] for one in live(cluster, address)) == [0, 1], 30)
    seen = live(cluster, address)
    assert len({one["frontend"]["id"] for one in seen}) == 2
    assert {(one["credential"]["name"], one["tls"], one["address"]) for one in seen} == {
        ("password", "implicit", "127.0.0.1")
    }
    assert all(one["client"].startswith("TLSv1.3 ") and one["server_name"] == "localhost" for one in seen)
    [deleting] = [one for one in seen if one["fetched"] == 0]
    cluster.api.call("DELETE", f"/v1/live-sessions/{deleting['id']}")
    # It says nothing: it is closed without a word, and nothing is deleted.
    assert sessions[1].file.read() == b""
    wait_until("one is left", lambda: len(live(cluster, address)) == 1, 30)
    assert cluster.api.call("DELETE", f"/v1/accounts/{address}/live-sessions") == {"sessions": 1}
    with pytest.raises(Refused, match=r"-ERR \[SYS/TEMP\] the session was ended"):
        for _ in range(600):
            sessions[0].command("NOOP")
            time.sleep(0.05)
    wait_until("none is left", lambda: live(cluster, address) == [], 30)
    assert cluster.api.get(f"/v1/accounts/{address}/usage")["messages"] == 1
    ended = [one["session"]["ended"] for one in cluster.api.items(f"/v1/accounts/{address}/activity") if one["session"]]
    assert ended == ["asked", "asked"]


def test_a_frontend_that_is_killed_has_no_sessions(cluster: Cluster) -> None:
    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    with cluster.open(address, tenant.password, frontend=1):
        wait_until("it is seen", lambda: len(live(cluster, address)) == 1, 30)
        cluster.kill("pop3-2")
        wait_until("it is not shown", lambda: live(cluster, address) == [], 30)
        rows = (
            "SELECT count(*) FROM restante.live_sessions JOIN restante.accounts USING (tenant_id, account_id) "
            f"JOIN restante.domains USING (tenant_id, domain_id) WHERE name = '{tenant.domain}'"
        )
        wait_until("its row is gone", lambda: cluster.sql(rows) == [["0"]], 30)
    cluster.start("pop3-2")


Induce = Callable[["Desk", str], None]


class Desk:
    """One account for each failure, each in a network of its own, so that none slows another down."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.tenant = new_tenant(cluster)
        self.api = cluster.api
        self.networks: dict[str, int] = {}
        self.numbers = itertools.count(1)
        self.open: list[Pop3] = []

    def connect(self, address: str, *, tls: str | None = "implicit", name: str = "localhost") -> Pop3:
        network = self.networks.setdefault(address, next(self.numbers))
        context = ssl.create_default_context(cafile=str(self.cluster.certificate))
        context.check_hostname = False
        port = (self.cluster.pop3s if tls == "implicit" else self.cluster.pop3)[0][1]
        session = Named(("127.0.0.1", port), tls=tls, context=context, source=f"127.77.{network}.1", name=name)
        self.open.append(session)
        return session

    def login(self, address: str, password: str | None = None, **more: Any) -> Pop3:
        return self.connect(address, **more).login(address, password or self.tenant.password)

    def refused(self, address: str, password: str | None = None, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(Refused):
                self.login(address, password)

    def policy(self, address: str, **policy: Any) -> None:
        body = {"policy": policy}
        self.api.call("PATCH", f"/v1/accounts/{address}", body, content_type="application/merge-patch+json")

    def app_password(self, address: str, **more: Any) -> Any:
        return self.api.post(f"/v1/accounts/{address}/app-passwords", {"name": "phone", **more})

    def deliver(self, address: str) -> None:
        self.cluster.deliver([address], MESSAGE % b"x")

    def codes(self, address: str) -> set[str]:
        return {finding["code"] for finding in self.api.get(f"/v1/accounts/{address}/diagnose")["findings"]}


class Named(Pop3):
    """Asks for a server name of its own."""

    def __init__(self, *words: Any, name: str, **more: Any) -> None:
        self.name = name
        super().__init__(*words, **more)

    def _wrap(self, context: ssl.SSLContext | None) -> None:
        assert context is not None
        self.socket = context.wrap_socket(self.socket, server_hostname=self.name)


def wrong_password(desk: Desk, address: str) -> None:
    desk.refused(address, "wrong")


def old_password_on_a_device(desk: Desk, address: str) -> None:
    desk.login(address).quit()
    desk.refused(address, "the password of last year", times=4)


def account_suspended(desk: Desk, address: str) -> None:
    body = {"status": "suspended"}
    desk.api.call("PATCH", f"/v1/accounts/{address}", body, content_type="application/merge-patch+json")
    desk.refused(address)


def no_credential(desk: Desk, address: str) -> None:
    desk.api.call("DELETE", f"/v1/accounts/{address}/password")
    desk.refused(address)


def no_password(desk: Desk, address: str) -> None:
    desk.app_password(address)
    desk.api.call("DELETE", f"/v1/accounts/{address}/password")
    desk.refused(address)


def app_password_expired(desk: Desk, address: str) -> None:
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    secret = desk.app_password(address, expires_at=expires)["secret"]
    desk.login(address, secret).quit()
    time.sleep(2)  # until then it holds
    desk.refused(address, secret)


def app_password_revoked(desk: Desk, address: str) -> None:
    issued = desk.app_password(address)
    desk.api.call("DELETE", f"/v1/accounts/{address}/app-passwords/{issued['id']}")
    desk.refused(address, issued["secret"])


def app_password_network(desk: Desk, address: str) -> None:
    desk.refused(address, desk.app_password(address, allowed_networks=["192.0.2.0/24"])["secret"])


def device_may_not_delete(desk: Desk, address: str) -> None:
    desk.deliver(address)
    session = desk.login(address, desk.app_password(address, scopes=["read"])["secret"])
    with pytest.raises(Refused, match=r"\[SYS/PERM\]"):
        session.dele(1)
    session.quit()


def too_many_sessions(desk: Desk, address: str) -> None:
    desk.policy(address, sessions={"per_account": 1})
    desk.login(address)
    desk.refused(address)


def maildrop_in_use(desk: Desk, address: str) -> None:
    desk.policy(address, exclusive=True)
    desk.login(address)
    desk.refused(address)


def login_delay(desk: Desk, address: str) -> None:
    desk.policy(address, login_delay_seconds=600)
    desk.login(address).quit()
    desk.refused(address)


def clear_connection(desk: Desk, address: str) -> None:
    with pytest.raises(Refused, match="without TLS"):
        desk.connect(address, tls=None).command(f"USER {address}")


def scram_unavailable(desk: Desk, address: str) -> None:
    session = desk.connect(address)
    session.send(b"AUTH SCRAM-SHA-256 " + base64.b64encode(f"n,,n={address},r=client".encode()) + b"\r\n")
    challenge = base64.b64decode(session.line()[2:].strip()).decode()
    last = f"c=biws,{challenge.split(',')[0]},p={base64.b64encode(bytes(32)).decode()}"
    with pytest.raises(Refused, match=r"\[AUTH\]"):
        session.command(base64.b64encode(last.encode()).decode())


def legacy_unavailable(desk: Desk, address: str) -> None:
    with pytest.raises(Refused, match="APOP"):
        desk.connect(address).command(f"APOP {address} c4c9334bac560ecc979e58001b3e22fb")


def token_refused(desk: Desk, address: str) -> None:
    session = desk.connect(address)
    token = base64.b64encode(f"n,a={address},\1auth=Bearer no.such.token\1\1".encode())
    session.send(b"AUTH OAUTHBEARER " + token + b"\r\n")
    assert session.line().startswith("+ ")
    with pytest.raises(Refused, match=r"\[AUTH\]"):
        session.command("AQ==")


def slowed_down(desk: Desk, address: str) -> None:
    def guess(secret: str) -> str:
        with pytest.raises(Refused) as refused:
            desk.login(address, secret)
        return str(refused.value)

    # A few at a time: who checks too many passwords at once tells some to come again, and they do not count.
    with ThreadPoolExecutor(max_workers=4) as pool:
        for number in range(10):
            if any(
                "too many failed" in told for told in pool.map(guess, [f"guess {number} {each}" for each in range(4)])
            ):
                return
    raise AssertionError("never slowed down")


def quota_octets_full(desk: Desk, address: str) -> None:
    desk.deliver(address)
    [[octets]] = desk.cluster.sql(
        "SELECT live_octets FROM restante.maildrops JOIN restante.accounts USING (tenant_id, account_id) "
        f"WHERE local_part = '{address.partition('@')[0]}'"
    )
    body = {"quota": {"octets": int(octets)}}
    desk.api.call("PATCH", f"/v1/accounts/{address}", body, content_type="application/merge-patch+json")
    with Lmtp(desk.cluster.lmtp) as lmtp:
        [reply] = lmtp.deliver("sender@sender.test", [address], MESSAGE % b"x")
    assert (reply.code, reply.enhanced) == (552, "5.2.2")


def quota_messages_full(desk: Desk, address: str) -> None:
    body = {"quota": {"messages": 1}}
    desk.api.call("PATCH", f"/v1/accounts/{address}", body, content_type="application/merge-patch+json")
    desk.deliver(address)
    with Lmtp(desk.cluster.lmtp) as lmtp:
        [reply] = lmtp.deliver("sender@sender.test", [address], MESSAGE % b"x")
    assert reply.code == 552


def view_hides_fetched_mail(desk: Desk, address: str) -> None:
    desk.deliver(address)
    secret = desk.app_password(address, policy={"view": "new_for_device"})["secret"]
    with desk.login(address, secret) as session:
        session.retr(1)
        session.quit()
    with desk.login(address, secret) as session:
        assert session.stat()[0] == 0
        session.quit()


def dele_does_not_delete(desk: Desk, address: str) -> None:
    desk.deliver(address)
    desk.policy(address, dele="ignore")
    for _ in range(2):
        session = desk.login(address)
        session.dele(1)
        session.quit()


def server_name_mismatch(desk: Desk, address: str) -> None:
    desk.deliver(address)
    session = desk.login(address, name="mail.example.com")
    session.retr(1)
    session.quit()


def sessions_without_quit(desk: Desk, address: str) -> None:
    desk.deliver(address)
    for _ in range(2):
        session = desk.login(address)
        session.retr(1)
        session.close()


CATALOGUE: list[Induce] = [
    wrong_password,
    old_password_on_a_device,
    account_suspended,
    no_credential,
    no_password,
    app_password_expired,
    app_password_revoked,
    app_password_network,
    device_may_not_delete,
    too_many_sessions,
    maildrop_in_use,
    login_delay,
    clear_connection,
    scram_unavailable,
    legacy_unavailable,
    token_refused,
    slowed_down,
    quota_octets_full,
    quota_messages_full,
    view_hides_fetched_mail,
    dele_does_not_delete,
    server_name_mismatch,
    sessions_without_quit,
]


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Iterator[Desk]:
    desk = Desk(cluster)
    yield desk
    for session in desk.open:
        with contextlib.suppress(OSError):
            session.close()


def test_a_diagnosis_names_what_is_the_matter(desk: Desk) -> None:
    """Every failure is really induced, all at once; each is named, and an account with nothing wrong has none of them."""
    accounts = {induce: desk.tenant.add(induce.__name__.replace("_", "-")) for induce in CATALOGUE}
    healthy = desk.tenant.add("healthy")
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(induce, desk, address) for induce, address in accounts.items()]:
            done.result()
    desk.deliver(healthy)
    session = desk.login(healthy)
    session.retr(1)
    session.quit()
    for induce, address in accounts.items():
        code = induce.__name__
        wait_until(f"{code} is named", lambda at=address, code=code: code in desk.codes(at), 30)
    assert desk.codes(healthy) == {"logged_in_lately", "nothing_found"}


def test_a_diagnosis_of_what_is_no_account(desk: Desk) -> None:
    domain, api = desk.tenant.domain, desk.api
    target = desk.tenant.add("target")
    api.create_alias(f"alias@{domain}", [target])
    assert "address_is_alias" in desk.codes(f"alias@{domain}")
    assert "account_missing" in desk.codes(f"nobody@{domain}")
    assert "domain_unknown" in desk.codes("nobody@nobody.invalid")
    key = api.create_key("own", desk.tenant.slug, "tenant-admin")["secret"]
    api.with_token(key).post("/v1/domains", {"name": f"claimed-{domain}"})
    assert "domain_unverified" in desk.codes(f"ada@claimed-{domain}")


def test_a_suspended_tenant_is_named_and_its_sessions_end(cluster: Cluster) -> None:
    tenant: Tenant = new_tenant(cluster)
    address = tenant.add("ada")
    session = cluster.open(address, tenant.password)
    wait_until("it is seen", lambda: len(live(cluster, address)) == 1, 30)
    body = {"status": "suspended"}
    cluster.api.call("PATCH", f"/v1/tenants/{tenant.slug}", body, content_type="application/merge-patch+json")
    assert session.file.read() == b""
    with pytest.raises(Refused, match=r"\[SYS/PERM\]"):
        cluster.open(address, tenant.password)
    found = cluster.api.get(f"/v1/accounts/{address}/diagnose")["findings"]
    assert found[0]["code"] == "tenant_suspended"


def test_a_transcript_tells_no_secret(cluster: Cluster) -> None:
    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    cluster.deliver([address], MESSAGE % b"of no concern")
    path = f"/v1/accounts/{address}/transcripts"
    cluster.api.post(path, {"minutes": 1})
    login = cluster.login(address, "hunter2")
    with (
        Pop3(("127.0.0.1", login.pop3s_port), tls="implicit", context=login.context()) as failing,
        pytest.raises(Refused),
    ):
        failing.login(address, "hunter2")
    session = cluster.open(address, tenant.password, frontend=1)
    session.retr(1)
    session.quit()
    wait_until("both are kept", lambda: len(cluster.api.items(path)) == 2, 30)
    wholes = [cluster.api.get(f"{path}/{one['id']}") for one in cluster.api.items(path)]
    said = [[entry["command"] for entry in whole["entries"]] for whole in wholes]
    assert ["USER [redacted]", "PASS [redacted]", "RETR 1", "QUIT"] in said
    assert ["USER [redacted]", "PASS [redacted]"] in said
    for secret in (tenant.password, "hunter2", "of no concern", address):
        assert secret not in str(wholes)
    cluster.api.call("DELETE", path)
    assert cluster.api.get(path) == {"until": None, "items": [], "next_cursor": None}
