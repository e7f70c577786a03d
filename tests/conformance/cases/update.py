"""RFC 1939 section 6: the UPDATE state, and what is no way into it."""

from __future__ import annotations

from ..case import Level, add, case
from ..wire import Silence, Violation
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(1939, "6", MUST, "QUIT deletes what is marked, keeps the rest, is answered +OK, and the server closes.")
def quit_deletes(world: World) -> None:
    account = world.account(4)
    session = world.login(account)
    before = session.unique_ids()
    session.expect_ok("DELE 2")
    session.expect_ok("DELE 4")
    session.quit()
    check(list(world.login(account).unique_ids().values()) == [before[1], before[3]], "not what was left unmarked")


@case(1939, "6", MUST, "QUIT with all messages marked leaves an empty maildrop.")
def quit_deletes_all(world: World) -> None:
    account = world.account(3)
    session = world.login(account)
    for number in (3, 1, 2):
        session.expect_ok(f"DELE {number}")
    session.quit()
    session = world.login(account)
    check(session.stat() == (0, 0), "messages are left")


@case(1939, "6", MUST, "QUIT without marks deletes nothing.")
def quit_without_marks(world: World) -> None:
    account = world.account(2)
    world.login(account).quit()
    check(world.count(account) == 2, "messages are gone")


@case(1939, "6", MUST, "The +OK to QUIT comes only when the messages are removed.")
def quit_is_answered_after_the_deletion(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    session.expect_ok("DELE 1")
    with world.server.held_updates(account):
        session.send(b"QUIT\r\n")
        try:
            reply = session.reply(1.0)
        except Silence:
            world.trace.note("no answer while the deletion cannot be made")
        else:
            raise Violation(f"answered before the deletion: {reply}")
    check(session.reply().ok, "refused afterwards")
    check(world.count(account) == 1, "the message is still there")


@case(
    1939, "6", MUST, "When messages could not be removed, QUIT is answered -ERR, and they are still there.", alone=True
)
def quit_tells_a_failure(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    session.expect_ok("DELE 1")
    with world.server.broken_updates():
        session.expect_err("QUIT")
        session.expect_close()
    check(world.count(account) == 2, "a message is gone")


def _lost(how: str, tls: bool):
    def run(world: World) -> None:
        account = world.account(3)
        session = world.login(account, world.tls() if tls else world.session())
        session.expect_ok("DELE 1")
        session.expect_ok("DELE 2")
        if how == "half":
            session.half_close()
            session.expect_close()
        elif how == "in_line":
            session.socket.sendall(b"QUIT")
            session.drop()
        elif how == "in_retr":
            session.socket.sendall(b"RETR 3\r\nRETR 3\r\nRETR 3\r\n")
            session.drop(reset=True)
        else:
            session.drop(reset=how == "reset")
        check(world.count(account) == 3, "messages are gone although there was no QUIT")

    return run


for _how, _what in (
    ("close", "the client closes"),
    ("reset", "the connection is reset"),
    ("half", "the client closes its direction"),
    ("in_line", "the connection ends inside the line QUIT"),
    ("in_retr", "the connection is reset during RETR"),
):
    add(
        f"lost_connection_{_how}", 1939, "6", MUST, f"Nothing is deleted when {_what} without QUIT.", _lost(_how, False)
    )
add(
    "lost_connection_tls",
    1939,
    "6",
    MUST,
    "Nothing is deleted when a TLS connection ends without QUIT.",
    _lost("close", True),
)


@case(
    1939, "6", MUST, "A QUIT that was sent is executed and answered, although the client closed its direction after it."
)
def quit_then_half_close(world: World) -> None:
    account = world.account(2)
    session = world.plain() if world.server.clear_passwords else world.tls()
    world.login(account, session)
    session.send(b"DELE 1\r\nQUIT\r\n")
    if world.server.clear_passwords:
        session.half_close()
    check(session.reply().ok, "DELE")
    check(session.reply().ok, "QUIT")
    session.expect_close()
    check(world.count(account) == 1, "the message is still there")


@case(1939, "6", MUST, "QUIT before login does not enter UPDATE, and nothing of another session's marks is deleted.")
def quit_before_login_deletes_nothing(world: World) -> None:
    account = world.account(2)
    marking = world.login(account)
    marking.expect_ok("DELE 1")
    other = world.session()
    other.expect_ok(f"USER {account.login}")
    other.quit()
    marking.drop()
    check(world.count(account) == 2, "a message is gone")


@case(1939, "6", MUST, "Commands after QUIT are not executed.")
def nothing_after_quit(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    session.send(b"QUIT\r\nDELE 1\r\nQUIT\r\n")
    check(session.reply().ok, "QUIT")
    try:
        reply = session.reply()
    except Violation:
        pass
    else:
        raise Violation(f"answered after QUIT: {reply}")
    check(world.count(account) == 2, "a message is gone")


@case(1939, "6", MUST, "QUIT with an argument is refused or executed, never answered +OK without being executed.")
def quit_with_an_argument(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    session.expect_ok("DELE 1")
    reply = session.command("QUIT now")
    session.drop()
    check(world.count(account) == (1 if reply.ok else 2), "the answer and the maildrop do not agree")
