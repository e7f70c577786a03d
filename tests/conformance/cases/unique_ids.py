"""RFC 1939 section 7: UIDL."""

from __future__ import annotations

import re

from ..case import Level, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(
    1939, "7", MUST, "UIDL gives a line for each message: its number, one space, its unique-id, and nothing after it."
)
def uidl_format(world: World) -> None:
    session = world.login(world.standard())
    for line in session.multi("UIDL"):
        check(re.fullmatch(rb"\d+ [\x21-\x7e]{1,70}", line), f"the format: {line!r}")


@case(1939, "7", MUST, "A unique-id has 1 to 70 characters from 0x21 to 0x7E.")
def unique_id_characters(world: World) -> None:
    for unique_id in world.login(world.standard()).unique_ids().values():
        check(re.fullmatch(rb"[\x21-\x7e]{1,70}", unique_id), f"{unique_id!r}")


@case(1939, "7", MUST, "Unique-ids are unique in the maildrop, also of two copies of one message.")
def unique_ids_are_unique(world: World) -> None:
    unique_ids = list(world.login(world.standard()).unique_ids().values())
    check(len(unique_ids) == len(set(unique_ids)), "two messages share one")


@case(1939, "7", MUST, "A unique-id is the same in every session.")
def unique_ids_are_stable(world: World) -> None:
    account = world.standard()
    first, second = world.login(account).unique_ids(), world.login(account, world.tls()).unique_ids()
    check(first == second, "they differ")


@case(1939, "7", MUST, "A message keeps its unique-id when its number changes because others were deleted.")
def unique_ids_survive_deletions(world: World) -> None:
    account = world.account(4)
    session = world.login(account)
    before = session.unique_ids()
    session.expect_ok("DELE 1")
    session.expect_ok("DELE 3")
    session.quit()
    after = world.login(account).unique_ids()
    check(after == {1: before[2], 2: before[4]}, "they changed")


@case(1939, "7", SHOULD, "The unique-id of a deleted message is not given to a later one, not even to the same text.")
def unique_ids_are_not_given_again(world: World) -> None:
    account = world.account(2)
    session = world.login(account)
    before = set(session.unique_ids().values())
    session.expect_ok("DELE 1")
    session.expect_ok("DELE 2")
    session.quit()
    world.server.deliver(account, [b"From: Tester <tester@sender.test>\r\nSubject: number 1\r\n\r\ntext 1\r\n"])
    check(not before & set(world.login(account).unique_ids().values()), "one came back")


@case(1939, "7", MUST, "UIDL with a number gives one line: +OK, the number, the unique-id of the listing.")
def uidl_one(world: World) -> None:
    session = world.login(world.standard())
    for number, unique_id in session.unique_ids().items():
        reply = session.expect_ok(f"UIDL {number}")
        check(reply.line == b"+OK %d %s" % (number, unique_id), f"{reply}")


@case(1939, "7", MUST, "UIDL with the number of no message, or of one marked as deleted, is answered -ERR.")
def uidl_of_nothing(world: World) -> None:
    session = world.login(world.account(2))
    session.expect_err("UIDL 3")
    session.expect_ok("DELE 1")
    session.expect_err("UIDL 1")


@case(1939, "7", MUST, "UIDL does not list messages marked as deleted.")
def uidl_without_marked(world: World) -> None:
    session = world.login(world.account(3))
    before = session.unique_ids()
    session.expect_ok("DELE 2")
    check(session.unique_ids() == {1: before[1], 3: before[3]}, "the listing")


@case(1939, "7", MUST, "UIDL of an empty maildrop is +OK and the termination octet.")
def uidl_of_an_empty_maildrop(world: World) -> None:
    check(world.login(world.account()).multi("UIDL") == [], "lines of no message")
