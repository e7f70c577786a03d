"""RFC 5802 (SCRAM), RFC 7677 (with SHA-256), RFC 5929 and 9266 (channel bindings)."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess

from ..case import Level, NotApplicable, NotOffered, add
from ..mechanisms import Scram, answer, begin, encode
from ..server import Account
from ..wire import Reply, Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
DIGESTS = {"sha1": (5802, "SCRAM-SHA-1"), "sha256": (7677, "SCRAM-SHA-256")}


def _account(world: World, mechanism: str) -> tuple[Account, str]:
    world.mechanism(mechanism)
    account = world.account(1, scram=True)
    if account.scram is None:
        raise NotApplicable("the profile has no secret for SCRAM")
    return account, account.scram


def _logs_in(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.tls()
    reply = Scram(digest, account.login, secret).run(session)
    check(reply.ok, f"{reply}")
    check(session.stat()[0] == 1, "another maildrop")


def _in_clear(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.at(world.server.strict or world.server.plain)
    if mechanism not in session.capabilities().get("SASL", []):
        raise NotOffered("not listed in clear")
    check(Scram(digest, account.login, secret).run(session).ok, "refused")


def _wrong(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.tls()
    reply = Scram(digest, account.login, secret + "x").run(session)
    check(reply.line.startswith(b"-ERR"), f"{reply}")
    session.expect_err("STAT")


def _unknown(world: World, digest: str, mechanism: str) -> None:
    account, _ = _account(world, mechanism)
    name = "nobody@" + account.login.partition("@")[2]
    salts, iterations = set(), set()
    for _ in range(2):
        session = world.tls()
        scram = Scram(digest, name, "x")
        reply = begin(session, mechanism, scram.first())
        check(reply.challenge is not None, f"the name is betrayed at once: {reply}")
        scram.read(reply.challenge or b"")
        salts.add(scram.salt)
        iterations.add(scram.iterations)
        check(not answer(session, scram.final()).ok, "accepted")
    check(len(salts) == 1, "the salt of an unknown name changes: a real one would not")
    known = Scram(digest, account.login, "x")
    known.read(begin(world.tls(), mechanism, known.first()).challenge or b"")
    check(
        len(known.salt) == len(next(iter(salts))) and iterations == {known.iterations},
        "salt or iterations look different",
    )


def _fresh_nonces(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    nonces = set()
    for _ in range(5):
        scram = Scram(digest, account.login, secret, nonce="fixed")
        scram.read(begin(world.tls(), mechanism, scram.first()).challenge or b"")
        nonces.add(scram.attributes["r"])
        check(len(scram.attributes["r"]) >= len("fixed") + 16, "too short to be random")
    check(len(nonces) == 5, "the same nonce again")


def _iterations(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    scram = Scram(digest, account.login, secret)
    scram.read(begin(world.tls(), mechanism, scram.first()).challenge or b"")
    world.trace.note(f"{scram.iterations} iterations, a salt of {len(scram.salt)} octets")
    check(scram.iterations >= 4096, f"{scram.iterations}")


def _refused(world: World, session: Session, scram: Scram, **final: object) -> None:
    """The exchange is made as `scram` says, and has to fail somewhere."""
    reply = begin(session, scram.mechanism, scram.first())
    if reply.challenge is not None:
        try:
            scram.read(reply.challenge)
        except (AssertionError, ValueError):
            reply = session.command("*")
        else:
            reply = answer(session, scram.final(**final))  # type: ignore[arg-type]
            if reply.challenge is not None and reply.challenge.startswith(b"e="):
                reply = answer(session, b"")
    check(reply.line.startswith(b"-ERR"), f"not refused: {reply}")
    session.expect_err("STAT")


def _tampered(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    for final in (
        {"nonce": "another"}, {"channel": b"biw="}, {"channel": encode(b"n,a=x,")}, {"channel": encode(b"y,,")},
        {"proof": bytes(hashlib.new(digest).digest_size)}, {"proof": b"short"}, {"extra": ",m=mandatory"},
    ):  # fmt: skip
        _refused(world, world.tls(), Scram(digest, account.login, secret), **final)


def _extension(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    _refused(world, world.tls(), Scram(digest, account.login, secret, extensions="m=x,"))


def _malformed(world: World, digest: str, mechanism: str) -> None:
    account, _ = _account(world, mechanism)
    for first in (
        b"", b"n,,", b"n,,n=", b"n,,n=,r=", b"n,,n=a", b"n,,r=abc", b"x,,n=a,r=b", b"n,n=a,r=b", b"n,,n=a\xff,r=abcdef",
        f"n,,n={account.login},r=".encode(), b"p,,n=a,r=abcdef", b"p=,,n=a,r=abcdef", f"n,,n={account.login}=41,r=abcdef".encode(),
        f"n,,n={account.login},r=abc\x7f\x01def".encode(),
    ):  # fmt: skip
        session = world.tls()
        reply = begin(session, mechanism, first)
        if reply.challenge is not None:
            # Some answer first and refuse then, so as not to tell what was wrong.
            reply = answer(session, b"c=biws,r=x,p=" + encode(bytes(hashlib.new(digest).digest_size)))
            if reply.challenge is not None and reply.challenge.startswith(b"e="):
                reply = answer(session, b"")
        check(reply.line.startswith(b"-ERR"), f"{first!r}: {reply}")
        session.expect_err("STAT")


def _authorization(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    check(
        Scram(digest, account.login, secret, gs2=f"n,a={account.login},".encode()).run(world.tls()).ok,
        "one's own name is refused",
    )
    other = world.account(1)
    _refused(world, world.tls(), Scram(digest, account.login, secret, gs2=f"n,a={other.login},".encode()))


def _escapes(world: World, digest: str, mechanism: str) -> None:
    world.mechanism(mechanism)
    account = world.account(1, scram=True, local_part=f"a=b{digest}")
    if account.scram is None:
        raise NotApplicable("the profile has no secret for SCRAM")
    session = world.tls()
    check(Scram(digest, account.login, account.scram).run(session).ok, "refused")
    _refused(world, world.tls(), Scram(digest, account.login, account.scram, escaped_name=account.login))


def _two_lines(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.tls()
    scram = Scram(digest, account.login, secret)
    reply = begin(session, mechanism, scram.first(), two_lines=True)
    check(reply.challenge, f"{reply}")
    scram.read(reply.challenge or b"")
    reply = answer(session, scram.final())
    check(reply.challenge is not None, f"no final message of the server: {reply}")
    check(answer(session, b"").ok, "refused")


def _downgrade(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    world.mechanism(f"{mechanism}-PLUS")
    _refused(world, world.tls(), Scram(digest, account.login, secret, gs2=b"y,,"))


def _no_plus_client(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.at(world.server.strict or world.server.plain)
    listed = session.capabilities().get("SASL", [])
    check(not [name for name in listed if name.endswith("-PLUS")], "-PLUS is listed without TLS")
    if mechanism not in listed:
        raise NotOffered("not listed in clear")
    check(
        Scram(digest, account.login, secret, gs2=b"y,,").run(session).ok,
        "y is refused although there is nothing to bind to",
    )


def _p_without_plus(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    session = world.tls()
    scram = Scram(digest, account.login, secret, gs2=b"p=tls-unique,,", binding=b"x" * 12)
    reply = begin(session, mechanism, scram.first())
    if reply.challenge is not None:
        scram.read(reply.challenge)
        reply = answer(session, scram.final())
    check(not reply.ok, "accepted")


def _replay(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, mechanism)
    scram = Scram(digest, account.login, secret, nonce="replayed")
    session = world.tls()
    scram.read(begin(session, mechanism, scram.first()).challenge or b"")
    final = scram.final()
    answer(session, final)
    check(answer(session, b"").ok, "refused at first")
    session = world.tls()
    begin(session, mechanism, scram.first())
    reply = answer(session, final)
    if reply.challenge is not None:
        reply = answer(session, b"")
    check(not reply.ok, "accepted again")


for _digest, (_rfc, _mechanism) in DIGESTS.items():
    for _name, _section, _level, _requirement, _run in (
        ("logs_in", "5", MUST, "{} logs in, and the server proves that it knows the password too.", _logs_in),
        ("two_lines", "5", MUST, "{} works without initial response, after an empty challenge.", _two_lines),
        ("in_clear", "5", MAY, "{} may be used without TLS.", _in_clear),
        ("wrong_password", "5.1", MUST, "{} with a wrong password fails.", _wrong),
        ("unknown_name", "9", SHOULD, "{} asks unknown names as it asks known ones, with a salt that stays.", _unknown),
        ("fresh_nonces", "5.1", MUST, "{}: the server's nonce begins with the client's and is new each time.", _fresh_nonces),
        ("iterations", "5.1", SHOULD, "{}: the iteration count is at least 4 096.", _iterations),
        ("tampered", "5.1", MUST, "{}: another nonce, channel binding, proof or a mandatory extension in the client's final message fails.", _tampered),
        ("mandatory_extension", "5.1", MUST, "{}: a mandatory extension (m=) that is not known fails.", _extension),
        ("malformed", "7", MUST, "{}: a malformed first message fails.", _malformed),
        ("authorization", "5.1", MUST, "{}: an authorization identity may be one's own; another's fails.", _authorization),
        ("escapes", "5.1", MUST, "{}: = and , in a name are written =3D and =2C; a bare = fails.", _escapes),
        ("downgrade", "6", MUST, "{}: a client that could bind but says that the server cannot (y) is refused where -PLUS is listed.", _downgrade),
        ("y_without_tls", "6", MUST, "{}: without TLS there is no -PLUS, and y is accepted.", _no_plus_client),
        ("p_without_plus", "6", MUST, "{}: channel binding (p) in the mechanism without -PLUS fails.", _p_without_plus),
        ("replay", "9", MUST, "{}: what was said once is not accepted a second time.", _replay),
    ):  # fmt: skip
        add(
            f"{_mechanism.lower().replace('-', '_')}_{_name}", _rfc, "4" if (_rfc, _name) == (7677, "iterations") else _section if _rfc == 5802 else "3", _level,
            _requirement.format(_mechanism), lambda world, run=_run, digest=_digest, mechanism=_mechanism: run(world, digest, mechanism),
        )  # fmt: skip


# --- channel binding


def _end_point(world: World) -> bytes:
    """tls-server-end-point: the hash of the server's certificate, as its signature has it (SHA-256 for ours)."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(world.server.certificate.read_text())).digest()


def _plus(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, f"{mechanism}-PLUS")
    session = world.tls()
    reply = Scram(digest, account.login, secret, gs2=b"p=tls-server-end-point,,", binding=_end_point(world)).run(
        session
    )
    check(reply.ok, f"{reply}")
    check(session.stat()[0] == 1, "another maildrop")


def _plus_wrong(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, f"{mechanism}-PLUS")
    for gs2, binding in (
        (b"p=tls-server-end-point,,", bytes(32)), (b"p=tls-server-end-point,,", b""), (b"p=tls-exporter,,", bytes(32)),
        (b"p=no-such-binding,,", b"x"), (b"p=tls-exporter,,", _end_point(world)),
    ):  # fmt: skip
        _refused(world, world.tls(), Scram(digest, account.login, secret, gs2=gs2, binding=binding))


def _plus_without_binding(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, f"{mechanism}-PLUS")
    for gs2 in (b"n,,", b"y,,"):
        scram = Scram(digest, account.login, secret, gs2=gs2)
        session = world.tls()
        reply = begin(session, f"{mechanism}-PLUS", scram.first())
        if reply.challenge is not None:
            scram.read(reply.challenge)
            reply = answer(session, scram.final())
        check(not reply.ok and reply.line.startswith(b"-ERR"), f"{gs2!r}: {reply}")


class _Exporting:
    """A session through `openssl s_client`, which tells the exporter's value (Python's ssl cannot)."""

    def __init__(self, world: World) -> None:
        host, port = world.server.tls
        self.world = world
        self.client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "localhost", "-CAfile", world.server.certificate, "-tls1_3", "-crlf",
             "-ign_eof", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.binding = b""
        for line in self.lines():
            if match := re.search(rb"Keying material: ([0-9A-F]{64})", line):
                self.binding = bytes.fromhex(match.group(1).decode())
            if line.startswith(b"+OK"):
                break

    def lines(self):
        assert self.client.stdout is not None
        while line := self.client.stdout.readline():
            yield line.rstrip(b"\r\n")

    def command(self, line: bytes) -> bytes:
        assert self.client.stdin is not None
        self.world.trace.add("C", line)
        self.client.stdin.write(line + b"\n")
        self.client.stdin.flush()
        for answered in self.lines():
            # s_client writes of session tickets between the lines of the server.
            if re.match(rb"(\+OK|-ERR|\+)( |$)", answered):
                self.world.trace.add("S", answered)
                return answered
        raise AssertionError("closed by the server")

    def close(self) -> None:
        self.client.kill()
        self.client.wait(10)


def _exporter(world: World, digest: str, mechanism: str) -> None:
    account, secret = _account(world, f"{mechanism}-PLUS")
    session = _Exporting(world)
    try:
        check(session.binding, "s_client told no keying material")
        scram = Scram(digest, account.login, secret, gs2=b"p=tls-exporter,,", binding=session.binding)
        reply = Reply(session.command(f"AUTH {mechanism}-PLUS ".encode() + encode(scram.first())))
        check(reply.challenge, f"{reply}")
        scram.read(reply.challenge or b"")
        reply = Reply(session.command(encode(scram.final())))
        check(reply.challenge is not None, f"{reply}")
        check(session.command(b"").startswith(b"+OK"), "refused")
        check(session.command(b"stat").startswith(b"+OK 1 "), "another maildrop")
    finally:
        session.close()


for _digest, (_rfc, _mechanism) in DIGESTS.items():
    for _name, _number, _section, _requirement, _run in (
        ("end_point", 5929, "4", "{}-PLUS logs in with tls-server-end-point.", _plus),
        ("exporter", 9266, "2", "{}-PLUS logs in with tls-exporter over TLS 1.3.", _exporter),
        ("wrong_binding", 5802, "6", "{}-PLUS with another channel's value or an unknown type of binding fails.", _plus_wrong),
        ("without_binding", 5802, "6", "{}-PLUS without channel binding (n or y) fails.", _plus_without_binding),
    ):  # fmt: skip
        add(
            f"{_mechanism.lower().replace('-', '_')}_plus_{_name}", _number, _section, MUST, _requirement.format(_mechanism),
            lambda world, run=_run, digest=_digest, mechanism=_mechanism: run(world, digest, mechanism),
        )  # fmt: skip
