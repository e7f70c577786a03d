"""Awkward messages of our own, made by rule, each with the reason why it is here.

`python tests/corpus/__init__.py DIR` writes them as files and prints the reasons.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Message:
    name: str
    reason: str
    octets: bytes


HEADER = b"From: Ada <ada@sender.test>\r\nTo: Ben <ben@reader.test>\r\nSubject: %s\r\n"


def with_header(subject: str, body: bytes) -> bytes:
    return HEADER % subject.encode() + b"\r\n" + body


def noise(seed: int, count: int, alphabet: bytes) -> bytes:
    """`count` octets out of `alphabet`, the same at every run."""
    return bytes(random.Random(seed).choices(alphabet, k=count))


BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def lines_of(seed: int, count: int, width: int, alphabet: bytes = BASE64) -> bytes:
    text = noise(seed, count * width, alphabet)
    return b"".join(text[at : at + width] + b"\r\n" for at in range(0, len(text), width))


def shapes() -> Iterator[Message]:
    """What may be missing: header, body, empty line, last line end, everything."""
    yield Message("ordinary", "the plain case", with_header("ordinary", b"Hello Ben,\r\n\r\nall is well.\r\n"))
    yield Message("empty", "no octet at all: becomes one empty line", b"")
    yield Message("one-octet", "neither header nor line end", b"x")
    yield Message("only-crlf", "no header, no body", b"\r\n")
    yield Message("only-two-crlf", "no header, a body of one empty line", b"\r\n\r\n")
    yield Message("header-only", "no empty line: one has to be appended", HEADER % b"header only")
    yield Message("header-only-no-end", "neither empty line nor last CRLF", b"Subject: cut off in the hea")
    yield Message("header-and-empty-line", "a body of no octet", HEADER % b"no body" + b"\r\n")
    yield Message("body-only", "the header is empty", b"\r\nonly a body\r\n")
    yield Message("no-header", "text that is no header, and no empty line", b"this is just text\r\nand more of it\r\n")
    yield Message("no-header-no-end", "as before, the last CRLF missing as well", b"this is just text\r\nand more")
    yield Message("no-final-crlf", "the last line does not end", with_header("unfinished", b"the last line"))
    yield Message("space-line", "a line of one space is not empty", b"Subject: space\r\n \r\nfolded, not a body\r\n")
    yield Message(
        "folded-first", "the first line is a continuation", b" continued from nowhere\r\nSubject: x\r\n\r\nb\r\n"
    )
    yield Message(
        "mbox-line",
        "an mbox separator before the header",
        b"From ada Mon Nov 23 10:00:00 2026\r\n" + with_header("m", b"From x\r\n>From y\r\n"),
    )
    yield Message("many-empty-lines", "100 000 empty lines", with_header("empty lines", b"\r\n" * 100_000))


def dots() -> Iterator[Message]:
    """What byte-stuffing has to get right."""
    yield Message("dot", "the whole message is a dot", b".")
    yield Message("dot-crlf", "the whole message looks like a termination", b".\r\n")
    yield Message("first-dot", "the first octet of the message is a dot", b".Subject: dotted\r\n\r\n.\r\n")
    yield Message(
        "header-dots",
        "header lines that begin with dots",
        HEADER % b"dots" + b".X-Dot: 1\r\n..X-Dot: 2\r\n\r\nbody\r\n",
    )
    yield Message(
        "lone-dots",
        "lines of one, two and three dots",
        with_header("dots", b".\r\n..\r\n...\r\n.\r\n.\r\n. \r\n .\r\n.x\r\n"),
    )
    yield Message("dot-at-end", "ends in a dot without a line end", with_header("dot at the end", b"text\r\n."))
    yield Message(
        "dot-lines", "20 000 lines that all begin with a dot", with_header("dot lines", b".\r\n.a\r\n" * 10_000)
    )
    yield Message(
        "dot-phases",
        "CRLF and dot at every alignment to any power of two",
        with_header("phases", b"\r\n." * 70_001 + b"\r\n"),
    )
    yield Message(
        "dot-bare-lf", "dots after bare line feeds are no stuffing", with_header("lf dot", b"a\n.\nb\n..c\n.d")
    )
    yield Message("dot-bare-cr", "dots after bare carriage returns", with_header("cr dot", b"a\r.\rb\r..c\r.\r\nd\r\n"))
    yield Message(
        "smuggling",
        "every near miss of the termination, with a transaction behind it",
        with_header(
            "smuggling",
            b"".join(
                b"before" + near + b"MAIL FROM:<evil@sender.test>\r\nRCPT TO:<victim@reader.test>\r\nDATA\r\n"
                for near in (b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n", b"\r\r\n.\r\r\n")
            ),
        ),
    )  # fmt: skip


def line_ends() -> Iterator[Message]:
    """What mending has to get right."""
    yield Message("lf", "a Unix file: bare line feeds only", b"Subject: unix\n\nline\n\nline\n")
    yield Message("lf-no-end", "as before, no last line end", b"Subject: unix\n\nline\n\nline")
    yield Message("cr", "bare carriage returns only", b"Subject: old\r\rline\r\rline\r")
    yield Message("cr-cr-lf", "two line ends", with_header("cr cr lf", b"a\r\r\nb\r\r\r\nc\r\n"))
    yield Message(
        "cr-cr-lf-header", "the second line end makes the empty line", b"Subject: doubled\r\r\nX-Not: a header\r\r\n"
    )
    yield Message("lf-cr", "the wrong way round", with_header("lf cr", b"a\n\rb\n\r\n\rc\n\r"))
    yield Message("cr-at-end", "the last octet is CR", with_header("cr at the end", b"text\r"))
    yield Message("lf-at-end", "the last octet is a bare LF", with_header("lf at the end", b"text\n"))
    yield Message(
        "mixed", "CRLF, LF and CR in one text", b"Subject: mixed\r\nX-A: 1\nX-B: 2\r\n\rbody\n\r\r\n\n\r\nend"
    )
    yield Message("cr-phases", "CR and LF at every alignment", with_header("phases", b"\r\n\r" * 30_001 + b"\n"))
    yield Message("lf-many", "70 000 bare line feeds: the message grows", with_header("growing", b"\n" * 70_000))


def octet_values() -> Iterator[Message]:
    """What is not ASCII text."""
    every = bytes(range(256))
    yield Message("nul", "NUL in header and body: becomes 0x80", b"Subject: n\0l\r\nX\0: y\r\n\r\na\0b\0\0\r\n\0\r\n")
    yield Message("nul-only", "nothing but NUL", b"\0" * 1000)
    yield Message("all-octets", "every value of an octet", with_header("every octet", every * 8 + b"\r\n"))
    yield Message(
        "latin1", "8-bit in no declared character set", with_header("latin", "Grüße à l'été\r\n".encode("latin-1"))
    )
    yield Message(
        "utf8-header",
        "raw UTF-8 in the header (RFC 6532)",
        HEADER % "Grüße, 你好, مرحبا".encode() + "\r\nпривет 🙂\r\n".encode(),
    )
    yield Message(
        "broken-utf8",
        "sequences that are no UTF-8",
        with_header("broken", b"\xc3\x28 \xff\xfe \xed\xa0\x80 \xf0\x9f\r\n"),
    )
    yield Message("bom", "a byte order mark before the header", b"\xef\xbb\xbf" + with_header("bom", b"text\r\n"))
    yield Message(
        "utf16", "UTF-16 text: every other octet NUL, CR and LF apart", "Subject: wide\r\n\r\nwide\r\n".encode("utf-16")
    )
    yield Message(
        "controls",
        "control characters, Ctrl-Z, DEL and escape sequences",
        with_header("controls", b"\x01\x07\x08\x0b\x0c\x1a\x1b[2J\x7f\r\n"),
    )
    yield Message("encoded-words", "RFC 2047 words, folded header, long folded list",
                  b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\t=?utf-8?b?4pyJ?=\r\nTo: " + b",\r\n ".join(b"r%d@reader.test" % n for n in range(300)) + b"\r\n\r\nx\r\n")  # fmt: skip


def headers() -> Iterator[Message]:
    """Headers that a server or a client may be tempted to read, change or drop."""
    trace = (
        b"Return-Path: <old@sender.test>\r\nDelivered-To: old@reader.test\r\n"
        b"Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    )
    yield Message("old-trace", "lines of an earlier delivery stay", trace + with_header("trace", b"x\r\n"))
    yield Message("status-lines", "Status, X-Mozilla-Status, Lines, a wrong Content-Length",
                  b"Status: RO\r\nX-Mozilla-Status: 0001\r\nLines: 7\r\nContent-Length: 3\r\n" + with_header("status", b"12345\r\n"))  # fmt: skip
    yield Message("odd-fields", "empty name, no value, space before the colon, no colon",
                  b": no name\r\nX-Empty:\r\nX-Space : 1\r\nno colon here\r\nX-Last: 2\r\n\r\nbody\r\n")  # fmt: skip
    yield Message(
        "repeated",
        "the same field many times, 3 000 fields",
        b"".join(b"X-Many: %d\r\n" % n for n in range(3000)) + b"\r\nx\r\n",
    )
    yield Message(
        "bcc",
        "Bcc and Resent lines stay",
        b"Bcc: hidden@reader.test\r\nResent-From: r@s.test\r\n" + with_header("bcc", b"x\r\n"),
    )
    yield Message(
        "long-field",
        "a header line of 100 000 octets",
        b"X-Long: " + noise(1, 100_000, BASE64) + b"\r\n" + with_header("l", b"x\r\n"),
    )
    yield Message("mime", "multipart, nested message, 8-bit part, boundary that begins with dots",
                  b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="..b"\r\n' + with_header("mime",
                  b"preamble\r\n--..b\r\nContent-Type: message/rfc822\r\n\r\n" + with_header("inner", b".\r\n")
                  + b"--..b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe4\xf6\xfc\r\n--..b--\r\nepilogue"))  # fmt: skip
    yield Message(
        "pop3-words",
        "lines that look like replies and commands",
        with_header("words", b"+OK\r\n-ERR no\r\nQUIT\r\n250 2.0.0 OK\r\n+OK 5 octets\r\n"),
    )


def lengths() -> Iterator[Message]:
    """Lines and messages at and beyond the sizes of somebody's buffer."""
    yield Message("long-line", "a line of 100 000 octets", with_header("long", noise(2, 100_000, BASE64) + b"\r\n"))
    yield Message("long-dot-line", "a line of 100 000 dots", with_header("long dots", b"." * 100_000 + b"\r\n"))
    yield Message(
        "long-8bit-line",
        "100 000 octets with the high bit set",
        with_header("8 bit", noise(3, 100_000, bytes(range(128, 256)))),
    )
    edges = (76, 78, 510, 512, 998, 1000, 1022, 1024, 2048, 4094, 4096, 8190, 8192, 16384)
    yield Message("edge-lines", "lines of exactly the usual limits, one less and one more",
                  with_header("edges", b"".join(noise(edge, edge + d, BASE64) + b"\r\n" for edge in edges for d in (-1, 0, 1))))  # fmt: skip
    for total in (65_535, 65_536, 65_537):
        start = with_header("chunk", b"")
        yield Message(
            f"octets-{total}",
            "the whole message around 64 KiB",
            start + noise(total, total - len(start) - 2, BASE64) + b"\r\n",
        )
    yield Message(
        "one-mib", "around the size from which a body is stored alone", with_header("1 MiB", lines_of(5, 13_800, 76))
    )
    yield Message(
        "incompressible",
        "3 MB of every octet but NUL",
        with_header("random", noise(6, 3_000_000, bytes(range(1, 256)))),
    )
    yield Message("repetitive", "4 MB of one line", with_header("repetitive", b"all work and no play\r\n" * 190_000))
    # One block of noise, repeated with a counter: cheap to make, and no two blocks are alike.
    block = lines_of(7, 13_000, 76)
    yield Message("25-mb", "25 MB: streaming, memory bounds, time limits",
                  with_header("25 MB", b"".join(b"block %d\r\n.\r\n" % n + block for n in range(25))))  # fmt: skip


def messages() -> list[Message]:
    found = [*shapes(), *dots(), *line_ends(), *octet_values(), *headers(), *lengths()]
    if len({message.name for message in found}) != len(found):
        raise ValueError("two messages have one name")
    return found


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for message in messages():
        (directory / f"{message.name}.eml").write_bytes(message.octets)
        print(f"{message.name:24} {len(message.octets):>9}  {message.reason}")
