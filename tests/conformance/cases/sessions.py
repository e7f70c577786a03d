"""Sessions side by side, and clients that read slowly or not at all."""

from __future__ import annotations

import time

from ..case import Level, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(1939, "3", SHOULD, "64 sessions of 8 accounts are served at a time, each with its own marks.")
def many_sessions(world: World) -> None:
    accounts = [world.account(2) for _ in range(8)]
    sessions = [(account, world.login(account)) for account in accounts for _ in range(8)]
    for number, (_, session) in enumerate(sessions):
        session.expect_ok(f"DELE {1 + number % 2}")
    for _, session in sessions:
        check(session.stat()[0] == 1, "another session's mark is seen")
    for _, session in sessions:
        session.drop()
    for account in accounts:
        check(world.count(account) == 2, "a message is gone")


@case(
    1939,
    "8",
    MAY,
    "Two sessions of one account can be open at a time, and a message that one deleted does not break the other.",
)
def two_sessions_of_one_account(world: World) -> None:
    account = world.account(3)
    first, second = world.login(account), world.session()
    second.expect_ok(f"USER {account.login}")
    reply = second.command(f"PASS {account.password}")
    if not reply.ok:
        check(reply.code in ("IN-USE", None), f"{reply}")
        return
    # A server may take its snapshot with the first command after the login.
    check(second.stat()[0] == 3, "a message is missing")
    first.expect_ok("DELE 1")
    first.quit()
    check(second.stat()[0] == 3, "the snapshot changed")
    reply = second.command("RETR 1")
    if reply.ok:
        second.message()
    second.body("RETR 2")
    for number in (1, 2):
        second.expect_ok(f"DELE {number}")
    second.command("QUIT")
    check(world.count(account) == 1, "not one message is left")


@case(1939, "3", SHOULD, "A client that reads slowly gets the whole message.")
def slow_reader(world: World) -> None:
    account = world.standard()
    session = world.login(account, receive_buffer=4096)
    octets = session.listing()
    last = max(octets)
    session.send(f"RETR {last}\r\n".encode())
    time.sleep(0.3)
    check(session.reply().ok, "RETR")
    check(len(session.message()) == octets[last], "the octets")


@case(1939, "3", SHOULD, "A client that reads nothing does not hold others up.")
def reader_that_does_not_read(world: World) -> None:
    account = world.standard()
    stuck = world.login(account, receive_buffer=4096)
    stuck.socket.settimeout(1)
    try:
        stuck.socket.sendall(b"RETR 11\r\n" * 200)
    except TimeoutError:
        world.trace.note("the server takes no more commands")
    other = world.login(account)
    check(other.body("RETR 1"), "RETR")
    other.quit()
