"""A POP3 client over a bare socket that sees the raw octets and writes down what it saw.

Nothing is mended or guessed: a line without CRLF, a status indicator in the wrong case or an octet after the end is an error
of the server and raises `Violation`.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

SECONDS = 30.0
"""How long any answer may take: much longer than it should, as machines are busy."""


class Violation(AssertionError):
    """The server broke a rule."""


class Closed(Violation):
    """The server closed where it had to answer."""


class Silence(Violation):
    """The server did not answer in time."""


@dataclass
class Trace:
    """What was said in a case, a line each; long lines are cut."""

    lines: list[str] = field(default_factory=list)

    def add(self, who: str, octets: bytes) -> None:
        text = octets.decode("ascii", "backslashreplace").replace("\r\n", "\\r\\n" if len(octets) < 3 else "")
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
        self.lines.append(f"{who}: {text[:150]}{'…' if len(text) > 150 else ''}")

    def note(self, text: str) -> None:
        self.lines.append(f"# {text}")


@dataclass(frozen=True)
class Reply:
    """The first line of a response, without its CRLF."""

    line: bytes

    @property
    def ok(self) -> bool:
        return self.line.startswith(b"+OK")

    @property
    def challenge(self) -> bytes | None:
        """The decoded octets of a SASL challenge; None when the line is none."""
        if self.line[:2] != b"+ ":
            return None
        return base64.b64decode(self.line[2:], validate=True)

    @property
    def text(self) -> str:
        return self.line.partition(b" ")[2].decode("utf-8", "backslashreplace")

    @property
    def code(self) -> str | None:
        """The response code (RFC 2449 section 8), in upper case, without brackets."""
        match = re.match(r"\[([^\]]*)\]", self.text)
        return match.group(1).upper() if match else None

    def __str__(self) -> str:
        return self.line.decode("utf-8", "backslashreplace")


class Session:
    """One connection. The greeting is read unless `greet` is false."""

    def __init__(
        self,
        address: tuple[str, int],
        trace: Trace,
        *,
        tls: ssl.SSLContext | None = None,
        greet: bool = True,
        receive_buffer: int | None = None,
    ) -> None:
        self.trace = trace
        self.pending = b""
        self.closed = False
        self.socket: socket.socket = socket.socket(socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.start_tls(tls)
        self.greeting = self.reply() if greet else Reply(b"")

    # --- octets

    def send(self, data: bytes) -> None:
        for line in data.split(b"\r\n")[: -1 if data.endswith(b"\r\n") else None][:40]:
            self.trace.add("C", line)
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError) as error:
            raise Closed(f"the connection was closed while we sent: {error}") from None

    def _fill(self, seconds: float | None = None) -> bool:
        """Reads once; False at the end."""
        seconds = SECONDS if seconds is None else seconds
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise Silence(f"no answer within {seconds:g} s") from None
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b""
        except ssl.SSLError as error:
            raise Violation(f"TLS: {error}") from None
        self.pending += data
        return bool(data)

    def line(self, seconds: float | None = None, *, quiet: bool = False) -> bytes:
        """The next line without its CRLF."""
        start = 0
        while (end := self.pending.find(b"\n", start)) < 0:
            start = len(self.pending)
            if not self._fill(seconds):
                rest = f" after {self.pending[:80]!r}" if self.pending else ""
                raise Closed(f"closed by the server{rest}")
        line, self.pending = self.pending[: end + 1], self.pending[end + 1 :]
        if not quiet:
            self.trace.add("S", line[:-1].removesuffix(b"\r"))
        if not line.endswith(b"\r\n"):
            raise Violation(f"a line that does not end in CRLF: {line[-60:]!r}")
        if b"\r" in line[:-2]:
            raise Violation(f"a CR inside a line: {line[:60]!r}")
        return line[:-2]

    def reply(self, seconds: float | None = None) -> Reply:
        """The first line of a response (RFC 1939 section 3): +OK or -ERR in upper case, then a space or the end."""
        line = self.line(seconds)
        if len(line) > 510:
            raise Violation(f"a response line of {len(line) + 2} octets; at most 512 are allowed")
        if not re.match(rb"(\+OK|-ERR)( |$)|\+ ", line):
            raise Violation(f"no status indicator: {line[:60]!r}")
        return Reply(line)

    def command(self, line: bytes | str) -> Reply:
        data = line.encode() if isinstance(line, str) else line
        self.send(data + b"\r\n")
        return self.reply()

    def rest(self, *, quiet: bool = True) -> list[bytes]:
        """What follows the first line of a multi-line response, as on the wire, without the termination octet's line."""
        lines: list[bytes] = []
        while (line := self.line(quiet=quiet)) != b".":
            if line.startswith(b".") and not line.startswith(b".."):
                raise Violation(f"a line that begins with one dot is not stuffed: {line[:60]!r}")
            lines.append(line)
        if quiet:
            self.trace.note(f"{len(lines)} lines and the termination octet")
        return lines

    def multi(self, line: bytes | str) -> list[bytes]:
        """The lines of a positive multi-line response, unstuffed."""
        self.expect_ok(line)
        return [text.removeprefix(b".") if text.startswith(b".") else text for text in self.rest(quiet=False)]

    def body(self, line: bytes | str) -> bytes:
        """The octets of a message that RETR or TOP gives, unstuffed."""
        self.expect_ok(line)
        return self.message()

    def message(self) -> bytes:
        return b"".join((text[1:] if text.startswith(b".") else text) + b"\r\n" for text in self.rest())

    # --- expectations

    def expect_ok(self, line: bytes | str) -> Reply:
        reply = self.command(line)
        if not reply.ok:
            raise Violation(f"{_shown(line)} was refused: {reply}")
        return reply

    def expect_err(self, line: bytes | str) -> Reply:
        reply = self.command(line)
        if not reply.line.startswith(b"-ERR"):
            raise Violation(f"{_shown(line)} was not refused: {reply}")
        return reply

    def expect_silence(self, seconds: float = 0.3) -> None:
        """Nothing comes, and the connection stays."""
        if self.pending:
            raise Violation(f"octets that nobody asked for: {self.pending[:80]!r}")
        with contextlib.suppress(Silence):
            if not self._fill(seconds):
                raise Closed("closed by the server")
        if self.pending:
            raise Violation(f"octets that nobody asked for: {self.pending[:80]!r}")

    def expect_close(self, seconds: float | None = None) -> None:
        """The server closes, and says nothing before."""
        seconds = SECONDS if seconds is None else seconds
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                more = self._fill(max(0.01, end - time.monotonic()))
            except Silence:
                break
            if not more:
                if self.pending:
                    raise Violation(f"octets before the close: {self.pending[:80]!r}")
                self.trace.note("closed by the server")
                return
        raise Violation(f"still open after {seconds:g} s")

    # --- the usual dialogs

    def capabilities(self) -> dict[str, list[str]]:
        """Name in upper case to arguments."""
        words = [line.decode("utf-8", "backslashreplace").split(" ") for line in self.multi("CAPA")]
        return {name.upper(): arguments for name, *arguments in words}

    def stat(self) -> tuple[int, int]:
        reply = self.expect_ok("STAT")
        match = re.match(rb"\+OK (\d+) (\d+)( |$)", reply.line)
        if not match:
            raise Violation(f"no drop listing: {reply}")
        return int(match.group(1)), int(match.group(2))

    def listing(self) -> dict[int, int]:
        return {int(number): int(octets) for number, octets in (line.split()[:2] for line in self.multi("LIST"))}

    def unique_ids(self) -> dict[int, bytes]:
        pairs = (line.split(b" ", 1) for line in self.multi("UIDL"))
        return {int(number): unique_id for number, unique_id in pairs}

    def start_tls(self, context: ssl.SSLContext, name: str = "localhost") -> None:
        if self.pending:
            raise Violation(f"octets before TLS: {self.pending[:80]!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        self.trace.note(f"{self.socket.version()} from here on")

    def stls(self, context: ssl.SSLContext) -> None:
        self.expect_ok("STLS")
        self.start_tls(context)

    def quit(self) -> Reply:
        reply = self.expect_ok("QUIT")
        self.expect_close()
        self.close()
        return reply

    def half_close(self) -> None:
        """We will send nothing more, and still read."""
        self.socket.shutdown(socket.SHUT_WR)
        self.trace.note("we closed our direction")

    def drop(self, *, reset: bool = False) -> None:
        """The connection is lost: without a farewell, by RST if asked."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.trace.note("we dropped the connection")
        self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if isinstance(self.socket, ssl.SSLSocket):
            # Without close_notify: `detach` leaves TLS out of it.
            socket.socket(fileno=self.socket.detach()).close()
        else:
            self.socket.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shown(line: bytes | str) -> str:
    text = line if isinstance(line, str) else line.decode("ascii", "backslashreplace")
    return repr(text if len(text) < 60 else text[:57] + "…")
