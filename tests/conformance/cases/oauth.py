"""RFC 7628: OAUTHBEARER; and XOAUTH2, which has no RFC."""

from __future__ import annotations

import base64
import json
import time

from ..case import Level, add, case
from ..mechanisms import answer, begin, encode, oauthbearer, xoauth2
from ..wire import Reply, Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
MESSAGES = {"OAUTHBEARER": oauthbearer, "XOAUTH2": xoauth2}


def _finish(session: Session, reply: Reply, mechanism: str) -> Reply:
    """The server may tell what is wrong in a challenge; the client answers with one octet (or none) and is refused."""
    if reply.challenge is not None:
        told = json.loads(reply.challenge)
        check(isinstance(told, dict) and "status" in told, f"the challenge tells no status: {told}")
        reply = answer(session, b"\x01" if mechanism == "OAUTHBEARER" else b"")
    return reply


def _logs_in(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1)
    token = world.server.token(account)
    session = world.tls()
    reply = begin(session, mechanism, MESSAGES[mechanism](account.login, token), two_lines=True)
    check(reply.ok, f"{reply}")
    check(session.stat()[0] == 1, "another maildrop")


def _one_line(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1)
    session = world.tls()
    response = encode(MESSAGES[mechanism](account.login, world.server.token(account)))
    reply = session.command(b"AUTH %s %s" % (mechanism.encode(), response))
    check(reply.ok, f"{reply}")
    check(session.stat()[0] == 1, "another maildrop")


def _refused(world: World, mechanism: str, name: str, token: str, what: str) -> None:
    session = world.tls()
    reply = _finish(session, begin(session, mechanism, MESSAGES[mechanism](name, token)), mechanism)
    check(reply.line.startswith(b"-ERR"), f"{what}: {reply}")
    check(reply.code != "SYS/TEMP", f"{what} was not looked at: {reply}")
    session.expect_err("STAT")


def _wrong_tokens(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account, other = world.account(1), world.account(1)
    now = int(time.time())
    right = world.server.token(account)
    head, body, signature = right.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for what, token in (
        ("no token at all", "x"),
        ("a broken signature", f"{head}.{body}.{signature[4:8]}{signature[:4]}{signature[8:]}"),
        ("no signature", f"{head}.{body}."),
        ("the algorithm none", f"{none}.{body}."),
        ("an expired token", world.server.token(account, exp=now - 3600, iat=now - 7200, nbf=now - 7200)),
        ("a token for later", world.server.token(account, nbf=now + 3600)),
        ("another issuer", world.server.token(account, iss="https://another.test")),
        ("another's token", world.server.token(other)),
    ):
        _refused(world, mechanism, account.login, token, what)


def _wrong_audience(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1)
    _refused(world, mechanism, account.login, world.server.token(account, aud="another-service"), "another audience")


def _malformed(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1)
    token = world.server.token(account)
    right = MESSAGES[mechanism](account.login, token)
    for message in (
        b"",
        b"\x01",
        right.replace(b"\x01", b""),
        right.replace(b"Bearer", b"Basic"),
        right.replace(b"auth=", b"htua="),
        b"x" + right,
    ):
        session = world.tls()
        reply = begin(session, mechanism, message)
        if reply.challenge is not None:
            reply = answer(session, b"\x01")
        check(reply.line.startswith(b"-ERR"), f"{message[:30]!r}: {reply}")
        session.expect_err("STAT")


def _long(world: World, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1)
    token = world.server.token(account, groups=["x" * 100] * 30)
    session = world.tls()
    reply = begin(session, mechanism, MESSAGES[mechanism](account.login, token))
    check(reply.ok, f"{reply}")


for _mechanism in MESSAGES:
    for _name, _level, _section, _requirement, _run in (
        ("logs_in", MUST, "3.1", "{} with a good token logs in.", _logs_in),
        (
            "one_line",
            MAY,
            "3.1",
            "{} takes a token in the line of AUTH, too, although that is longer than RFC 5034 lets a client send.",
            _one_line,
        ),
        (
            "wrong_tokens",
            MUST,
            "3.2.2",
            "{} refuses tokens that are broken, unsigned, expired, not yet valid, another issuer's or another's.",
            _wrong_tokens,
        ),
        ("wrong_audience", MUST, "3.2.2", "{} refuses a token made for another service.", _wrong_audience),
        ("malformed", MUST, "3.1", "{} refuses malformed messages.", _malformed),
        ("long_token", MUST, "3.1", "{} takes tokens of 4 000 octets.", _long),
    ):
        add(
            f"{_mechanism.lower()}_{_name}", 7628, _section, _level, _requirement.format(_mechanism),
            lambda world, run=_run, mechanism=_mechanism: run(world, mechanism),
        )  # fmt: skip


@case(7628, "3.2.2", MUST, "OAUTHBEARER tells a failure as JSON with a status, waits for one octet, and then refuses.")
def oauthbearer_tells_the_failure(world: World) -> None:
    world.mechanism("OAUTHBEARER")
    session = world.tls()
    reply = begin(session, "OAUTHBEARER", oauthbearer(world.standard().login, "no-token"))
    check(reply.challenge, f"no challenge with the failure: {reply}")
    check(_finish(session, reply, "OAUTHBEARER").line.startswith(b"-ERR"), "not refused")
    session.capabilities()


@case(7628, "3.1", MUST, "OAUTHBEARER is not listed without TLS.")
def oauthbearer_needs_tls(world: World) -> None:
    session = world.at(world.server.strict or world.server.plain)
    listed = session.capabilities().get("SASL", [])
    check(not {"OAUTHBEARER", "XOAUTH2"} & set(listed), f"SASL {listed}")
