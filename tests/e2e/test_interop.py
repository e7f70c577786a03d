"""Every client with every mechanism it has fetches a maildrop and deletes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.case import NotApplicable
from conformance.mail import message
from conformance.profiles import PROFILES
from conformance.server import Account, Server, Started
from conformance.wire import Session, Trace
from interop import libraries, programs, thunderbird
from interop.ways import Job, Way

WAYS = [*programs.WAYS, *libraries.WAYS, *thunderbird.WAYS]
# Other servers can be tried as well, to tell a client's mistake from ours.
PROFILE = os.environ.get("INTEROP_PROFILE", "restante")

MESSAGES = [
    message("first", b"one\r\n"),
    message("dots", b".\r\n..\r\n.x\r\nin.the.middle\r\nlast\r\n"),
    message(
        "umlauts",
        "Grüße\r\n".encode(),
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with PROFILES[PROFILE](Started(None, tmp_path_factory.mktemp("interop"), {})) as running:
        yield running


def offered(server: Server) -> set[str]:
    """Mechanisms by the names that the ways use."""
    with Session(server.tls, Trace(), tls=server.context()) as session:
        capabilities = session.capabilities()
        apop = {"APOP"} if b"<" in session.greeting.line else set()
        return {*capabilities.get("SASL", []), *(["USER"] if "USER" in capabilities else []), "EXTERNAL", *apop}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_client_fetches_and_deletes(server: Server, way: Way, tmp_path: Path) -> None:
    if way.mechanism not in offered(server):
        if PROFILE != "restante":
            pytest.skip(f"{server.name} does not offer {way.mechanism}")
        pytest.fail(f"{way.mechanism} is not offered")
    try:
        account = server.account(scram=True, legacy=True)
        server.deliver(account, MESSAGES)
        job = Job(server, account, way.mechanism, tmp_path)
        if way.refused:
            with pytest.raises(RuntimeError):
                way.fetch(job)
            assert left(server, account) == len(MESSAGES)
            return
        got = way.fetch(job)
    except NotApplicable as reason:
        if PROFILE != "restante":
            pytest.skip(str(reason))
        raise
    assert sorted(map(text, got)) == sorted(map(text, MESSAGES))
    assert left(server, account) == 0, "not deleted"


def text(stored: bytes) -> tuple[bytes, bytes]:
    """Subject and body, with line feeds: the clients put lines of their own into the header."""
    head, _, body = stored.replace(b"\r\n", b"\n").rstrip(b"\n").partition(b"\n\n")
    return head.rpartition(b"Subject: ")[2].partition(b"\n")[0], body


def left(server: Server, account: Account) -> int:
    """How many messages are in the maildrop."""
    with Session(server.tls, Trace(), tls=server.context()) as session:
        session.expect_ok(f"USER {account.login}")
        session.expect_ok(f"PASS {account.password}")
        return session.stat()[0]
