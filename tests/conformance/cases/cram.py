"""RFC 2195: CRAM-MD5; and NTLM, which has no RFC ([MS-NLMP])."""

from __future__ import annotations

import re

from ..case import Level, NotApplicable, case
from ..mechanisms import answer, begin, cram_md5, ntlm
from ..server import Account
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _account(world: World, mechanism: str) -> tuple[Account, str]:
    world.mechanism(mechanism, clear=True)
    account = world.account(1, legacy=True)
    if account.legacy is None:
        raise NotApplicable("the profile has no secret for it")
    return account, account.legacy


@case(2195, "2", MUST, "CRAM-MD5 logs in, over TLS and where it is listed in clear.")
def cram_md5_logs_in(world: World) -> None:
    account, secret = _account(world, "CRAM-MD5")
    for session in (world.tls(), world.session()):
        check(cram_md5(session, account.login, secret).ok, "refused")
        check(session.stat()[0] == 1, "another maildrop")


@case(2195, "2", MUST, "The challenge of CRAM-MD5 has the form of a message-id and is never the same.")
def cram_md5_challenges(world: World) -> None:
    _account(world, "CRAM-MD5")
    challenges = [begin(world.tls(), "CRAM-MD5").challenge or b"" for _ in range(5)]
    check(len(set(challenges)) == 5, "the same again")
    for challenge in challenges:
        check(re.fullmatch(rb"<[!-;=?-~]+@[!-;=?-~]+>", challenge), f"{challenge!r}")


@case(2195, "2", MUST, "CRAM-MD5 with a wrong secret, an unknown name, or a digest in another form is refused.")
def cram_md5_that_fails(world: World) -> None:
    account, secret = _account(world, "CRAM-MD5")
    session = world.tls()
    check(not cram_md5(session, account.login, secret + "x").ok, "accepted")
    session = world.tls()
    check(not cram_md5(session, "nobody@" + account.login.partition("@")[2], secret).ok, "accepted")
    for response in (
        b"",
        b"x",
        account.login.encode(),
        account.login.encode() + b" ",
        account.login.encode() + b" " + b"0" * 32,
        b" " + b"0" * 32,
        b"\xff " + b"0" * 31,
    ):
        session = world.tls()
        begin(session, "CRAM-MD5")
        check(not answer(session, response).ok, f"accepted: {response!r}")
        session.expect_err("STAT")


@case(2195, "2", MUST, "CRAM-MD5 of an account without a secret for it is refused.")
def cram_md5_without_a_secret(world: World) -> None:
    world.mechanism("CRAM-MD5")
    account = world.standard()
    if account.legacy is not None:
        raise NotApplicable("every account has one")
    check(not cram_md5(world.tls(), account.login, account.password).ok, "accepted")


@case(5034, "4", MAY, "NTLM ([MS-NLMP], version 2) logs in, with and without initial response.")
def ntlm_logs_in(world: World) -> None:
    account, secret = _account(world, "NTLM")
    for initial in (False, True):
        session = world.tls()
        reply = ntlm(session, account.login, secret, initial=initial)
        check(reply.ok, f"{reply}")
        check(session.stat()[0] == 1, "another maildrop")


@case(5034, "4", MUST, "NTLM with a wrong secret, in version 1, or malformed is refused.")
def ntlm_that_fails(world: World) -> None:
    account, secret = _account(world, "NTLM")
    check(not ntlm(world.tls(), account.login, secret + "x").ok, "a wrong secret is accepted")
    check(not ntlm(world.tls(), account.login, secret, version=1).ok, "version 1 is accepted")
    for message in (b"", b"NTLMSSP\0", b"NTLMSSP\0\x03\0\0\0", b"x" * 100):
        session = world.tls()
        begin(session, "NTLM")
        check(answer(session, message).line.startswith(b"-ERR"), f"{message[:20]!r}")
