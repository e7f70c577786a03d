"""What RETR must send for a message given to LMTP, computed from its definition alone.

The definition: unstuff (only a dot after CRLF); then, left to right, CRLF stays, any other CR or LF becomes CRLF, NUL becomes
0x80; a text that does not end in CRLF gets it; if no line is empty, one CRLF is appended. Before that stand, unfolded, a
Return-Path, a Delivered-To (the RCPT address as given) and a Received line.

Nothing here shares code with Restante; what only the server knows (its host name, the delivery's id, the moment) is checked
by pattern.
"""

from __future__ import annotations

import email.utils
import re
import time
from dataclasses import dataclass

_HOST = rb"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_ID = rb"[A-Za-z0-9.-]{8,64}"
_DATE = (
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    rb"[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
)


def stuff(message: bytes) -> bytes:
    """What an LMTP client sends between DATA and the lone dot: dots doubled after CRLF, and a CRLF at the end."""
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..")


def unstuff(content: bytes) -> bytes:
    """The message in the octets before the lone dot: only a dot after CRLF (or at the start) is taken away."""
    content = content.removeprefix(b".")
    return content.replace(b"\r\n.", b"\r\n")


def mend(message: bytes) -> bytes:
    """Every line end CRLF, NUL as 0x80, a CRLF at the end, and at least one empty line."""
    mended = re.sub(rb"\r\n|\r|\n", b"\r\n", message).replace(b"\0", b"\x80")
    if not mended.endswith(b"\r\n"):
        mended += b"\r\n"
    if b"" not in mended.split(b"\r\n")[:-1]:
        mended += b"\r\n"
    return mended


@dataclass(frozen=True)
class Expected:
    """What RETR must send: three lines of trace by pattern, then `rest` exactly."""

    reverse_path: str
    recipient: str
    rest: bytes
    lhlo: str = "client.test"
    address: str = "127.0.0.1"
    protocol: str = "LMTP"

    def problem(self, received: bytes, slack: float = 3600) -> str | None:
        """None when `received` is right, else what is wrong. `slack`: seconds the date may be off."""
        lines = received.split(b"\r\n", 3)
        if len(lines) < 4:
            return f"fewer than three lines: {received[:200]!r}"
        return_path, delivered_to, trace, rest = lines
        if return_path != f"Return-Path: <{self.reverse_path}>".encode():
            return f"line 1 is {return_path!r}"
        if delivered_to != f"Delivered-To: {self.recipient}".encode():
            return f"line 2 is {delivered_to!r}"
        return self._trace_problem(trace, slack) or difference(self.rest, rest)

    def _trace_problem(self, trace: bytes, slack: float) -> str | None:
        pattern = (
            rb"Received: from " + re.escape(self.lhlo.encode()) + rb" \(\[" + re.escape(self.address.encode())
            + rb"\]\) by " + _HOST + rb" with " + self.protocol.encode() + rb" id " + _ID + rb"; (" + _DATE + rb")"
        )  # fmt: skip
        match = re.fullmatch(pattern, trace)
        if match is None:
            return f"line 3 is {trace!r}"
        stamped = email.utils.parsedate_to_datetime(match.group(1).decode()).timestamp()
        if abs(time.time() - stamped) > slack:
            return f"line 3 has the moment {match.group(1)!r}"
        return None


def difference(expected: bytes, found: bytes) -> str | None:
    """None when equal, else where the first difference is and what surrounds it."""
    if expected == found:
        return None
    shared = min(len(expected), len(found))
    at = next((i for i in range(0, shared, 4096) if expected[i : i + 4096] != found[i : i + 4096]), shared)
    while at < shared and expected[at] == found[at]:
        at += 1
    around = slice(max(0, at - 30), at + 30)
    return (
        f"octet {at} of {len(expected)} expected and {len(found)} found: "
        f"expected {expected[around]!r}, found {found[around]!r}"
    )


def checked_unique_id(unique_id: str) -> str:
    """`unique_id` itself when it is one: one or more printable ASCII characters, at most 70 (RFC 1939 section 7); else ValueError."""
    if not re.fullmatch(r"[\x21-\x7e]{1,70}", unique_id):
        raise ValueError(f"no unique-id: {unique_id!r}")
    return unique_id
