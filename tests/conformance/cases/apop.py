"""RFC 1939 section 7: APOP."""

from __future__ import annotations

import hashlib
import re

from ..case import Level, NotApplicable, NotOffered, case
from ..server import Account
from ..wire import Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _stamp(session: Session) -> bytes:
    match = re.search(rb"<[^<>]*>", session.greeting.line)
    if not match:
        raise NotOffered("the greeting has no timestamp")
    return match.group(0)


def _account(world: World) -> tuple[Account, str]:
    _stamp(world.session())
    account = world.account(1, legacy=True)
    if account.legacy is None:
        raise NotApplicable("the profile has no secret for it")
    return account, account.legacy


def _digest(stamp: bytes, secret: str) -> str:
    return hashlib.md5(stamp + secret.encode()).hexdigest()


@case(1939, "7", MUST, "The timestamp in the greeting has the form of a message-id.")
def apop_timestamp(world: World) -> None:
    for session in (world.plain(), world.tls()):
        check(re.fullmatch(rb"<[!-;=?-~]+@[!-;=?-~]+>", _stamp(session)), f"{session.greeting}")


@case(1939, "7", MUST, "The timestamp is another one in each greeting.")
def apop_timestamps_never_repeat(world: World) -> None:
    stamps = [_stamp(world.plain()) for _ in range(30)] + [_stamp(world.tls()) for _ in range(5)]
    check(len(set(stamps)) == 35, "one came back")


@case(1939, "7", MUST, "APOP with the digest of timestamp and secret enters TRANSACTION.")
def apop_logs_in(world: World) -> None:
    account, secret = _account(world)
    for session in (world.session(), world.tls()):
        session.expect_ok(f"APOP {account.login} {_digest(_stamp(session), secret)}")
        check(session.stat()[0] == 1, "another maildrop")


@case(1939, "7", MUST, "APOP with a wrong digest, or that of another greeting, is answered -ERR.")
def apop_with_wrong_digests(world: World) -> None:
    account, secret = _account(world)
    other = _stamp(world.session())
    for digest in (
        lambda _: "0" * 32,
        lambda _: _digest(other, secret),
        lambda stamp: _digest(stamp, secret + "x"),
        lambda stamp: _digest(stamp, secret)[:31],
    ):
        session = world.session()
        session.expect_err(f"APOP {account.login} {digest(_stamp(session))}")
        session.expect_err("STAT")


@case(1939, "7", MUST, "APOP wants a name and a digest.")
def apop_arguments(world: World) -> None:
    account, _ = _account(world)
    for line in ("APOP", f"APOP {account.login}", f"APOP {account.login} x", f"APOP {account.login} {'0' * 32} x"):
        session = world.session()
        session.expect_err(line)
        session.expect_err("STAT")


@case(
    1939,
    "7",
    MUST,
    "APOP after STLS works with the timestamp of the greeting, or is refused; it is never taken with none.",
)
def apop_after_stls(world: World) -> None:
    account, secret = _account(world)
    session = world.plain()
    stamp = _stamp(session)
    if "STLS" not in session.capabilities():
        raise NotOffered("CAPA does not list STLS")
    session.stls(world.server.context())
    session.expect_err(f"APOP {account.login} {_digest(b'', secret)}")
    session = world.plain()
    stamp = _stamp(session)
    session.stls(world.server.context())
    reply = session.command(f"APOP {account.login} {_digest(stamp, secret)}")
    world.trace.note("taken" if reply.ok else "refused")


@case(1939, "7", MUST, "A server without APOP has no timestamp in its greeting and answers APOP -ERR.")
def apop_not_offered(world: World) -> None:
    session = world.session()
    if b"<" in session.greeting.line:
        raise NotApplicable("APOP is offered")
    session.expect_err(f"APOP {world.standard().login} {'0' * 32}")
