"""RFC 1939 section 4 and section 7 (USER, PASS): the AUTHORIZATION state."""

from __future__ import annotations

from ..case import Level, NotOffered, case
from ..wire import Closed
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(1939, "4", MUST, "QUIT before login is answered +OK and the server closes.")
def quit_before_login(world: World) -> None:
    world.plain().quit()


@case(1939, "7", MUST, "USER and then PASS with the right password enter TRANSACTION.")
def user_and_pass(world: World) -> None:
    world.login(world.standard()).stat()


@case(1939, "7", MUST, "A wrong password is answered -ERR, and no maildrop is opened.")
def wrong_password(world: World) -> None:
    session = world.session()
    session.expect_ok(f"USER {world.standard().login}")
    session.expect_err("PASS wrong")
    session.expect_err("STAT")


@case(1939, "7", MUST, "A password that is a prefix or an extension of the right one, or has another case, is wrong.")
def nearly_right_passwords(world: World) -> None:
    account = world.standard()
    right = account.password
    for wrong in (right[:-1], right + "x", right.upper(), right + " ", " " + right):
        session = world.session()
        session.expect_ok(f"USER {account.login}")
        session.expect_err(f"PASS {wrong}")


@case(1939, "4", MAY, "After a failed login the client may try again on the same connection, unless the server closes.")
def another_try_after_a_failure(world: World) -> None:
    account = world.standard()
    session = world.session()
    session.expect_ok(f"USER {account.login}")
    session.expect_err("PASS wrong")
    try:
        world.login(account, session).stat()
    except Closed:
        world.trace.note("the server closes after a failed login")


@case(1939, "7", MUST, "PASS without a USER before it is answered -ERR.")
def pass_without_user(world: World) -> None:
    session = world.session()
    session.expect_err(f"PASS {world.standard().password}")
    session.expect_err("STAT")


@case(1939, "7", MUST, "PASS is taken only right after a successful USER: not a second time after it failed.")
def pass_twice(world: World) -> None:
    account = world.standard()
    session = world.session()
    session.expect_ok(f"USER {account.login}")
    session.expect_err("PASS wrong")
    session.expect_err(f"PASS {account.password}")


@case(1939, "7", MAY, "A space in the argument of PASS belongs to the password.")
def password_with_spaces(world: World) -> None:
    account = world.account(password="two  words, and three")
    world.login(account).stat()


@case(1939, "13", SHOULD, "USER does not tell whether a name exists, and neither does the failure that follows.")
def names_cannot_be_guessed(world: World) -> None:
    account = world.standard()
    said = []
    for name in (account.login, f"nobody-of-that-name@{account.login.partition('@')[2]}", "nobody@no-such-domain.test"):
        session = world.session()
        said.append(
            (session.command(f"USER {name}").line.replace(name.encode(), b""), session.command("PASS wrong").line)
        )
    check(len(set(said)) == 1, f"the answers differ: {said}")


@case(1939, "4", MUST, "Messages are numbered 1, 2, … in the order in which they are in the maildrop.")
def numbers_from_one(world: World) -> None:
    session = world.login(world.standard())
    count = session.stat()[0]
    check(list(session.listing()) == list(range(1, count + 1)), "LIST is not numbered 1 to n")
    check(list(session.unique_ids()) == list(range(1, count + 1)), "UIDL is not numbered 1 to n")


@case(
    1939,
    "4",
    MUST,
    "What is delivered during a session is neither seen in it nor changes its numbers; the next session sees it.",
)
def deliveries_are_not_seen_in_the_session(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    before = (session.stat(), session.listing(), session.unique_ids())
    world.server.deliver(account, [b"Subject: later\r\n\r\ntext\r\n"])
    check((session.stat(), session.listing(), session.unique_ids()) == before, "the listing changed in the session")
    session.expect_err("RETR 3")
    session.quit()
    check(world.count(account) == 3, "the next session does not see it")


@case(1939, "4", MAY, "A login name's domain is taken in any case.")
def login_domain_in_any_case(world: World) -> None:
    account = world.standard()
    local, _, domain = account.login.partition("@")
    if not domain:
        raise NotOffered("login names have no domain")
    session = world.session()
    session.expect_ok(f"USER {local}@{domain.upper()}")
    session.expect_ok(f"PASS {account.password}")


@case(1939, "4", MUST, "One account's session shows nothing of another's maildrop.")
def accounts_are_apart(world: World) -> None:
    one, other = world.account(2), world.account(3)
    a, b = world.login(one), world.login(other)
    check((a.stat()[0], b.stat()[0]) == (2, 3), "the counts are mixed up")
    a.expect_ok("DELE 1")
    a.quit()
    check(b.stat()[0] == 3 and world.count(other) == 3, "the other maildrop changed")
