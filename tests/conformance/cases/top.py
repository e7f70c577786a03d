"""RFC 1939 section 7: TOP."""

from __future__ import annotations

from .. import mail
from ..case import Level, NotOffered, add, case
from ..wire import Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _session(world: World, text: bytes) -> tuple[Session, bytes, list[bytes]]:
    """A session on a message, its header with the empty line, and the lines of its body."""
    session = world.login(world.account([text]))
    if not session.command("TOP 1 0").ok:
        raise NotOffered("TOP is refused")
    session.rest()
    head, empty, body = session.body("RETR 1").partition(b"\r\n\r\n")
    return session, head + empty, body.splitlines(keepends=True)


def _lines(count: int):
    def run(world: World) -> None:
        session, head, body = _session(world, mail.TEN_LINES)
        got = session.body(f"TOP 1 {count}")
        check(
            got == head + b"".join(body[:count]),
            f"{len(got) - len(head)} octets after the header: {got[len(head) :][:60]!r}",
        )

    return run


for _count in (0, 1, 3, 9, 10):
    add(
        f"top_{_count}", 1939, "7", MUST,
        f"TOP n {_count} sends the header, the empty line and {_count or 'no'} line{'' if _count == 1 else 's'} of the body.", _lines(_count),
    )  # fmt: skip
for _count in (11, 1000, 4294967295):
    add(
        f"top_{_count}",
        1939,
        "7",
        MUST,
        f"TOP n {_count} of a body with 10 lines sends the whole message.",
        _lines(_count),
    )


@case(1939, "7", MUST, "Empty lines of the body count as lines; the one after the header does not.")
def top_counts_empty_lines(world: World) -> None:
    session, head, body = _session(world, mail.SPACED)
    for count in range(6):
        check(session.body(f"TOP 1 {count}") == head + b"".join(body[:count]), f"TOP 1 {count}")


@case(1939, "7", MUST, "A line that is stuffed counts once, and the last one sent may be one.")
def top_counts_stuffed_lines(world: World) -> None:
    session, head, body = _session(world, mail.DOTS)
    for count in (1, 2, 3, 8):
        check(session.body(f"TOP 1 {count}") == head + b"".join(body[:count]), f"TOP 1 {count}")


@case(1939, "7", MUST, "TOP of a message that is nothing but a header sends the header and the empty line.")
def top_of_a_header(world: World) -> None:
    session, head, body = _session(world, mail.NO_BODY)
    check(body == [], "a body from nowhere")
    check(session.body("TOP 1 0") == head == session.body("TOP 1 5"), "not the header")


@case(1939, "7", MUST, "TOP counts lines of any length, also in large messages.")
def top_of_a_large_message(world: World) -> None:
    session, head, body = _session(world, mail.LARGE)
    for count in (0, 1, 777, 7999):
        check(session.body(f"TOP 1 {count}") == head + b"".join(body[:count]), f"TOP 1 {count}")


@case(1939, "7", MUST, "TOP of a message that is not there, or is marked as deleted, is answered -ERR.")
def top_of_nothing(world: World) -> None:
    session, *_ = _session(world, mail.TEN_LINES)
    session.expect_err("TOP 2 0")
    session.expect_ok("DELE 1")
    session.expect_err("TOP 1 0")


@case(1939, "7", MUST, "TOP wants a count of lines that is not negative, and wants both arguments.")
def top_arguments(world: World) -> None:
    session, *_ = _session(world, mail.TEN_LINES)
    for line in ("TOP 1", "TOP 1 -1", "TOP 1 x", "TOP 1 +1", "TOP", "TOP 0 1"):
        session.expect_err(line)
    session.expect_ok("NOOP")


@case(1939, "7", MUST, "TOP marks nothing.")
def top_marks_nothing(world: World) -> None:
    account = world.account(1)
    session = world.login(account)
    session.body("TOP 1 0")
    session.body("TOP 1 100")
    session.quit()
    check(world.count(account) == 1, "the message is gone")
