"""The client side of the SASL mechanisms, each as far as a test needs it, right or wrong on purpose."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass, field

from .md4 import md4
from .wire import Reply, Session, Violation


def encode(data: bytes) -> bytes:
    return base64.b64encode(data) or b"="


def begin(session: Session, mechanism: str, initial: bytes | None = None, *, two_lines: bool = False) -> Reply:
    """AUTH; with an initial response in the line of the command, or in the next one after an empty challenge."""
    if initial is None or two_lines or len(encode(initial)) > 255 - len(f"AUTH {mechanism} \r\n"):
        reply = session.command(f"AUTH {mechanism}")
        if initial is None or reply.challenge is None:
            return reply
        if reply.line != b"+ ":
            raise Violation(f"the challenge before the client's first response is not empty: {reply}")
        return session.command(base64.b64encode(initial))
    return session.command(b"AUTH %s %s" % (mechanism.encode(), encode(initial)))


def answer(session: Session, response: bytes) -> Reply:
    return session.command(base64.b64encode(response))


def plain(login: str, password: str, authzid: str = "") -> bytes:
    return b"\0".join(part.encode() for part in (authzid, login, password))


def login(session: Session, name: str, password: str) -> Reply:
    reply = begin(session, "LOGIN")
    for part in (name, password):
        if reply.challenge is None:
            return reply
        reply = answer(session, part.encode())
    return reply


def cram_md5(session: Session, name: str, secret: str) -> Reply:
    reply = begin(session, "CRAM-MD5")
    if not reply.challenge:
        return reply
    digest = hmac.new(secret.encode(), reply.challenge, "md5").hexdigest()
    return answer(session, f"{name} {digest}".encode())


@dataclass
class Scram:
    """One exchange (RFC 5802). Set attributes before `first` or `final` to do it wrong."""

    digest: str  # sha1 or sha256
    name: str
    password: str
    gs2: bytes = b"n,,"
    binding: bytes = b""
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    extensions: str = ""  # before the name
    server_first: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    escaped_name: str | None = None

    @property
    def first_bare(self) -> str:
        name = self.escaped_name or self.name.replace("=", "=3D").replace(",", "=2C")
        return f"{self.extensions}n={name},r={self.nonce}"

    def first(self) -> bytes:
        return self.gs2 + self.first_bare.encode()

    def read(self, challenge: bytes) -> None:
        """Takes the server's first message and proves its form."""
        self.server_first = challenge.decode("ascii")
        pairs = [part.partition("=") for part in self.server_first.split(",")]
        if [name for name, _, _ in pairs[:3]] != ["r", "s", "i"]:
            raise Violation(f"not r=, s=, i= in this order: {self.server_first}")
        self.attributes = {name: value for name, _, value in pairs}
        if not self.attributes["r"].startswith(self.nonce) or len(self.attributes["r"]) <= len(self.nonce):
            raise Violation("the nonce is not the client's with the server's after it")

    @property
    def salt(self) -> bytes:
        return base64.b64decode(self.attributes["s"], validate=True)

    @property
    def iterations(self) -> int:
        return int(self.attributes["i"])

    def final(
        self, *, nonce: str | None = None, channel: bytes | None = None, proof: bytes | None = None, extra: str = ""
    ) -> bytes:
        channel = base64.b64encode(self.gs2 + self.binding) if channel is None else channel
        without_proof = f"c={channel.decode()},r={nonce or self.attributes['r']}{extra}"
        salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), self.salt, self.iterations)
        client_key = hmac.digest(salted, b"Client Key", self.digest)
        signed = f"{self.first_bare},{self.server_first},{without_proof}".encode()
        signature = hmac.digest(hashlib.new(self.digest, client_key).digest(), signed, self.digest)
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", self.digest), signed, self.digest)
        right = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof or right).decode()}".encode()

    @property
    def mechanism(self) -> str:
        return f"SCRAM-{'SHA-1' if self.digest == 'sha1' else 'SHA-256'}{'-PLUS' if self.gs2.startswith(b'p') else ''}"

    def run(self, session: Session, **final: object) -> Reply:
        """The whole exchange; the server's signature is proved. Returns the last reply."""
        reply = begin(session, self.mechanism, self.first())
        if reply.challenge is None:
            return reply
        self.read(reply.challenge)
        reply = answer(session, self.final(**final))  # type: ignore[arg-type]
        if reply.challenge is None:
            if reply.ok:
                raise Violation("accepted without the server's signature")
            return reply
        last = reply.challenge.decode("ascii")
        if last.startswith("e="):
            return answer(session, b"")
        if last != f"v={base64.b64encode(self.server_signature).decode()}":
            raise Violation(f"the server's signature is wrong: {last}")
        return answer(session, b"")


def oauthbearer(name: str, token: str, host: str = "localhost", port: int = 110) -> bytes:
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01".encode()


def xoauth2(name: str, token: str) -> bytes:
    return f"user={name}\x01auth=Bearer {token}\x01\x01".encode()


# --- NTLM, the messages that a client sends (MS-NLMP 2.2.1)

UNICODE, OEM, REQUEST_TARGET, NTLM_FLAG, ALWAYS_SIGN, EXTENDED = 1, 2, 4, 0x200, 0x8000, 0x80000


def ntlm_negotiate() -> bytes:
    flags = UNICODE | OEM | REQUEST_TARGET | NTLM_FLAG | ALWAYS_SIGN | EXTENDED
    return b"NTLMSSP\0" + struct.pack("<II", 1, flags) + bytes(16)


def nt_hash(password: str) -> bytes:
    return md4(password.encode("utf-16-le"))


def ntlm_authenticate(challenge: bytes, name: str, password: str, *, version: int = 2) -> bytes:
    """Type 3 for a type 2; `version` 1 answers as NTLMv1 does, which a server must not take."""
    if challenge[:12] != b"NTLMSSP\0" + struct.pack("<I", 2):
        raise Violation("no NTLM challenge")
    server_challenge = challenge[24:32]
    length, _, offset = struct.unpack_from("<HHI", challenge, 40)
    target_info = challenge[offset : offset + length]
    key = hmac.digest(nt_hash(password), (name.upper()).encode("utf-16-le"), "md5")
    nonce = secrets.token_bytes(8)
    if version == 2:
        time = struct.pack("<Q", 133_000_000_000_000_000)
        blob = b"\x01\x01" + bytes(6) + time + nonce + bytes(4) + target_info + bytes(4)
        nt = hmac.digest(key, server_challenge + blob, "md5") + blob
        lm = hmac.digest(key, server_challenge + nonce, "md5") + nonce
    else:
        nt, lm = secrets.token_bytes(24), secrets.token_bytes(24)
    user, workstation, domain = name.encode("utf-16-le"), "TEST".encode("utf-16-le"), b""
    at, fields, data = 64, b"", b""
    for part in (lm, nt, domain, user, workstation, b""):
        fields += struct.pack("<HHI", len(part), len(part), at + len(data))
        data += part
    flags = UNICODE | NTLM_FLAG | ALWAYS_SIGN | EXTENDED
    return b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + data


def ntlm(session: Session, name: str, password: str, *, version: int = 2, initial: bool = False) -> Reply:
    if initial:
        reply = begin(session, "NTLM", ntlm_negotiate())
    else:
        reply = begin(session, "NTLM")
        if reply.challenge is None:
            return reply
        reply = answer(session, ntlm_negotiate())
    if not reply.challenge:
        return reply
    return answer(session, ntlm_authenticate(reply.challenge, name, password, version=version))
