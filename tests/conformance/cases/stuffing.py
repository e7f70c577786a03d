"""RFC 1939 section 3: multi-line responses, the termination octet and byte-stuffing."""

from __future__ import annotations

from .. import mail
from ..case import Level, add, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _fetched(world: World, text: bytes, command: str = "RETR 1") -> tuple[bytes, bytes]:
    """What is sent for a message, unstuffed, and the lines on the wire after the header that the server added."""
    session = world.login(world.account([text]))
    session.expect_ok(command)
    lines = session.rest()
    session.expect_ok("NOOP")  # in step: the response ended where it had to
    wire = b"".join(line + b"\r\n" for line in lines)
    message = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines)
    return message, wire


@case(1939, "3", MUST, "A line that begins with a dot is sent with a second one, whatever follows the dot.")
def dots_are_stuffed(world: World) -> None:
    message, wire = _fetched(world, mail.DOTS)
    check(message.endswith(mail.DOTS), "unstuffed, it is not what was delivered")
    body = mail.DOTS.partition(b"\r\n\r\n")[2]
    stuffed = (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:]
    check(wire.endswith(b"\r\n\r\n" + stuffed), "on the wire it is not what byte-stuffing makes of it")


@case(1939, "3", MUST, "The first line of the body is stuffed like any other.")
def first_line_of_the_body(world: World) -> None:
    text = b"Subject: x\r\n\r\n.\r\n.QUIT\r\n"
    message, wire = _fetched(world, text)
    check(message.endswith(text) and wire.endswith(b"\r\n\r\n..\r\n..QUIT\r\n"), "not stuffed")


@case(1939, "3", MUST, "A header line that begins with a dot is stuffed too.")
def dots_in_the_header(world: World) -> None:
    text = b"Subject: x\r\n.X-Dot: y\r\n\r\nbody\r\n"
    message, wire = _fetched(world, text)
    check(message.endswith(text), "unstuffed, it is not what was delivered")
    check(b"\r\n..X-Dot: y\r\n" in wire, "not stuffed")


@case(1939, "3", MUST, "A dot that does not begin a line is sent as it is.")
def dots_inside_lines(world: World) -> None:
    text = b"Subject: x\r\n\r\na.b\r\na.\r\n ..\r\n\t.\r\nx" + b"." * 300 + b"\r\n"
    message, wire = _fetched(world, text)
    check(message.endswith(text) and wire.endswith(text), "changed")


@case(
    1939, "3", MUST, "Dots at the beginning of lines at every offset, and in messages beyond any buffer, are stuffed."
)
def dots_at_every_offset(world: World) -> None:
    message, _ = _fetched(world, mail.LADDER)
    check(message.endswith(mail.LADDER), "unstuffed, it is not what was delivered")


@case(1939, "3", MUST, "TOP stuffs as RETR does.")
def top_is_stuffed(world: World) -> None:
    message, wire = _fetched(world, mail.DOTS, "TOP 1 9999")
    check(message.endswith(mail.DOTS), "unstuffed, it is not what was delivered")
    check(b"\r\n\r\n..first\r\n..\r\n...\r\n" in wire, "not stuffed")


def _ending(text: bytes):
    def run(world: World) -> None:
        message, _ = _fetched(world, text)
        check(message.endswith(text), f"the end is {message[-40:]!r}")

    return run


for _name, _text in (
    ("one_empty_line", b"Subject: x\r\n\r\ntext\r\n\r\n"),
    ("empty_lines", mail.ENDS_WITH_EMPTY_LINES),
    ("a_dot", b"Subject: x\r\n\r\ntext\r\n.\r\n"),
    ("two_dots", b"Subject: x\r\n\r\ntext\r\n..\r\n"),
    ("a_header_alone", mail.NO_BODY),
):
    add(
        f"ends_with_{_name}", 1939, "3", MUST,
        f"The termination octet follows a last CRLF of the message: one that ends with {_name.replace('_', ' ')} comes whole.",
        _ending(_text),
    )  # fmt: skip


@case(1939, "3", MUST, "Only CRLF, a dot and CRLF end a multi-line response, and the next response follows at once.")
def termination_is_exact(world: World) -> None:
    session = world.login(world.standard())
    session.send(b"RETR 2\r\nTOP 2 3\r\nLIST\r\nUIDL\r\nCAPA\r\nNOOP\r\n")
    for _ in range(5):
        check(session.reply().ok, "refused")
        session.rest()
    check(session.reply().ok, "out of step")
    session.expect_silence(0.05)
