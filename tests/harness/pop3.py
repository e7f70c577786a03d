"""A POP3 client over a bare socket, exact to the octet (poplib hides line ends and limits their length)."""

from __future__ import annotations

import socket
import ssl


class Refused(Exception):
    """The server answered -ERR; the text is its reply without the line end."""


class Pop3:
    """One session: `tls` is None (plain), "stls" or "implicit"."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: str | None = None,
        context: ssl.SSLContext | None = None,
        seconds: float = 60,
        source: str = "",
    ) -> None:
        """From `source`, an address of this machine, if it matters which."""
        self.socket = socket.create_connection(address, timeout=seconds, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls == "implicit":
            self._wrap(context)
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()
        if tls == "stls":
            self.command("STLS")
            self.file.close()
            self._wrap(context)
            self.file = self.socket.makefile("rb")

    def _wrap(self, context: ssl.SSLContext | None) -> None:
        if context is None:
            raise ValueError("TLS needs a context")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> str:
        """The next line of the server without its CRLF; ConnectionResetError when the server has closed."""
        line = self.file.readline()
        if not line:
            raise ConnectionResetError("closed by the server")
        if not line.endswith(b"\r\n"):
            raise ValueError(f"no line end: {line[-80:]!r}")
        return line[:-2].decode("utf-8")

    def status(self) -> str:
        line = self.line()
        if line.startswith("-ERR"):
            raise Refused(line)
        if not line.startswith("+OK"):
            raise ValueError(f"no status indicator: {line!r}")
        return line

    def command(self, line: str) -> str:
        self.send(line.encode() + b"\r\n")
        return self.status()

    def body(self) -> bytes:
        """The octets of a multi-line response, unstuffed, up to the termination octet's line."""
        parts: list[bytes] = []
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionResetError("closed by the server inside a response")
            if line == b".\r\n":
                return b"".join(parts)
            if not line.endswith(b"\r\n"):
                # A bare LF would stand here: the server may never send one.
                raise ValueError(f"a line without CRLF: {line[-80:]!r}")
            parts.append(line[1:] if line.startswith(b".") else line)

    def multi(self, line: str) -> list[str]:
        self.command(line)
        return self.body().decode("utf-8").splitlines()

    def login(self, user: str, password: str) -> Pop3:
        self.command(f"USER {user}")
        self.command(f"PASS {password}")
        return self

    def stat(self) -> tuple[int, int]:
        words = self.command("STAT").split()
        return int(words[1]), int(words[2])

    def list(self) -> dict[int, int]:
        return {int(number): int(count) for number, count in (line.split() for line in self.multi("LIST"))}

    def uidl(self) -> dict[int, str]:
        return {int(number): unique_id for number, unique_id in (line.split() for line in self.multi("UIDL"))}

    def retr(self, number: int) -> bytes:
        self.command(f"RETR {number}")
        return self.body()

    def retr_all(self) -> list[bytes]:
        """Every message, its RETRs pipelined."""
        count = self.stat()[0]
        messages: list[bytes] = []
        for first in range(1, count + 1, 16):
            numbers = range(first, min(first + 16, count + 1))
            self.send(b"".join(b"RETR %d\r\n" % number for number in numbers))
            for _ in numbers:
                self.status()
                messages.append(self.body())
        return messages

    def dele(self, number: int) -> None:
        self.command(f"DELE {number}")

    def quit(self) -> None:
        self.command("QUIT")
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Pop3:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
