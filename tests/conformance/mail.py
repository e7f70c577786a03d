"""The messages that the cases use, all of our own making, all with CRLF line ends."""

from __future__ import annotations


def message(subject: str, body: bytes = b"A line.\r\n", extra: bytes = b"") -> bytes:
    head = f"From: Tester <tester@sender.test>\r\nTo: you@example.test\r\nSubject: {subject}\r\n".encode()
    return head + extra + b"\r\n" + body


# Line 1 of the body begins with a dot, and every kind of line that does.
DOTS = (
    message(
        "dots",
        b".first\r\n.\r\n..\r\n...\r\n....x\r\nin.the.middle.\r\n\r\n.\r\n.\r\n. \r\n.\t\r\n.\xc3\xbc\r\n.QUIT\r\n+OK\r\n-ERR\r\n.",
    ).rstrip(b"\r\n")
    + b"\r\n"
)

# A dot that begins a line at every offset from 0 to 200, then at all of them again around 64 KiB.
LADDER = message(
    "ladder",
    b"".join(b"." + b"x" * length + b"\r\n" for length in range(200))
    + b"".join(b".%05d\r\n" % number for number in range(9000))
    + b"".join(b"." * length + b"\r\n" for length in range(1, 120)),
)

TEN_LINES = message("ten lines", b"".join(b"line %d\r\n" % number for number in range(1, 11)))

# The 2nd and 3rd lines of the body are empty.
SPACED = message("spaced", b"one\r\n\r\n\r\nfour\r\n.five\r\n")

OCTETS = message(
    "octets",
    bytes(octet for octet in range(1, 256) if octet not in (0x0A, 0x0D))
    + b"\r\n\x80\xff\xfe latin-1: \xe4\xf6\xfc\r\n",
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n",
)

LONG_LINES = message("long lines", b"y" * 998 + b"\r\n" + b"z" * 5000 + b"\r\n" + b"." * 3000 + b"\r\n")

NO_BODY = b"From: tester@sender.test\r\nSubject: nothing but a header\r\n\r\n"

ENDS_WITH_EMPTY_LINES = message("ends with empty lines", b"text\r\n\r\n\r\n\r\n")

UTF8_HEADER = (
    "From: J\u00f6rg <j\u00f6rg@sender.test>\r\nTo: you@example.test\r\nSubject: gr\u00fc\u00dfe \u2709\r\n\r\nTsch\u00fc\u00df\r\n"
).encode()

LARGE = message("large", b"".join(b"%06d %s\r\n" % (number, b"abcdefghij" * 7) for number in range(8000)))

STANDARD = [
    message("one"),
    DOTS,
    TEN_LINES,
    SPACED,
    OCTETS,
    LONG_LINES,
    NO_BODY,
    ENDS_WITH_EMPTY_LINES,
    LADDER,
    message("one"),
    LARGE,
]
"""The standard maildrop: 11 messages; numbers 1 and 10 are copies of one another."""
