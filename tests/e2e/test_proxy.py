"""Behind a load balancer: HAProxy says whose a connection is, and nobody else may."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness import ports
from harness.api import Api, segment
from harness.haproxy import HaProxy
from harness.pop3 import Pop3, Refused
from harness.process import Process, wait_until
from harness.service import Cluster, binary
from harness.tenants import Tenant, new_tenant

MESSAGE = b"Subject: a test\r\n\r\nHello.\r\n"
PROXY = "127.0.0.1"
HOW = {"v1": "send-proxy", "v2": "send-proxy-v2", "v2-checksum": "send-proxy-v2 proxy-v2-options crc32c,unique-id"}
BEHIND = '[{{ address = "127.0.0.1:{port}", proxy_from = ["127.0.0.1/32"] }}]'


@dataclass
class Proxied:
    """A POP3 frontend that takes connections of load balancers only, and a load balancer."""

    cluster: Cluster
    ports: dict[str, int]
    haproxy: HaProxy

    def open(self, name: str, client: str) -> Pop3:
        """Through HAProxy, from an address of this machine; `name` is `pop3-v1` and so on."""
        tls = "implicit" if name.startswith("pop3s") else "stls"
        login = self.cluster.login("", "")
        return Pop3(self.haproxy.address[name], tls=tls, context=login.context(), source=client)

    def refused(self, listener: str, reason: str) -> int:
        metrics = Api(f"http://127.0.0.1:{self.ports['ops']}", None).get("/metrics")
        text = metrics.decode() if isinstance(metrics, bytes) else str(metrics)
        line = f'restante_connections_refused_total{{listener="{listener}",reason="{reason}"}}'
        return sum(int(each.rpartition(" ")[2]) for each in text.splitlines() if each.startswith(line))


@pytest.fixture(scope="module")
def proxied(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    directory = tmp_path_factory.mktemp("proxied")
    at = dict(zip(("pop3", "pop3s", "ops"), ports.free(3), strict=True))
    configuration = f"""
[ops]
listen = "127.0.0.1:{at["ops"]}"
[tls]
certificate = "{cluster.certificate}"
key = "{cluster.directory}/key.pem"
[proxy]
header_seconds = 2
[pop3]
listen = {BEHIND.format(port=at["pop3"])}
listen_tls = {BEHIND.format(port=at["pop3s"])}
max_connections_per_address = 8
refusal_milliseconds = 200
[directory]
argon2_wait_ms = 100
"""
    file = directory / "restante.toml"
    file.write_text(configuration)
    command = [binary(), "serve", "--config", file, "--role", "pop3"]
    process = Process("proxied", command, directory / "log", env=cluster.environment(), death_signal="TERM")

    def is_ready() -> bool:
        process.check_alive()
        try:
            return Api(f"http://127.0.0.1:{at['ops']}", None).get("/readyz") is not None
        except Exception:  # refused, or 503: not ready
            return False

    try:
        wait_until("the frontend behind HAProxy is ready", is_ready, 60)
        listeners = {f"{name}-{how}": (at[name], HOW[how]) for name in ("pop3", "pop3s") for how in HOW}
        with HaProxy(directory, listeners) as haproxy:
            yield Proxied(cluster, at, haproxy)
    finally:
        assert process.stop(seconds=30) == 0


@pytest.fixture
def tenant(cluster: Cluster) -> Tenant:
    return new_tenant(cluster)


@pytest.mark.parametrize("name", [f"{name}-{how}" for name in ("pop3", "pop3s") for how in HOW])
def test_the_clients_address_arrives(proxied: Proxied, tenant: Tenant, name: str) -> None:
    """An app password for one network works from there, and the session's row has the address."""
    cluster = proxied.cluster
    address = tenant.add("ada")
    cluster.deliver([address], MESSAGE)
    made = cluster.api.post(
        f"/v1/accounts/{segment(address)}/app-passwords", {"name": "there", "allowed_networks": ["127.0.77.0/24"]}
    )
    for client in ("127.0.78.1", PROXY):
        with proxied.open(name, client) as session, pytest.raises(Refused, match=r"-ERR \[AUTH\]"):
            session.login(address, made["secret"])
    with proxied.open(name, "127.0.77.1") as session:
        session.login(address, made["secret"])
        assert session.retr(1).endswith(b"\r\n\r\nHello.\r\n")
        session.quit()
    rows = wait_until(
        "the session's row",
        lambda: cluster.sql(
            "SELECT host(s.address) FROM restante.sessions s JOIN restante.addresses a USING (tenant_id, account_id)"
            f" JOIN restante.domains d USING (tenant_id, domain_id) WHERE d.name = '{tenant.domain}'"
        ),
        10,
    )
    assert rows == [["127.0.77.1"]]


def test_limits_count_the_clients_address(proxied: Proxied) -> None:
    sessions = [proxied.open("pop3-v2", "127.0.79.1") for _ in range(8)]
    with pytest.raises((ValueError, ConnectionError, Refused)):
        proxied.open("pop3-v2", "127.0.79.1")
    assert proxied.refused("pop3", "connections_per_address") == 1
    with proxied.open("pop3-v2", "127.0.79.2") as other:
        assert "USER" in other.multi("CAPA")
    for session in sessions:
        session.quit()


def everything(port: int, octets: bytes, source: str) -> bytes:
    """What a connection that sends these octets reads until its end, which may be a reset."""
    read = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0)) as connection:
        try:
            connection.sendall(octets)
            while more := connection.recv(4096):
                read += more
        except ConnectionError:
            pass
    return read


@pytest.mark.parametrize("listener", ["pop3", "pop3s"])
@pytest.mark.parametrize(
    ("octets", "source", "reason"),
    [
        (b"CAPA\r\n", PROXY, "proxy_header"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", PROXY, "proxy_header"),
        (b"", PROXY, "proxy_deadline"),
        (b"PROXY TCP4 192.0.2.7 ", PROXY, "proxy_deadline"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 110\r\n", "127.0.0.2", "proxy_network"),
    ],
)
def test_a_connection_that_does_not_say_whose_it_is_gets_no_word(
    proxied: Proxied, listener: str, octets: bytes, source: str, reason: str
) -> None:
    before = proxied.refused(listener, reason)
    assert everything(proxied.ports[listener], octets, source) == b""
    # It is counted when it is closed, which its client may see first.
    wait_until("the refusal is counted", lambda: proxied.refused(listener, reason) == before + 1, 10)


def test_other_listeners_never_read_a_header(proxied: Proxied) -> None:
    port = proxied.cluster.pop3[0][1]
    said = everything(port, b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 110\r\nQUIT\r\n", PROXY)
    assert re.fullmatch(rb"\+OK [^\r]*\r\n-ERR [^\r]*\r\n\+OK [^\r]*\r\n", said), said
