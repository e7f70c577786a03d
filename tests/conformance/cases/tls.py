"""RFC 2595 and RFC 8314: STLS, implicit TLS, and passwords in clear."""

from __future__ import annotations

import socket
import ssl
import time
import warnings

from ..case import Level, NotApplicable, NotOffered, case
from ..mechanisms import encode, plain
from ..wire import Session, Violation
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _stls(world: World) -> Session:
    """A session in clear that offers STLS."""
    session = world.plain()
    if "STLS" not in session.capabilities():
        raise NotOffered("CAPA does not list STLS")
    return session


@case(2595, "4", MUST, "STLS is listed before TLS, answered +OK, and TLS begins.")
def stls(world: World) -> None:
    session = _stls(world)
    session.stls(world.server.context())
    session.capabilities()


@case(2595, "4", MUST, "The handshake begins however fast the client is: of 400 STLS in a row none hangs.")
def stls_handshakes_never_hang(world: World) -> None:
    _stls(world)
    context = world.server.context()
    for number in range(1, 401):
        with Session(world.server.plain, world.trace) as session:
            session.expect_ok("STLS")
            try:
                session.start_tls(context)
            except TimeoutError:
                raise Violation(f"handshake {number} hung") from None
        world.trace.lines.clear()


@case(2595, "4", MUST, "After STLS there is no new greeting: the session is in AUTHORIZATION and the client speaks.")
def no_greeting_after_stls(world: World) -> None:
    session = _stls(world)
    session.stls(world.server.context())
    session.expect_silence(0.3)
    session.expect_err("STAT")
    world.login(world.standard(), session).stat()


@case(2595, "4", MUST, "STLS is not listed any more once TLS is active.")
def stls_is_not_listed_under_tls(world: World) -> None:
    session = _stls(world)
    session.stls(world.server.context())
    check("STLS" not in session.capabilities(), "listed after STLS")
    check("STLS" not in world.tls().capabilities(), "listed on the port of implicit TLS")


@case(2595, "4", MUST, "STLS while TLS is active is answered -ERR, and the session goes on.")
def stls_under_tls(world: World) -> None:
    session = _stls(world)
    session.stls(world.server.context())
    session.expect_err("STLS")
    session.capabilities()
    session = world.tls()
    session.expect_err("STLS")
    session.capabilities()


@case(2595, "4", MUST, "STLS after login is answered -ERR.")
def stls_after_login(world: World) -> None:
    session = world.login(world.standard())
    session.expect_err("STLS")
    session.stat()
    session = world.login(world.standard(), world.tls())
    session.expect_err("STLS")


@case(2595, "4", MUST, "STLS is not listed after login.")
def stls_is_not_listed_after_login(world: World) -> None:
    if not world.server.clear_passwords:
        raise NotApplicable("no login without TLS")
    session = world.login(world.standard(), _stls(world))
    if "STLS" in session.capabilities():
        # RFC 2595 has it announced in both states, and RFC 2449 lets it be: only the command is limited.
        world.trace.note("listed, and refused")
    session.expect_err("STLS")


@case(2595, "4", SHOULD, "STLS with an argument is answered -ERR, and the connection stays in clear.")
def stls_with_an_argument(world: World) -> None:
    session = _stls(world)
    if session.command("STLS x").ok:
        session.start_tls(world.server.context())
        raise Violation("the argument was ignored")
    session.capabilities()


@case(2595, "4", MUST, "What was sent in clear after STLS is never executed, neither in clear nor under TLS.")
def stls_injection(world: World) -> None:
    account = world.standard()
    injected = f"USER {account.login}\r\nPASS {account.password}\r\nDELE 1\r\nCAPA\r\n".encode()
    for data in (b"STLS\r\n" + injected, b"STLS\r\nNOOP\r\n", b"STLS\r\nCAP", b"STLS\r\n\r\n"):
        session = _stls(world)
        session.send(data)
        check(session.reply().ok, "STLS was refused")
        try:
            session.start_tls(world.server.context())
        except (ssl.SSLError, ConnectionError, Violation) as error:
            # Also right: the octets are taken for a broken handshake.
            world.trace.note(f"no TLS: {error}")
            if isinstance(error, Violation):
                raise
            continue
        session.expect_silence(0.3)
        session.expect_err("STAT")
        session.capabilities()


@case(2595, "4", SHOULD, "What the client said before TLS is forgotten: a USER in clear counts for nothing after STLS.")
def stls_forgets(world: World) -> None:
    account = world.standard()
    session = _stls(world)
    session.command(f"USER {account.login}")
    session.stls(world.server.context())
    session.expect_err(f"PASS {account.password}")
    session.expect_err("STAT")


@case(
    2595,
    "4",
    MUST,
    "A command before STLS in the same write is executed and answered in clear, before the answer to STLS.",
)
def commands_before_stls(world: World) -> None:
    session = _stls(world)
    session.send(b"CAPA\r\nSTLS\r\n")
    check(session.reply().ok, "CAPA")
    session.rest()
    check(session.reply().ok, "STLS")
    session.start_tls(world.server.context())
    session.capabilities()


@case(2595, "4", MUST, "When the TLS handshake fails, nothing more is said in clear.")
def failed_handshake(world: World) -> None:
    session = _stls(world)
    session.expect_ok("STLS")
    session.socket.sendall(b"NOOP\r\nCAPA\r\n")
    received = b""
    session.socket.settimeout(5)
    try:
        while data := session.socket.recv(4096):
            received += data
    except (ConnectionError, TimeoutError):
        pass
    check(b"+OK" not in received and b"-ERR" not in received, f"{received[:80]!r}")


@case(2595, "2.4", MUST, "The certificate names the host (checked against the one to be trusted), on both ports.")
def certificate_is_valid(world: World) -> None:
    context = world.server.context()
    check(context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED, "the suite does not check")
    world.tls(context).capabilities()
    session = _stls(world)
    session.stls(context)


@case(2595, "2.2", MUST, "A listener can be had that lists and takes no password in clear before TLS.")
def passwords_in_clear_are_refused(world: World) -> None:
    if world.server.strict is None:
        raise NotApplicable("the profile has no such listener")
    account = world.standard()
    session = world.at(world.server.strict)
    capabilities = session.capabilities()
    check("USER" not in capabilities, "USER is listed")
    check(
        not {"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"} & set(capabilities.get("SASL", [])),
        f"SASL {capabilities.get('SASL')}",
    )
    session.command(f"USER {account.login}")
    session.expect_err(f"PASS {account.password}")
    session = world.at(world.server.strict)
    reply = session.command(b"AUTH PLAIN " + encode(plain(account.login, account.password)))
    check(reply.line.startswith(b"-ERR"), f"AUTH PLAIN: {reply}")
    session.expect_err("STAT")


@case(2595, "2.2", SHOULD, "Such a listener refuses alike whether the password is right or wrong: it looks at neither.")
def refusal_in_clear_tells_nothing(world: World) -> None:
    if world.server.strict is None:
        raise NotApplicable("the profile has no such listener")
    account = world.standard()
    said = set()
    for password in (account.password, "wrong"):
        session = world.at(world.server.strict)
        said.add((session.command(f"USER {account.login}").line, session.command(f"PASS {password}").line))
    check(len(said) == 1, f"{said}")


@case(
    2595,
    "4",
    MUST,
    "There, STLS makes the passwords' mechanisms appear: capabilities after TLS differ from those before.",
)
def stls_changes_capabilities(world: World) -> None:
    if world.server.strict is None:
        raise NotApplicable("the profile has no such listener")
    session = world.at(world.server.strict)
    before = session.capabilities()
    if "STLS" not in before:
        raise NotOffered("CAPA does not list STLS")
    session.stls(world.server.context())
    after = session.capabilities()
    check("USER" in after and "USER" not in before, "USER")
    check("PLAIN" in after.get("SASL", []), "SASL PLAIN")
    world.login(world.standard(), session).stat()


@case(8314, "3.2", MUST, "On the port of implicit TLS the handshake comes first, then the greeting, then POP3 as ever.")
def implicit_tls(world: World) -> None:
    session = world.tls()
    check(session.greeting.ok, "the greeting")
    session = world.login(world.standard(), session)
    check(session.body("RETR 1"), "RETR")
    session.quit()


@case(8314, "3", MUST, "On the port of implicit TLS nothing is said in clear.")
def nothing_in_clear_on_the_tls_port(world: World) -> None:
    with socket.create_connection(world.server.tls, timeout=5) as client:
        client.settimeout(0.5)
        try:
            first = client.recv(100)
        except TimeoutError:
            first = b""
        check(b"+OK" not in first, f"a greeting in clear: {first!r}")
        client.sendall(b"CAPA\r\nQUIT\r\n")
        client.settimeout(5)
        received = b""
        try:
            while data := client.recv(4096):
                received += data
        except (TimeoutError, ConnectionError):
            pass
        check(b"+OK" not in received and b"-ERR" not in received, f"{received[:80]!r}")


def _handshake(world: World, version: ssl.TLSVersion) -> str | None:
    context = world.server.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with (
            socket.create_connection(world.server.tls, timeout=10) as client,
            context.wrap_socket(client, server_hostname="localhost") as tls,
        ):
            return tls.version()
    except (ssl.SSLError, ConnectionError):
        return None


@case(8314, "4.1", MUST, "TLS 1.2 and TLS 1.3 are spoken.")
def tls_1_2_and_1_3(world: World) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        check(_handshake(world, version), f"{version.name} is refused")


@case(8314, "4.1", MUST, "TLS 1.1 and earlier are refused.")
def tls_1_1_is_refused(world: World) -> None:
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        check(not _handshake(world, version), f"{version.name} is spoken")


@case(8314, "3.2", MUST, "A TLS record may be cut anywhere, and many commands may be in one record.")
def records_in_pieces(world: World) -> None:
    session = world.login(world.standard(), world.tls())
    session.socket.sendall(b"NOOP\r\n" * 50)
    for _ in range(50):
        check(session.reply().ok, "NOOP")
    for octet in b"STAT\r\n":
        session.socket.sendall(bytes([octet]))
        time.sleep(0.002)
    check(session.reply().ok, "STAT")


@case(
    8314,
    "3.2",
    SHOULD,
    "After QUIT the server ends TLS with close_notify, so that the client knows that nothing was cut off.",
)
def close_notify(world: World) -> None:
    session = world.login(world.standard(), world.tls())
    assert isinstance(session.socket, ssl.SSLSocket)
    session.socket.suppress_ragged_eofs = False
    session.expect_ok("QUIT")
    try:
        data = session.socket.recv(100)
    except ssl.SSLEOFError:
        raise Violation("closed without close_notify") from None
    check(data == b"", f"{data!r}")
