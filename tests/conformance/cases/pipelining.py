"""RFC 2449 section 6.6: PIPELINING."""

from __future__ import annotations

import threading

from ..case import Level, case
from ..wire import Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _at_once(session: Session, *lines: str) -> None:
    session.send("".join(f"{line}\r\n" for line in lines).encode())


@case(2449, "6.6", MUST, "Commands sent in one write are answered one by one, in their order.")
def pipelined_in_order(world: World) -> None:
    world.offered("PIPELINING")
    session = world.login(world.account(3))
    octets = session.listing()
    _at_once(session, "LIST 3", "NOOP", "LIST 9", "DELE 1", "LIST 1", "LIST 2", "RSET", "LIST 1", "STAT")
    said = [session.reply() for _ in range(9)]
    check([reply.ok for reply in said] == [True, True, False, True, False, True, True, True, True], "the order")
    check(
        said[0].line.startswith(b"+OK 3 %d" % octets[3]) and said[7].line.startswith(b"+OK 1 %d" % octets[1]),
        "the order",
    )
    session.expect_silence(0.05)


@case(2449, "6.6", MUST, "USER, PASS and what follows may be sent in one write.")
def pipelined_login(world: World) -> None:
    world.offered("PIPELINING")
    account = world.account(2)
    session = world.session()
    _at_once(session, "CAPA", f"USER {account.login}", f"PASS {account.password}", "STAT", "UIDL", "DELE 1", "QUIT")
    check(session.reply().ok, "CAPA")
    session.rest()
    for what in ("USER", "PASS", "STAT"):
        check(session.reply().ok, what)
    check(session.reply().ok and len(session.rest()) == 2, "UIDL")
    check(session.reply().ok and session.reply().ok, "DELE, QUIT")
    session.expect_close()
    check(world.count(account) == 1, "the message is still there")


@case(2449, "6.6", MUST, "What is pipelined after a login that fails is answered in AUTHORIZATION.")
def pipelined_after_a_failed_login(world: World) -> None:
    world.offered("PIPELINING")
    account = world.standard()
    session = world.session()
    _at_once(
        session,
        f"USER {account.login}",
        "PASS wrong",
        "STAT",
        "DELE 1",
        f"USER {account.login}",
        f"PASS {account.password}",
        "STAT",
    )
    said = [session.reply().ok for _ in range(7)]
    check(said == [True, False, False, False, True, True, True], f"{said}")


@case(2449, "6.6", MUST, "Many RETRs in one write give all messages, each whole.")
def pipelined_retr(world: World) -> None:
    world.offered("PIPELINING")
    account = world.standard()
    session = world.login(account)
    octets = session.listing()
    _at_once(session, *(f"RETR {number}" for number in octets), "NOOP")
    for number, expected in octets.items():
        check(session.reply().ok, f"RETR {number}")
        check(len(session.message()) == expected, f"the octets of message {number}")
    check(session.reply().ok, "NOOP")


@case(2449, "6.6", MUST, "2 000 commands sent before any answer is read are all answered.")
def pipelined_thousands(world: World) -> None:
    world.offered("PIPELINING")
    session = world.login(world.standard())
    data = b"TOP 1 0\r\nNOOP\r\n" * 1000
    sender = threading.Thread(target=session.socket.sendall, args=(data,), daemon=True)
    if world.server.clear_passwords:
        sender.start()
    else:
        session.socket.sendall(data)
    for _ in range(1000):
        check(session.reply().ok, "TOP")
        session.rest()
        check(session.reply().ok, "NOOP")
        session.trace.lines.clear()


@case(2449, "6.6", MUST, "Answers do not wait for more commands: each is sent as soon as it can be.")
def answers_do_not_wait(world: World) -> None:
    session = world.login(world.standard())
    session.socket.sendall(b"STAT\r\nNOO")
    check(session.reply(5).ok, "STAT")
    session.socket.sendall(b"P\r\n")
    check(session.reply(5).ok, "NOOP")
