"""RFC 1939 section 5: LIST."""

from __future__ import annotations

import re

from ..case import Level, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(1939, "5", MUST, "LIST gives a line for each message: its number, a space, its octets.")
def list_format(world: World) -> None:
    session = world.login(world.standard())
    lines = session.multi("LIST")
    check(len(lines) == session.stat()[0], "not a line for each message")
    for line in lines:
        check(re.fullmatch(rb"\d+ \d+( .*)?", line), f"the format: {line!r}")


@case(1939, "5", MUST, "LIST of an empty maildrop is +OK and the termination octet.")
def list_of_nothing(world: World) -> None:
    session = world.login(world.account())
    check(session.multi("LIST") == [], "lines of no message")
    session.expect_err("LIST 1")


@case(1939, "5", MUST, "LIST with a number gives one line: +OK, the number, the octets of the listing.")
def list_one(world: World) -> None:
    session = world.login(world.standard())
    for number, octets in session.listing().items():
        reply = session.expect_ok(f"LIST {number}")
        check(re.match(rb"\+OK %d %d( |$)" % (number, octets), reply.line), f"{reply}; the listing says {octets}")
    session.expect_silence(0.05)


@case(1939, "5", MUST, "LIST with the number of no message is answered -ERR.")
def list_unknown(world: World) -> None:
    session = world.login(world.account(2))
    session.expect_err("LIST 3")


@case(1939, "5", MUST, "LIST does not show messages marked as deleted, and LIST with such a number is answered -ERR.")
def list_without_marked(world: World) -> None:
    session = world.login(world.account(3))
    session.expect_ok("DELE 2")
    check(list(session.listing()) == [1, 3], "a marked message is listed")
    session.expect_err("LIST 2")
    for number in (1, 3):
        session.expect_ok(f"DELE {number}")
    check(session.listing() == {}, "a marked message is listed")


@case(1939, "5", MUST, "The octets of STAT are the sum of those of LIST.")
def stat_is_the_sum(world: World) -> None:
    session = world.login(world.standard())
    check(session.stat()[1] == sum(session.listing().values()), "STAT and LIST differ")


@case(1939, "11", MUST, "The octets of LIST are those that RETR sends, line ends as two, stuffed dots not counted.")
def octets_are_exact(world: World) -> None:
    session = world.login(world.standard())
    for number, octets in session.listing().items():
        sent = len(session.body(f"RETR {number}"))
        check(sent == octets, f"message {number}: LIST says {octets}, RETR sent {sent}")


@case(1939, "11", SHOULD, "Octets do not change from session to session.")
def octets_are_stable(world: World) -> None:
    account = world.standard()
    check(world.login(account).listing() == world.login(account).listing(), "two sessions differ")
