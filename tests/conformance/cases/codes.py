"""RFC 3206: the SYS and AUTH response codes."""

from __future__ import annotations

from ..case import Level, case
from ..mechanisms import begin, plain
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(3206, "6", MUST, "Where AUTH-RESP-CODE is listed, a login with wrong credentials is answered -ERR [AUTH].")
def auth_code(world: World) -> None:
    world.offered("AUTH-RESP-CODE")
    account = world.standard()
    for name in (account.login, f"nobody@{account.login.partition('@')[2]}"):
        session = world.session()
        session.expect_ok(f"USER {name}")
        reply = session.expect_err("PASS wrong")
        check(reply.code == "AUTH", f"{reply}")


@case(3206, "6", MUST, "The same holds for AUTH.")
def auth_code_of_sasl(world: World) -> None:
    world.offered("AUTH-RESP-CODE")
    world.mechanism("PLAIN")
    reply = begin(world.tls(), "PLAIN", plain(world.standard().login, "wrong"))
    check(reply.code == "AUTH", f"{reply}")


@case(
    3206,
    "5",
    SHOULD,
    "[AUTH] is for credentials only: commands out of place, bad syntax and missing messages do not have it.",
)
def no_auth_code_elsewhere(world: World) -> None:
    session = world.session()
    said = [session.expect_err(line) for line in ("STAT", "XYZZY", "PASS x", "AUTH NO-SUCH-MECHANISM")]
    session = world.login(world.standard())
    said += [session.expect_err(line) for line in ("RETR 99", "DELE 0", "TOP 1", "USER x")]
    check(not [reply for reply in said if reply.code == "AUTH"], "[AUTH] where no credentials were looked at")


@case(
    3206,
    "4",
    SHOULD,
    "An account that may not log in is told so only to whom has the right password, with [AUTH] or [SYS/PERM].",
)
def suspended_account(world: World) -> None:
    account = world.account(1)
    world.server.suspend(account)
    session = world.session()
    session.expect_ok(f"USER {account.login}")
    reply = session.expect_err("PASS wrong")
    check(reply.code in ("AUTH", None), f"a wrong password: {reply}")
    session = world.session()
    session.expect_ok(f"USER {account.login}")
    reply = session.expect_err(f"PASS {account.password}")
    check(reply.code in ("AUTH", "SYS/PERM"), f"the right password: {reply}")


@case(
    3206,
    "4",
    MUST,
    "When what a login needs is away, the answer is -ERR [SYS/TEMP] or [SYS/PERM], not [AUTH], on a living connection.",
    alone=True,
)
def login_while_the_system_is_broken(world: World) -> None:
    account = world.standard()
    with world.server.broken_logins():
        session = world.session()
        session.expect_ok(f"USER {account.login}")
        reply = session.expect_err(f"PASS {account.password}")
        check(reply.code in ("SYS/TEMP", "SYS/PERM"), f"{reply}")
    world.login(account)


@case(
    3206,
    "4",
    MUST,
    "When a message cannot be read, RETR is answered -ERR [SYS/TEMP] or [SYS/PERM], and the session goes on.",
    alone=True,
)
def retr_while_the_store_is_away(world: World) -> None:
    account = world.account([b"Subject: x\r\n\r\n" + b"not cached anywhere\r\n" * 10])
    session = world.login(account)
    with world.server.broken_bodies(account):
        reply = session.expect_err("RETR 1")
        check(reply.code in ("SYS/TEMP", "SYS/PERM"), f"{reply}")
        session.stat()
    session.body("RETR 1")


@case(3206, "4", MUST, "When QUIT cannot delete, the answer is -ERR [SYS/TEMP] or [SYS/PERM].", alone=True)
def quit_while_the_system_is_broken(world: World) -> None:
    account = world.account(1)
    session = world.login(account)
    session.expect_ok("DELE 1")
    with world.server.broken_updates():
        reply = session.expect_err("QUIT")
    check(reply.code in ("SYS/TEMP", "SYS/PERM"), f"{reply}")
