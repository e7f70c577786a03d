"""RFC 1939 section 3: commands, responses, states and the inactivity timer."""

from __future__ import annotations

import time

from .. import wire
from ..case import Level, NotApplicable, add, case
from ..wire import Violation
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY

IN_AUTHORIZATION = ("CAPA", "QUIT")
ONLY_TRANSACTION = ("STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL", "UIDL 1")
ONLY_AUTHORIZATION = (
    "USER somebody",
    "PASS something",
    "APOP somebody c4c9334bac560ecc979e58001b3e22fb",
    "AUTH PLAIN",
    "STLS",
)


@case(1939, "4", MUST, "On connecting, the server sends one line that begins with +OK.")
def greeting_is_one_positive_line(world: World) -> None:
    session = world.plain()
    check(session.greeting.ok, f"the greeting is {session.greeting}")
    session.expect_silence()


@case(1939, "3", MUST, "A keyword is taken in upper, lower and mixed case.")
def keywords_in_any_case(world: World) -> None:
    account = world.account(1)
    session = world.session()
    session.expect_ok(f"user {account.login}")
    session.expect_ok(f"pAsS {account.password}")
    for word in ("stat", "Stat", "noop", "nOOp", "list 1", "rSET", "uidl 1", "dele 1", "Rset"):
        session.expect_ok(word)
    session.multi("lIsT")
    session.body("reTR 1")
    session.body("toP 1 1")
    session.expect_ok("quit")


def _wrong_in_authorization(line: str):
    def run(world: World) -> None:
        session = world.session()
        session.expect_err(line)
        session.expect_silence(0.05)
        account = world.standard()
        world.login(account, session).stat()

    return run


for _line in ONLY_TRANSACTION:
    add(
        f"authorization_refuses_{_line.lower().replace(' ', '_')}", 1939, "3", MUST,
        f"{_line} before login is answered -ERR, and the session stays in AUTHORIZATION.", _wrong_in_authorization(_line),
    )  # fmt: skip


def _wrong_in_transaction(line: str):
    def run(world: World) -> None:
        session = world.login(world.standard())
        before = session.stat()
        session.expect_err(line)
        check(session.stat() == before, "the maildrop changed")

    return run


for _line in ONLY_AUTHORIZATION:
    add(
        f"transaction_refuses_{_line.split()[0].lower()}", 1939, "3", MUST,
        f"{_line.split()[0]} after login is answered -ERR, and the session stays in TRANSACTION.", _wrong_in_transaction(_line),
    )  # fmt: skip


@case(1939, "3", MUST, "What is no command is answered -ERR, in both states, and the session goes on.")
def unknown_commands(world: World) -> None:
    session = world.session()
    session.expect_err("XYZZY")
    world.login(world.standard(), session)
    for line in (b"XYZZY", b"NOOPS", b"EXPN a"):
        session.expect_err(line)
    session.expect_ok("NOOP")


@case(1939, "3", MUST, "Lines that are no text (empty, NUL, 8-bit, spaces first) are answered -ERR once each.")
def lines_that_are_no_commands(world: World) -> None:
    for line in (b"", b" ", b" NOOP", b"NO\0OP", b"\xff\xfe\xfd", b"\x16\x03\x01\x02"):
        session = world.login(world.standard())
        session.send(line + b"\r\n" + b"STAT\r\n")
        check(not session.reply().ok, f"{line!r} was not refused")
        check(session.reply().ok, "STAT after it was refused")


@case(1939, "3", MAY, "Spaces at the end of a line do no harm.")
def spaces_at_the_end(world: World) -> None:
    session = world.login(world.account(1))
    for line in ("NOOP ", "STAT ", "LIST 1 ", "DELE 1 ", "RSET "):
        session.expect_ok(line)
    session.multi("LIST ")
    session.multi("UIDL ")
    session.body("TOP 1 0 ")


@case(1939, "3", MUST, "A command that lacks an argument is answered -ERR.")
def missing_arguments(world: World) -> None:
    session = world.session()
    session.expect_err("USER")
    account = world.standard()
    world.login(account, session)
    for line in ("RETR", "DELE", "TOP", "TOP 1", "RETR ", "DELE "):
        session.expect_err(line)
    check(session.stat()[0] > 0, "messages were marked")


@case(1939, "3", SHOULD, "A command with an argument too many is answered -ERR and does nothing.")
def arguments_too_many(world: World) -> None:
    session = world.login(world.standard())
    before = session.stat()
    for line in ("DELE 1 2", "RETR 1 2", "TOP 1 2 3", "LIST 1 2", "UIDL 1 2"):
        session.expect_err(line)
    check(session.stat() == before, "the maildrop changed")


@case(1939, "3", MUST, "A command line may arrive in pieces of any size, cut at every octet.")
def commands_in_pieces(world: World) -> None:
    account = world.account(1)
    session = world.session()
    for octet in f"USER {account.login}\r\nPASS {account.password}\r\nSTAT\r\n".encode():
        session.socket.sendall(bytes([octet]))
        time.sleep(0.001)
    for _ in range(3):
        check(session.reply().ok, "refused")
    session.socket.sendall(b"NOOP\r")
    session.expect_silence(0.2)
    session.socket.sendall(b"\n")
    check(session.reply().ok, "refused")


@case(1939, "3", MUST, "Responses are of at most 512 octets, begin with +OK or -ERR in upper case, and end in CRLF.")
def shapes_of_responses(world: World) -> None:
    # `Session` looks at each: here are commands of every kind, right and wrong.
    session = world.session()
    session.expect_err("XYZZY " + "x" * 200)
    session.command("USER " + "x" * 200)
    session.command("AUTH XYZZY")
    session.command("PASS " + "x" * 200)
    session = world.login(world.standard())
    for line in ("STAT", "LIST 1", "LIST 99", "UIDL 1", "UIDL 99", "RETR 99", "DELE 99", "NOOP", "RSET", "TOP 99 1"):
        session.command(line)
    for line in ("LIST", "UIDL", "CAPA"):
        session.multi(line)
    session.quit()


@case(1939, "3", MUST, "The inactivity timer is at least 10 minutes unless an operator sets it otherwise.")
def inactivity_timer_is_ten_minutes(world: World) -> None:
    seconds = world.server.inactivity_seconds
    if seconds is None:
        raise NotApplicable("the profile cannot tell the server's default")
    world.trace.note(f"the default, by configuration: {seconds} s")
    check(seconds >= 600, f"the default is {seconds} s")


@case(
    1939,
    "3",
    MUST,
    "When the inactivity timer runs out, the server closes and deletes nothing, and does not speak unasked.",
)
def inactivity_deletes_nothing(world: World) -> None:
    if world.server.short is None:
        raise NotApplicable("the profile has no listener with a short timer")
    account = world.account(2)
    session = world.login(account, world.at(world.server.short))
    session.expect_ok("DELE 1")
    session.expect_close(world.server.short_seconds + wire.SECONDS)
    check(world.count(account) == 2, "a message is gone")


@case(1939, "3", MUST, "Any command from the client starts the inactivity timer anew.")
def commands_restart_the_timer(world: World) -> None:
    if world.server.short is None:
        raise NotApplicable("the profile has no listener with a short timer")
    session = world.login(world.standard(), world.at(world.server.short))
    # Together longer than the timer; each far enough below it for a busy machine.
    for _ in range(3):
        time.sleep(world.server.short_seconds * 0.4)
        session.expect_ok("NOOP")


def _bad_numbers(command: str, arguments: str):
    def run(world: World) -> None:
        session = world.login(world.account(3))
        for number in (
            "0", "00", "-1", "+1", "4", "1x", "0x1", "1.0", "one", "*", "1,2", "1:2", "\u0661", "4294967295", "4294967296",
            "4294967297", "18446744073709551616", "18446744073709551617", "9" * 39,
        ):  # fmt: skip
            session.send(f"{command} {number}{arguments}\r\n".encode())
            reply = session.reply()
            check(reply.line.startswith(b"-ERR"), f"{command} {number} was not refused: {reply}")
        check(session.stat()[0] == 3, "a message was marked")
        # Several refusals in a row may end a session; this one may not have ended before the last was answered.

    return run


for _command, _arguments in (("LIST", ""), ("RETR", ""), ("DELE", ""), ("TOP", " 1"), ("UIDL", "")):
    _section = "7" if _command in ("TOP", "UIDL") else "5"
    add(
        f"bad_message_numbers_{_command.lower()}", 1939, _section, MUST,
        f"{_command} with 0, a sign, a word, a number above the last or one beyond 32 or 64 bits is answered -ERR and does nothing.",
        _bad_numbers(_command, _arguments),
    )  # fmt: skip


@case(1939, "5", MAY, "A message-number with leading zeros names the same message.")
def leading_zeros(world: World) -> None:
    session = world.login(world.account(3))
    reply = session.command("LIST 002")
    if reply.ok:
        check(reply.line.split()[1] in (b"2", b"002"), f"another message: {reply}")


@case(1939, "3", SHOULD, "Nonsense without end is not answered for ever: after some bad commands the server closes.")
def nonsense_is_bounded(world: World) -> None:
    session = world.plain()
    try:
        for _ in range(200):
            session.expect_err("XYZZY")
    except Violation as violation:
        if "was not refused" in str(violation):
            raise
        return
    raise NotApplicable("200 bad commands were answered one by one")
