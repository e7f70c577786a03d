"""What a maildrop keeps and what it loses: unique-ids, deletion by clients, lost connections, two sessions at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import clients
from harness.pop3 import Pop3, Refused
from harness.service import Service
from harness.tenants import Tenant


def message(number: int) -> bytes:
    return b"Subject: message %d\r\n\r\n%s\r\n" % (number, b"line\r\n" * number)


def fill(service: Service, address: str, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        service.deliver([address], message(number))


def unique_ids(service: Service, tenant: Tenant, address: str, frontend: int = 0) -> list[str]:
    with service.open(address, tenant.password, frontend=frontend) as session:
        found = list(session.uidl().values())
        session.quit()
    return found


@pytest.mark.parametrize("tls", ["stls", "implicit"])
@pytest.mark.parametrize("client", clients.CLIENTS)
def test_clients_delete_what_they_fetched(service: Service, tenant: Tenant, home: Path, client: str, tls: str) -> None:
    """Fetch-and-delete leaves an empty maildrop, and what comes later has ids that were never seen."""
    address = tenant.add(client)
    fill(service, address, 3)
    before = unique_ids(service, tenant, address)
    stored = clients.CLIENTS[client](service.login(address, tenant.password), tls, home, True)
    assert len(stored) == 3
    assert unique_ids(service, tenant, address, frontend=1) == []
    fill(service, address, 2)
    assert not set(before) & set(unique_ids(service, tenant, address))
    assert service.api.get(f"/v1/accounts/{address}/usage")["messages"] == 2


def test_deletion_happens_at_quit_and_only_then(service: Service, tenant: Tenant) -> None:
    address = tenant.add("ada")
    fill(service, address, 4)
    ids = unique_ids(service, tenant, address)
    # A connection that is lost deletes nothing.
    with service.open(address, tenant.password) as session:
        session.dele(1)
        session.dele(2)
        assert session.stat()[0] == 2
    assert unique_ids(service, tenant, address) == ids
    # RSET takes marks back; QUIT carries out the others; numbers are of one session, ids are for ever.
    with service.open(address, tenant.password) as session:
        session.dele(1)
        session.command("RSET")
        session.dele(3)
        with pytest.raises(Refused):
            session.retr(3)
        session.quit()
    for frontend in (0, 1):
        assert unique_ids(service, tenant, address, frontend) == [ids[0], ids[1], ids[3]]


def test_a_session_sees_what_was_there_at_its_login(service: Service, tenant: Tenant) -> None:
    """New mail and another session's QUIT change nothing that is seen; what was expunged can still be fetched."""
    address = tenant.add("ada")
    fill(service, address, 3)
    first = service.open(address, tenant.password, frontend=0)
    listing = first.list()
    with service.open(address, tenant.password, frontend=1) as second:
        second.dele(2)
        second.quit()
    fill(service, address, 2, first=10)
    assert first.list() == listing
    assert len(first.retr(2)) == listing[2]
    first.dele(2)  # again: it is gone already, and that is no error
    first.dele(3)
    first.quit()
    with service.open(address, tenant.password, frontend=1) as session:
        texts = session.retr_all()
        session.quit()
    assert [text.partition(b"Subject: ")[2].partition(b"\r\n")[0] for text in texts] == [
        b"message 1",
        b"message 10",
        b"message 11",
    ]


def test_what_a_session_deleted_is_undone(service: Service, tenant: Tenant) -> None:
    """DELE and QUIT by mistake: the API finds the session and undoes it; clients see the same ids in the same order."""
    address = tenant.add("ada")
    fill(service, address, 4)
    with service.open(address, tenant.password) as session:
        listing, texts = session.uidl(), session.retr_all()
        for number in (1, 2, 4):
            session.dele(number)
        session.quit()
    path = f"/v1/accounts/{address}"
    [past] = service.api.items(f"{path}/sessions")
    assert (past["fetched"], past["expunged"], past["restorable"], past["tls"]) == (4, 3, 3, "implicit")
    expunged = service.api.items(f"{path}/messages/expunged", limit=2)
    assert {each["unique_id"] for each in expunged} == {listing[1], listing[2], listing[4]}
    assert {each["session"] for each in expunged} == {past["id"]}
    # What comes meanwhile stays behind what was there before it.
    fill(service, address, 1, first=9)
    under_way = service.open(address, tenant.password, frontend=1)
    restored = service.api.call("POST", f"{path}/sessions/{past['id']}/undo")
    assert restored == {"messages": 3, "octets": sum(len(texts[index]) for index in (0, 1, 3))}
    assert len(under_way.uidl()) == 2
    under_way.quit()
    for frontend in (0, 1):
        with service.open(address, tenant.password, frontend=frontend) as session:
            assert list(session.uidl().values())[:4] == list(listing.values())
            assert session.retr_all()[:4] == texts
            session.quit()
    assert service.api.items(f"{path}/messages/expunged") == []
    usage = service.api.get(f"{path}/usage")
    assert (usage["messages"], usage["expunged_octets"]) == (5, 0)


def test_logins(service: Service, tenant: Tenant) -> None:
    """The right password, an app password, neither; a changed password is refused at once by every frontend."""
    address = tenant.add("ada")
    api = service.api
    issued = api.create_app_password(address, "phone")
    for frontend in (0, 1):
        for secret in (tenant.password, issued["secret"]):
            service.open(address, secret, frontend=frontend).quit()
        with pytest.raises(Refused, match=r"-ERR \[AUTH\]"):
            service.open(address, "wrong", frontend=frontend)
        with pytest.raises(Refused, match=r"-ERR \[AUTH\]"):
            service.open(f"nobody@{tenant.domain}", tenant.password, frontend=frontend)
    api.call("PUT", f"/v1/accounts/{address}/password", {"password": "quite another password"})
    api.call("DELETE", f"/v1/accounts/{address}/app-passwords/{issued['id']}")
    for frontend in (0, 1):
        for secret in (tenant.password, issued["secret"]):
            with pytest.raises(Refused, match=r"-ERR \[AUTH\]"):
                service.open(address, secret, frontend=frontend)
        service.open(address, "quite another password", frontend=frontend).quit()


def test_auth_plain(service: Service, tenant: Tenant) -> None:
    import base64

    address = tenant.add("ada")
    login = service.login(address, tenant.password)
    response = base64.b64encode(f"\0{address}\0{tenant.password}".encode()).decode()
    for command, continued in ((f"AUTH PLAIN {response}", False), ("AUTH PLAIN", True)):
        with Pop3(("127.0.0.1", login.pop3s_port), tls="implicit", context=login.context()) as session:
            session.send(command.encode() + b"\r\n")
            if continued:
                assert session.line().rstrip() == "+"
                session.send(response.encode() + b"\r\n")
            session.status()
            assert session.stat() == (0, 0)
            session.quit()


def test_commands_after_stls_in_clear_are_not_obeyed(service: Service, tenant: Tenant) -> None:
    """What was sent behind STLS before TLS began belongs to nobody (CVE-2011-0411 and its kin)."""
    address = tenant.add("ada")
    login = service.login(address, tenant.password)
    session = Pop3(("127.0.0.1", login.pop3_port))
    session.send(b"STLS\r\nCAPA\r\n")
    session.status()
    session._wrap(login.context())
    session.file = session.socket.makefile("rb")
    session.login(address, tenant.password)
    assert session.stat() == (0, 0)
    session.quit()


def test_stls_never_swallows_the_handshake(service: Service) -> None:
    """A client that begins its handshake the moment it sees +OK, many times and many at once."""

    def handshake(_: int) -> float:
        began = time.monotonic()
        login = service.login("nobody", "")
        with Pop3(("127.0.0.1", login.pop3_port), tls="stls", context=login.context(), seconds=20) as session:
            session.quit()
        return time.monotonic() - began

    with ThreadPoolExecutor(max_workers=12) as pool:
        assert max(pool.map(handshake, range(400))) < 15
