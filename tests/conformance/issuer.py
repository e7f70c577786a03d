"""An issuer of tokens (RFC 7519), and an authority for client certificates: what a server under test is told to trust."""

from __future__ import annotations

import base64
import http.server
import itertools
import json
import ssl
import subprocess
import threading
import time
from pathlib import Path

ISSUER = "https://issuer.conformance.test"
AUDIENCE = "restante"
KEY_ID = "conformance"


def _openssl(*words: str | Path, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=given, capture_output=True, check=True).stdout


def _text(data: bytes) -> str:
    """base64url without padding, as JOSE has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs tokens with RS256."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.key = directory / "issuer.pem"
        self.public_key = directory / "issuer-public.pem"
        _openssl("genrsa", "-out", self.key, "2048")
        _openssl("rsa", "-in", self.key, "-pubout", "-out", self.public_key)

    def token(self, login: str, **claims: object) -> str:
        """Good for the account now, unless claims change it."""
        now = int(time.time())
        payload = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": login, "email": login, "email_verified": True,
            "iat": now - 5, "nbf": now - 5, "exp": now + 600, **claims,
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        signed = f"{_text(json.dumps(head).encode())}.{_text(json.dumps(payload).encode())}"
        return f"{signed}.{_text(_openssl('dgst', '-sha256', '-sign', self.key, given=signed.encode()))}"

    def key_set(self) -> bytes:
        """The public key as a JWK set (RFC 7517)."""
        modulus = _openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().partition("=")[2]
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KEY_ID,
            "n": _text(bytes.fromhex(modulus)),
            "e": "AQAB",
        }
        return json.dumps({"keys": [key]}).encode()


class KeySetServer:
    """Serves a key set over HTTPS on loopback, with a certificate that only who is told of it trusts."""

    def __init__(self, key_set: bytes, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.certificate, key = directory / "cert.pem", directory / "key.pem"
        # No authority's certificate: some do not take one for a server's.
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-keyout", key, "-out", self.certificate, "-subj", "/CN=issuer of the tests",
            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=IP:127.0.0.1",
        )  # fmt: skip

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 15

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/jwk-set+json")
                self.send_header("Content-Length", str(len(key_set)))
                self.end_headers()
                self.wfile.write(key_set)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        # The handshake is the handler's, with the first octet it reads: one that hangs holds nobody else up.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}/keys"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Authority:
    """Issues client certificates that name an account in subjectAltName, as rfc822Name."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.numbers = itertools.count(1)
        self.certificate, self.key = directory / "ca.pem", directory / "ca-key.pem"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-keyout", self.key, "-out", self.certificate, "-subj", "/CN=Authority of the tests",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def issue(self, login: str) -> tuple[Path, Path]:
        number = next(self.numbers)
        certificate, key, request, extensions = (
            self.directory / f"client{number}{suffix}" for suffix in (".pem", "-key.pem", ".csr", ".cnf")
        )
        extensions.write_text(
            f"subjectAltName=email:{login}\nextendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\n"
            "basicConstraints=critical,CA:FALSE\n"
        )
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-out", request, "-subj", f"/CN=client {number}",
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-set_serial", str(number),
            "-days", "7", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key
