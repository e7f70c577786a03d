"""An LMTP client over a bare socket: it sends exactly the octets a test wants, well-formed or not."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from . import octets


@dataclass(frozen=True)
class Reply:
    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 2034), or an empty string."""
        word = self.lines[-1].split(" ", 1)[0] if self.lines else ""
        return word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Lmtp:
    """One session. `Lmtp(address)` connects and reads the greeting; `lhlo` is sent unless it is None."""

    def __init__(self, address: tuple[str, int], *, lhlo: str | None = "client.test", seconds: float = 60) -> None:
        self.socket = socket.create_connection(address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.extensions: dict[str, str] = {}
        self.greeting = self.reply()
        if lhlo is not None:
            self.lhlo(lhlo)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> Reply:
        """The next reply; raises ConnectionError when the server has closed."""
        lines: list[str] = []
        while True:
            line = self.file.readline(8192)
            if not line:
                raise ConnectionResetError("closed by the server")
            if not line.endswith(b"\r\n") or not line[:3].isdigit() or line[3:4] not in (b" ", b"-", b"\r"):
                raise ValueError(f"no reply line: {line!r}")
            lines.append(line[4:-2].decode("utf-8"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), tuple(lines))

    def command(self, line: str) -> Reply:
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def lhlo(self, name: str) -> Reply:
        reply = self.command(f"LHLO {name}")
        words = [line.split(" ", 1) for line in reply.lines[1:]]
        self.extensions = {word[0].upper(): word[1] if len(word) > 1 else "" for word in words}
        return reply

    def starttls(self, context: ssl.SSLContext, name: str = "client.test") -> None:
        reply = self.command("STARTTLS")
        if reply.code != 220:
            raise ValueError(f"STARTTLS: {reply}")
        self.file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.lhlo(name)

    def envelope(self, reverse_path: str, recipients: list[str], parameters: str = "") -> list[Reply]:
        """MAIL and all RCPTs in one write; a reply per recipient. Raises when MAIL is refused."""
        lines = [f"MAIL FROM:<{reverse_path}>{parameters}", *(f"RCPT TO:<{address}>" for address in recipients)]
        self.send("".join(f"{line}\r\n" for line in lines).encode())
        mail = self.reply()
        replies = [self.reply() for _ in recipients]
        if mail.code != 250:
            raise ValueError(f"MAIL: {mail}")
        return replies

    def deliver(
        self, reverse_path: str, recipients: list[str], message: bytes, *, chunking: bool = False, parameters: str = ""
    ) -> list[Reply]:
        """One mail transaction; a reply per recipient, in order: the one to RCPT when it was refused there, else the last."""
        replies = self.envelope(reverse_path, recipients, parameters)
        accepted = [at for at, reply in enumerate(replies) if reply.code // 100 == 2]
        if not accepted:
            self.command("RSET")
            return replies
        if chunking:
            # Two chunks, cut at an odd place: a line end or a dot may stand at the edge.
            cut = len(message) // 2
            if cut:
                self.send(b"BDAT %d\r\n" % cut + message[:cut])
                self.reply()
            self.send(b"BDAT %d LAST\r\n" % (len(message) - cut) + message[cut:])
        else:
            self.send(b"DATA\r\n")
            go = self.reply()
            if go.code != 354:
                raise ValueError(f"DATA: {go}")
            self.send(octets.stuff(message) + b".\r\n")
        for at in accepted:
            replies[at] = self.reply()
        return replies

    def quit(self) -> None:
        self.command("QUIT")
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Lmtp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_received(message: bytes, *, chunking: bool = False) -> bytes:
    """The message before mending that a server has in hand after `deliver`: DATA cannot say that the last CRLF is missing."""
    return message if chunking else octets.unstuff(octets.stuff(message))
