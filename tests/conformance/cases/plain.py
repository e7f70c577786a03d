"""RFC 4616: PLAIN; and LOGIN, which has no RFC."""

from __future__ import annotations

import base64

from ..case import Level, case
from ..mechanisms import answer, begin, login, plain
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(4616, "2", MUST, "PLAIN logs in, in the one-line and in the two-line form.")
def plain_logs_in(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.standard()
    for two_lines in (False, True):
        session = world.tls()
        check(begin(session, "PLAIN", plain(account.login, account.password), two_lines=two_lines).ok, "refused")
        session.stat()


@case(4616, "2", MUST, "PLAIN with a wrong password, an unknown name or no password is refused.")
def plain_with_wrong_credentials(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.standard()
    for message in (
        plain(account.login, "wrong"),
        plain("nobody@" + account.login.partition("@")[2], "x"),
        plain(account.login, ""),
        plain("", account.password),
    ):
        session = world.tls()
        check(not begin(session, "PLAIN", message).ok, f"accepted: {message!r}")
        session.expect_err("STAT")


@case(4616, "2", MUST, "A message without the two NULs, or with a third, is refused.")
def plain_with_wrong_nuls(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.standard()
    right = plain(account.login, account.password)
    for message in (
        right[1:],
        right + b"\0",
        right + b"\0x",
        b"\0" + right,
        b"",
        b"\0",
        b"\0\0",
        right.replace(b"\0", b" "),
    ):
        session = world.tls()
        check(not begin(session, "PLAIN", message).ok, f"accepted: {message!r}")
        session.expect_err("STAT")


@case(4616, "2", MUST, "An authorization identity that is the same as the authentication identity is accepted.")
def plain_as_oneself(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.standard()
    session = world.tls()
    check(begin(session, "PLAIN", plain(account.login, account.password, account.login)).ok, "refused")


@case(4616, "2", MUST, "Acting for another account is refused unless that is allowed.")
def plain_for_another(world: World) -> None:
    world.mechanism("PLAIN")
    account, other = world.standard(), world.account(1)
    session = world.tls()
    check(not begin(session, "PLAIN", plain(account.login, account.password, other.login)).ok, "accepted")
    session.expect_err("STAT")


@case(4616, "2", MUST, "A password in UTF-8 is taken.")
def plain_with_a_utf8_password(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.account(1, password="pa\u00dfw\u00f6rt\u2709 \u4f60\u597d")
    session = world.tls()
    check(begin(session, "PLAIN", plain(account.login, account.password)).ok, "refused")


@case(4616, "2", SHOULD, "Passwords are prepared with SASLprep: what differs only in that is the same password.")
def plain_with_saslprep(world: World) -> None:
    world.mechanism("PLAIN")
    # U+00AD is mapped to nothing, U+00AA to a, U+2168 to IX, U+00A0 to a space.
    account = world.account(1, password="IX and a horse")
    for same in ("\u2168 and a horse", "I\u00adX and a horse", "IX\u00a0and \u00aa horse"):
        session = world.tls()
        check(begin(session, "PLAIN", plain(account.login, same)).ok, f"refused: {same!a}")


@case(4616, "2", MUST, "A message that is no UTF-8 is refused.")
def plain_that_is_no_utf8(world: World) -> None:
    world.mechanism("PLAIN")
    account = world.standard()
    for message in (b"\0" + account.login.encode() + b"\0\xff\xfe", b"\0\xc3\0" + account.password.encode()):
        session = world.tls()
        check(not begin(session, "PLAIN", message).ok, f"accepted: {message!r}")


@case(5034, "4", MAY, "LOGIN (draft-murchison-sasl-login) asks for the name and the password, and logs in.")
def login_logs_in(world: World) -> None:
    world.mechanism("LOGIN")
    account = world.standard()
    session = world.tls()
    check(login(session, account.login, account.password).ok, "refused")
    session.stat()


@case(5034, "4", MAY, "LOGIN takes the name as initial response, as many clients send it.")
def login_with_an_initial_response(world: World) -> None:
    world.mechanism("LOGIN")
    account = world.standard()
    session = world.tls()
    reply = session.command(b"AUTH LOGIN " + base64.b64encode(account.login.encode()))
    check(reply.challenge is not None, f"{reply}")
    check(answer(session, account.password.encode()).ok, "refused")


@case(5034, "4", MUST, 'LOGIN with a wrong password is refused, and "*" ends it at either question.')
def login_that_fails(world: World) -> None:
    world.mechanism("LOGIN")
    account = world.standard()
    session = world.tls()
    check(not login(session, account.login, "wrong").ok, "accepted")
    session = world.tls()
    begin(session, "LOGIN")
    session.expect_err("*")
    begin(session, "LOGIN")
    answer(session, account.login.encode())
    session.expect_err("*")
    session.expect_err("STAT")
