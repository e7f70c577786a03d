"""RFC 1939 section 11: what a message is on the wire."""

from __future__ import annotations

from .. import mail
from ..case import Level, add, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _exact(text: bytes):
    def run(world: World) -> None:
        session = world.login(world.account([text]))
        message = session.body("RETR 1")
        check(message.endswith(text), f"it ends with {message[-60:]!r}")

    return run


for _name, _what, _text in (
    ("octets", "every octet but NUL, CR and LF", mail.OCTETS),
    ("long_lines", "lines of 998 and more octets", mail.LONG_LINES),
    ("large", "half a million octets", mail.LARGE),
    (
        "utf8_header",
        "UTF-8 in the header, to a client that did not ask for UTF8 (or it is refused with [UTF8])",
        mail.UTF8_HEADER,
    ),
    ("spaces", "spaces and tabs at the ends of lines", b"Subject: x\r\n\r\na \r\nb\t\r\n \r\n\t\r\nc  \r\n"),
    ("folded_header", "folded header lines", b"Subject: a\r\n b\r\n\tc\r\nX-Empty:\r\n\r\nbody\r\n"),
):
    add(
        f"stored_as_delivered_{_name}", 1939, "11", MUST, f"Octets come as they were delivered: {_what}.", _exact(_text)
    )


@case(
    1939,
    "11",
    MUST,
    "Lines end in CRLF, also of a message that was delivered with bare line feeds and carriage returns.",
)
def bare_line_ends_become_crlf(world: World) -> None:
    # `Session.line` refuses a bare LF or CR; the octets must still be those of the listing.
    session = world.login(world.account([b"Subject: x\r\n\r\none\ntwo\nthree\r\nfour\r\n"]))
    octets = session.listing()[1]
    message = session.body("RETR 1")
    check(message.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n"), f"it ends with {message[-60:]!r}")
    check(len(message) == octets, f"LIST says {octets}, RETR sent {len(message)}")


@case(1939, "11", MUST, "A dot after a bare line feed is stuffed once the line end is CRLF.")
def dot_after_a_bare_line_feed(world: World) -> None:
    session = world.login(world.account([b"Subject: x\r\n\r\none\n.two\n.\nthree\r\n"]))
    message = session.body("RETR 1")
    check(message.endswith(b"one\r\n.two\r\n.\r\nthree\r\n"), f"it ends with {message[-60:]!r}")
    session.expect_ok("NOOP")


@case(1939, "8", SHOULD, "A maildrop of 500 messages is listed and numbered whole.")
def large_maildrop(world: World) -> None:
    account = world.account([b"Subject: %d\r\n\r\nx\r\n" % number for number in range(500)])
    session = world.login(account)
    check(session.stat()[0] == 500, "STAT")
    session.expect_ok("LIST")
    check([int(line.split()[0]) for line in session.rest()] == list(range(1, 501)), "LIST")
    session.expect_ok("UIDL")
    lines = session.rest()
    check(len({line.split()[1] for line in lines}) == 500, "UIDL is not unique")
    check(b"\r\nSubject: 499\r\n" in session.body("RETR 500"), "RETR 500")
