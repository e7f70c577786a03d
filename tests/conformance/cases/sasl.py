"""RFC 5034: the AUTH command, whatever the mechanism; RFC 4422's EXTERNAL."""

from __future__ import annotations

import base64

from ..case import Level, NotApplicable, case
from ..mechanisms import answer, begin, encode, plain
from ..wire import Closed, Violation
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(5034, "4", MUST, "SASL with PLAIN is offered over TLS.")
def plain_over_tls(world: World) -> None:
    session = world.tls()
    check("PLAIN" in session.capabilities().get("SASL", []), "SASL does not list PLAIN")
    account = world.standard()
    check(begin(session, "PLAIN", plain(account.login, account.password)).ok, "refused")


@case(5034, "3", MUST, "Every mechanism that SASL lists is known to AUTH, in any case of its letters.")
def listed_mechanisms_are_known(world: World) -> None:
    for mechanism in world.offered("SASL"):
        for name in (mechanism, mechanism.lower()):
            session = world.tls()
            reply = session.command(f"AUTH {name}")
            if mechanism == "EXTERNAL" and not reply.ok and reply.challenge is None:
                continue  # there is no client certificate
            check(reply.challenge is not None, f"AUTH {name}: {reply}")
            session.expect_err("*")


@case(5034, "4", MUST, "A mechanism that is not supported is answered -ERR, and the session goes on.")
def unknown_mechanisms(world: World) -> None:
    session = world.tls()
    for name in ("NO-SUCH-MECHANISM", "PLAINX", "PLAI", "KERBEROS_V4", "X" * 30):
        session.expect_err(f"AUTH {name}")
    world.login(world.standard(), session)


@case(5034, "4", MUST, "AUTH without a mechanism is answered -ERR, or with a list as older clients expect.")
def auth_alone(world: World) -> None:
    session = world.tls()
    if session.command("AUTH").ok:
        session.rest()
    session.capabilities()


@case(5034, "4", MUST, 'Without an initial response the server sends an empty challenge, exactly "+ ".')
def empty_challenge(world: World) -> None:
    account = world.standard()
    session = world.tls()
    reply = session.command("AUTH PLAIN")
    check(reply.line == b"+ ", f"{reply.line!r}")
    check(answer(session, plain(account.login, account.password)).ok, "refused")


@case(5034, "4", MUST, 'A challenge is "+ " and base64, and nothing else.')
def challenges_are_base64(world: World) -> None:
    for mechanism in world.offered("SASL"):
        session = world.tls()
        reply = session.command(f"AUTH {mechanism}")
        try:
            reply.challenge  # noqa: B018 (decoding is the test)
        except ValueError as error:
            raise Violation(f"AUTH {mechanism}: {reply} ({error})") from None


@case(5034, "4", MUST, '"*" in place of a response is answered -ERR, and the session goes on in AUTHORIZATION.')
def cancelled(world: World) -> None:
    session = world.tls()
    session.command("AUTH PLAIN")
    session.expect_err("*")
    session.expect_err("STAT")
    world.login(world.standard(), session)


@case(5034, "4", MUST, '"=" is an initial response of no octets, which PLAIN refuses; it is not the lack of one.')
def empty_initial_response(world: World) -> None:
    session = world.tls()
    session.expect_err("AUTH PLAIN =")
    session.capabilities()


@case(
    5034,
    "4",
    MUST,
    "A response that is no base64 is answered -ERR: other characters, and padding that is not at the end.",
)
def broken_base64(world: World) -> None:
    account = world.standard()
    right = base64.b64encode(plain(account.login, account.password)).decode()
    padded = base64.b64encode(b"\0" + account.login.encode() + b"\0xx").decode()
    wrong = (
        "!" + right[1:],
        right[:4] + " " + right[4:],
        "=AAA",
        "AAA=BBB=",
        right[:-1] if right.endswith("=") else right + "=",
        "*" + right,
        right + "*",
        padded + padded,
        "A",
        "@@@@",
    )
    for response in wrong:
        session = world.tls()
        session.expect_err(f"AUTH PLAIN {response}")
        session.expect_err("STAT")
        session = world.tls()
        session.command("AUTH PLAIN")
        session.expect_err(response)
        session.expect_err("STAT")


@case(
    5034,
    "4",
    MUST,
    "After a failed AUTH the server behaves as if it had not been issued: another AUTH, or USER, works.",
)
def after_a_failed_auth(world: World) -> None:
    account = world.standard()
    session = world.tls()
    try:
        check(not begin(session, "PLAIN", plain(account.login, "wrong")).ok, "accepted")
        session.expect_err("STAT")
        check(begin(session, "PLAIN", plain(account.login, account.password)).ok, "refused")
        session.stat()
    except Closed:
        raise Violation("closed after the failure") from None


@case(5034, "4", MUST, "A USER before a failed AUTH does not survive it as a half-made login of another.")
def user_and_auth_do_not_mix(world: World) -> None:
    account, other = world.standard(), world.account(1)
    session = world.tls()
    session.expect_ok(f"USER {other.login}")
    check(begin(session, "PLAIN", plain(account.login, account.password)).ok, "refused")
    check(session.stat()[0] != 1, "it is the other's maildrop")


@case(5034, "4", MUST, "AUTH after login is answered -ERR, without a challenge.")
def auth_after_login(world: World) -> None:
    account = world.standard()
    session = world.tls()
    begin(session, "PLAIN", plain(account.login, account.password))
    session.expect_err("AUTH PLAIN")
    session.expect_err(b"AUTH PLAIN " + encode(plain(account.login, account.password)))
    session.stat()


@case(5034, "3", MUST, "SASL is still listed after AUTH.")
def sasl_is_listed_after_auth(world: World) -> None:
    account = world.standard()
    session = world.tls()
    before = session.capabilities().get("SASL")
    begin(session, "PLAIN", plain(account.login, account.password))
    check(session.capabilities().get("SASL") == before, "not as before")


@case(
    5034,
    "4",
    MUST,
    "The longest responses of PLAIN (three parts of 255 octets) are taken, and refused as wrong, not as too long.",
)
def long_responses(world: World) -> None:
    account = world.account(1, password="p" * 200)
    session = world.tls()
    session.command("AUTH PLAIN")
    check(not answer(session, plain(f"{'x' * 60}@{'d' * 190}", "x" * 255)).ok, "accepted")
    session.command("AUTH PLAIN")
    check(answer(session, plain(account.login, account.password, account.login)).ok, "refused")


@case(5034, "4", SHOULD, "A response line of 12 288 octets is taken, and one without end is refused without harm.")
def longest_responses(world: World) -> None:
    account = world.standard()
    session = world.tls()
    session.command("AUTH PLAIN")
    session.expect_err(base64.b64encode(plain(account.login, "x" * (9000 - len(account.login)))))
    session.capabilities()
    session = world.tls()
    session.command("AUTH PLAIN")
    try:
        session.expect_err("A" * 200_000)
    except Closed:
        world.trace.note("closed")


@case(
    5034, "4", SHOULD, "An initial response that makes AUTH longer than 255 octets is taken, as many clients send it."
)
def long_initial_response(world: World) -> None:
    account = world.account(1, password="p" * 200)
    session = world.tls()
    line = b"AUTH PLAIN " + base64.b64encode(plain(account.login, account.password, account.login))
    check(len(line) > 300, "the suite's line is too short")
    session.expect_ok(line)
    check(session.stat()[0] == 1, "another maildrop")


@case(5034, "4", MUST, "An initial response to a mechanism in which the server speaks first is answered -ERR.")
def initial_response_where_none_is(world: World) -> None:
    account = world.standard()
    world.mechanism("CRAM-MD5")
    session = world.tls()
    reply = session.command(b"AUTH CRAM-MD5 " + encode(account.login.encode()))
    check(reply.line.startswith(b"-ERR"), f"{reply}")


@case(5034, "4", MUST, "A response may arrive in pieces, and AUTH with its response in one write.")
def auth_in_pieces(world: World) -> None:
    account = world.standard()
    response = encode(plain(account.login, account.password))
    session = world.tls()
    session.socket.sendall(b"AUTH PL")
    session.socket.sendall(b"AIN\r\n" + response[:10])
    check(session.reply().line == b"+ ", "no challenge")
    session.socket.sendall(response[10:] + b"\r")
    session.expect_silence(0.1)
    session.socket.sendall(b"\nSTAT\r\n")
    check(session.reply().ok and session.reply().ok, "refused")


@case(5034, "4", MUST, "What is sent in place of a response is never taken for a command.")
def commands_inside_an_exchange(world: World) -> None:
    session = world.tls()
    session.command("AUTH PLAIN")
    session.expect_err("CAPA")
    session.expect_silence(0.05)
    session.capabilities()


@case(4422, "Appendix A", MUST, "EXTERNAL without a client certificate is refused.")
def external_without_a_certificate(world: World) -> None:
    account = world.standard()
    for line in ("AUTH EXTERNAL =", f"AUTH EXTERNAL {encode(account.login.encode()).decode()}"):
        session = world.tls()
        reply = session.command(line)
        check(not reply.ok, "accepted")
        session.expect_err("STAT")


@case(4422, "Appendix A", MUST, "EXTERNAL is not listed where there is no client certificate.")
def external_is_not_listed(world: World) -> None:
    check("EXTERNAL" not in world.offered("SASL"), "listed")


@case(
    4422,
    "Appendix A",
    MUST,
    "EXTERNAL with a client certificate that names the account logs in, with and without an authorization identity.",
)
def external(world: World) -> None:
    account = world.account(1)
    certificate, key = world.server.client_certificate(account)
    for authzid in (b"", account.login.encode()):
        context = world.server.context()
        context.load_cert_chain(certificate, key)
        session = world.tls(context)
        if "EXTERNAL" not in session.capabilities().get("SASL", []):
            raise NotApplicable("EXTERNAL is not listed to a client with a certificate")
        check(begin(session, "EXTERNAL", authzid).ok, f"refused with {authzid!r}")
        check(session.stat()[0] == 1, "another maildrop")


@case(4422, "Appendix A", MUST, "EXTERNAL for another account than the certificate names is refused.")
def external_for_another(world: World) -> None:
    account, other = world.account(1), world.account(1)
    certificate, key = world.server.client_certificate(account)
    context = world.server.context()
    context.load_cert_chain(certificate, key)
    session = world.tls(context)
    check(not begin(session, "EXTERNAL", other.login.encode()).ok, "accepted")
    session.expect_err("STAT")
