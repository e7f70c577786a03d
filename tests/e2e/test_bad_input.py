"""Bad input on every port gets a clear answer or a closed connection, costs bounded memory, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from harness.api import Api
from harness.lmtp import Lmtp
from harness.octets import Expected
from harness.process import wait_until
from harness.service import Address, Cluster, Embedded, Service, address_of
from harness.tenants import Tenant, new_tenant

MESSAGE = b"Subject: kept\r\n\r\nHello.\r\n"
PORTS = ("pop3", "pop3s", "lmtp", "admin", "ops")


@dataclass
class Kept:
    """A service with one message in one maildrop, which has to be there after everything."""

    service: Service
    tenant: Tenant
    account: str

    def port(self, name: str) -> Address:
        service = self.service
        if name == "admin":
            return address_of(service.api.url)
        if name == "ops":
            return ops_of(service)
        found = getattr(service, name)
        return found[0] if isinstance(found, list) else found

    def check(self) -> None:
        """The mail is there, everything still serves, and new mail comes in."""
        with self.service.open(self.account, self.tenant.password) as session:
            first = session.retr(1)
            session.quit()
        assert Expected("s@sender.test", self.account, MESSAGE).problem(first) is None
        self.service.deliver([self.account], MESSAGE, "s@sender.test")
        assert Api("http://{}:{}".format(*self.port("ops")), None).get("/readyz") is not None
        assert self.service.api.account(self.account)["address"] == self.account


def ops_of(service: Service) -> Address:
    if isinstance(service, Embedded):
        return address_of(service.ready["ops"])
    assert isinstance(service, Cluster)
    return ("127.0.0.1", service.ports["lmtp"]["ops"])


def resident(service: Service) -> int:
    """Octets of resident memory of all of the service's own processes."""
    if isinstance(service, Embedded):
        assert service.process is not None
        pids = [service.process.pid]
    else:
        assert isinstance(service, Cluster)
        pids = [process.pid for process in service.processes.values()]
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
            total += next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
    return total


@pytest.fixture(scope="module")
def kept(service: Service) -> Kept:
    tenant = new_tenant(service)
    account = tenant.add("kept")
    service.deliver([account], MESSAGE, "s@sender.test")
    return Kept(service, tenant, account)


@contextlib.contextmanager
def connected(kept: Kept, name: str) -> Iterator[socket.socket]:
    """A connection to a port, in TLS where the port begins with it."""
    plain = socket.create_connection(kept.port(name), timeout=30)
    try:
        if name == "pop3s":
            plain = kept.service.login("", "").context().wrap_socket(plain, server_hostname="localhost")
        yield plain
    finally:
        plain.close()


def answers(peer: socket.socket, data: bytes, most: int = 1 << 20) -> bytes:
    """Sends `data`, ends our side, and returns what comes until the server closes; a reset is an end as well."""
    heard = b""
    with contextlib.suppress(OSError):
        if isinstance(peer, ssl.SSLSocket):
            peer.sendall(data + b"QUIT\r\n")  # TLS has no half-closed connections
        else:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
    peer.settimeout(15)
    with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
        while len(heard) < most and (octets := peer.recv(65536)):
            heard += octets
    return heard


CLEAR = {
    "pop3": lambda heard: heard.startswith(b"+OK") and b"\r\n-ERR " in heard,
    "pop3s": lambda heard: heard.startswith(b"+OK") and b"\r\n-ERR " in heard,
    "lmtp": lambda heard: heard.startswith(b"220 ") and b"\r\n50" in heard,
    "admin": lambda heard: heard.startswith(b"HTTP/1.1 4") or heard == b"",
    "ops": lambda heard: heard.startswith(b"HTTP/1.1 4") or heard == b"",
}


@pytest.mark.parametrize("name", PORTS)
def test_garbage_octets(kept: Kept, name: str) -> None:
    chance = random.Random(1)
    for size in (1, 100, 5_000, 200_000):
        garbage = chance.randbytes(size).replace(b"\n", b"x") + b"\r\n" + b"\0\xff\xfe\r\n" * 3
        with connected(kept, name) as peer:
            heard = answers(peer, garbage)
        assert CLEAR[name](heard), heard[:300]
    kept.check()


@pytest.mark.parametrize("name", PORTS)
def test_ten_megabytes_without_a_line_end(kept: Kept, name: str) -> None:
    before = resident(kept.service)
    with connected(kept, name) as peer:
        heard = answers(peer, b"A" * 10_000_000 + b"\r\n")
        if name in ("pop3", "pop3s", "lmtp"):
            assert CLEAR[name](heard), heard[:300]
    assert resident(kept.service) - before < 64 << 20
    kept.check()


def test_ten_megabytes_that_never_end(kept: Kept) -> None:
    """The line is still open when the peer goes away: many such peers cost no memory."""
    before = resident(kept.service)
    with contextlib.ExitStack() as stack:
        for name in ("pop3", "lmtp", "admin"):
            for _ in range(8):
                peer = stack.enter_context(connected(kept, name))
                with contextlib.suppress(ConnectionError):
                    peer.sendall(b"B" * 10_000_000)
        assert resident(kept.service) - before < 128 << 20
    kept.check()


@pytest.mark.parametrize("name", ["pop3", "lmtp", "admin"])
def test_garbage_where_tls_is_expected(kept: Kept, name: str) -> None:
    """STLS or STARTTLS and then no TLS; and no TLS at all where it begins at once."""
    with socket.create_connection(kept.port("pop3s"), timeout=30) as peer:
        assert b"+OK" not in answers(peer, b"USER alice\r\n" * 10)
    if name != "admin":
        with socket.create_connection(kept.port(name), timeout=30) as peer:
            command = b"STLS\r\n" if name == "pop3" else b"LHLO x\r\nSTARTTLS\r\n"
            answers(peer, command + b"no TLS at all\r\n" * 100)
    kept.check()


@pytest.mark.parametrize("chunking", [False, True])
def test_half_a_message_and_a_closed_connection(kept: Kept, chunking: bool) -> None:
    """Nothing of it is delivered, whatever the place of the cut."""
    account = kept.tenant.add(f"half{int(chunking)}")
    whole = MESSAGE + b"x" * 100_000
    for cut in (0, 1, 10, len(MESSAGE), 70_000, len(whole)):
        with Lmtp(kept.service.lmtp) as session:
            session.envelope("s@sender.test", [account])
            if chunking:
                session.send(b"BDAT %d LAST\r\n" % (len(whole) + 1) + whole[:cut])
            else:
                session.send(b"DATA\r\n")
                session.reply()
                session.send(whole[:cut])
    # Half a line of a command, too.
    with Lmtp(kept.service.lmtp) as session:
        session.send(b"MAIL FROM:<s@sen")
    kept.service.deliver([account], MESSAGE, "s@sender.test")
    with kept.service.open(account, kept.tenant.password) as session:
        assert session.stat()[0] == 1
        session.quit()
    kept.check()


def test_half_a_request_over_http(kept: Kept) -> None:
    account = kept.tenant.add("half-http")
    head = (
        f"POST /v1/accounts/{account}/messages HTTP/1.1\r\nHost: x\r\nContent-Type: message/rfc822\r\n"
        f"Authorization: Bearer {kept.service.api.token}\r\nContent-Length: 1000\r\n\r\n"
    ).encode()
    for sent in (head[:20], head, head + MESSAGE):
        with connected(kept, "admin") as peer:
            peer.sendall(sent)
    with connected(kept, "admin") as peer:
        # A body of which the end is missing, with our side closed in order.
        assert answers(peer, head + MESSAGE)[:12] in (b"", b"HTTP/1.1 400")
    assert kept.service.api.items(f"/v1/accounts/{account}/messages") == []
    kept.check()


def greeted(kept: Kept, name: str) -> Callable[[socket.socket], bytes]:
    if name in ("admin", "ops"):
        return lambda peer: (peer.sendall(b"GET /readyz HTTP/1.0\r\n\r\n"), peer.recv(200))[1]
    return lambda peer: peer.recv(200)


@pytest.mark.parametrize("name", PORTS)
def test_two_hundred_connections_at_once(kept: Kept, name: str) -> None:
    """Each is served or told to come again; when they have gone, everything is as before."""
    clear = {
        "pop3": (b"+OK", b"-ERR [SYS/TEMP]"),
        "pop3s": (b"+OK", b"-ERR [SYS/TEMP]"),
        "lmtp": (b"220 ", b"421 "),
        "admin": (b"HTTP/1.", b"HTTP/1."),
        "ops": (b"HTTP/1.", b"HTTP/1."),
    }[name]
    first_words = greeted(kept, name)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:

        def connect(_: int) -> tuple[contextlib.ExitStack, bytes]:
            mine = contextlib.ExitStack()
            try:
                return mine, first_words(mine.enter_context(connected(kept, name)))
            except (ConnectionError, ssl.SSLError) as error:
                return mine, repr(error).encode()

        with ThreadPoolExecutor(max_workers=50) as pool:
            heard = []
            for mine, words in pool.map(connect, range(200)):
                stack.enter_context(mine)
                heard.append(words)
    # A connection over the bound of the TLS port is closed before its handshake: there is no way to say it in clear.
    closed = sum(words.startswith((b"Connection", b"SSL", b"BrokenPipe")) or words == b"" for words in heard)
    assert name == "pop3s" or closed == 0, heard
    served = sum(words.startswith(clear[0]) for words in heard)
    told = sum(words.startswith(clear[1]) for words in heard) if clear[0] != clear[1] else 0
    assert served + told + closed == 200, [words for words in heard if not words.startswith(clear)][:5]
    assert served >= 50
    assert time.monotonic() - began < 60
    wait_until("a connection is served again", lambda: _served(kept, name, clear[0]), 10)
    kept.check()


def _served(kept: Kept, name: str, good: bytes) -> bool:
    try:
        with connected(kept, name) as peer:
            return greeted(kept, name)(peer).startswith(good)
    except (ConnectionError, ssl.SSLError):
        return False


def test_two_hundred_messages_half_sent_at_once(kept: Kept) -> None:
    """Bodies in flight are bounded by the process's memory, not by the number of senders; a whole one still goes through."""
    account = kept.tenant.add("crowd")
    before = resident(kept.service)
    part = b"y" * 998 + b"\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            session = stack.enter_context(Lmtp(kept.service.lmtp))
            session.envelope("s@sender.test", [account])
            session.send(b"DATA\r\n" + MESSAGE + part * 100)
        assert resident(kept.service) - before < 400 << 20
        kept.service.deliver([account], MESSAGE, "s@sender.test")
    with kept.service.open(account, kept.tenant.password) as session:
        assert session.stat()[0] == 1
        session.quit()
    kept.check()
