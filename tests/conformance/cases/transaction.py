"""RFC 1939 section 5: STAT, RETR, DELE, NOOP, RSET."""

from __future__ import annotations

import re

from ..case import Level, case
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(1939, "5", MUST, "STAT gives +OK, the count and the octets, with single spaces, and nothing else needed.")
def stat_format(world: World) -> None:
    session = world.login(world.standard())
    reply = session.expect_ok("STAT")
    check(re.fullmatch(rb"\+OK \d+ \d+( .*)?", reply.line), f"the format: {reply}")
    session.expect_silence(0.05)


@case(1939, "5", MUST, "STAT of an empty maildrop is 0 0.")
def stat_of_nothing(world: World) -> None:
    check(world.login(world.account()).stat() == (0, 0), "not 0 0")


@case(1939, "5", MUST, "STAT does not count messages marked as deleted, nor their octets.")
def stat_without_marked(world: World) -> None:
    session = world.login(world.account(3))
    octets = session.listing()
    session.expect_ok("DELE 2")
    check(session.stat() == (2, octets[1] + octets[3]), "marked messages are counted")


@case(1939, "5", MUST, "RETR sends the whole message.")
def retr_sends_all(world: World) -> None:
    text = b"Subject: all\r\n\r\n" + b"".join(b"%d\r\n" % number for number in range(100))
    session = world.login(world.account([text]))
    check(session.body("RETR 1").endswith(text), "not what was delivered")


@case(1939, "5", MUST, "RETR of a message that is not there is answered -ERR, in one line.")
def retr_of_nothing(world: World) -> None:
    session = world.login(world.account(2))
    session.expect_err("RETR 3")
    session.expect_silence(0.05)
    session.expect_ok("NOOP")


@case(1939, "5", MUST, "RETR may not name a message marked as deleted.")
def retr_of_a_marked_message(world: World) -> None:
    session = world.login(world.account(2))
    session.expect_ok("DELE 1")
    session.expect_err("RETR 1")
    session.body("RETR 2")


@case(1939, "5", MUST, "RETR does not mark, and the same message can be fetched again with the same octets.")
def retr_again(world: World) -> None:
    account = world.account(1)
    session = world.login(account)
    check(session.body("RETR 1") == session.body("RETR 1"), "two RETRs differ")
    check(session.stat()[0] == 1, "the message is marked")
    session.quit()
    check(world.count(account) == 1, "the message is gone")


@case(1939, "5", MUST, "DELE marks; naming the message again in any command is an error until RSET.")
def dele_marks(world: World) -> None:
    session = world.login(world.account(2))
    session.expect_ok("DELE 1")
    for line in ("DELE 1", "RETR 1", "LIST 1"):
        session.expect_err(line)
    session.expect_ok("DELE 2")
    check(session.stat() == (0, 0), "STAT after all are marked")


@case(1939, "5", MUST, "DELE of a message that is not there is answered -ERR.")
def dele_of_nothing(world: World) -> None:
    session = world.login(world.account(1))
    session.expect_err("DELE 2")
    check(session.stat()[0] == 1, "something was marked")


@case(1939, "5", MUST, "DELE does not renumber: the others keep their message-numbers.")
def dele_does_not_renumber(world: World) -> None:
    session = world.login(world.account(4))
    octets, unique_ids, third = session.listing(), session.unique_ids(), session.body("RETR 3")
    session.expect_ok("DELE 1")
    session.expect_ok("DELE 2")
    check(session.listing() == {3: octets[3], 4: octets[4]}, "LIST")
    check(session.unique_ids() == {3: unique_ids[3], 4: unique_ids[4]}, "UIDL")
    check(session.body("RETR 3") == third, "RETR 3 is another message")
    check(session.expect_ok("LIST 4").line.startswith(b"+OK 4 %d" % octets[4]), "LIST 4 is another message")
    session.expect_err("LIST 1")


@case(1939, "5", MUST, "DELE deletes nothing before UPDATE: another session still sees the message.")
def dele_is_only_a_mark(world: World) -> None:
    account = world.account(2)
    first = world.login(account)
    first.expect_ok("DELE 1")
    first.drop()
    check(world.count(account) == 2, "the message is gone without QUIT")


@case(1939, "5", MUST, "NOOP does nothing but answer +OK.")
def noop(world: World) -> None:
    session = world.login(world.account(1))
    session.expect_ok("DELE 1")
    session.expect_ok("NOOP")
    check(session.stat() == (0, 0), "NOOP unmarked")


@case(1939, "5", MUST, "RSET takes every mark away.")
def rset_unmarks(world: World) -> None:
    account = world.account(3)
    session = world.login(account)
    before = (session.stat(), session.listing(), session.unique_ids())
    session.expect_ok("DELE 1")
    session.expect_ok("DELE 3")
    session.expect_ok("RSET")
    check((session.stat(), session.listing(), session.unique_ids()) == before, "not as before")
    session.body("RETR 1")
    session.quit()
    check(world.count(account) == 3, "QUIT deleted what was no longer marked")


@case(1939, "5", MUST, "After RSET a message can be marked anew, and only what is marked then is deleted.")
def rset_then_dele(world: World) -> None:
    account = world.account(3)
    session = world.login(account)
    unique_ids = session.unique_ids()
    session.expect_ok("DELE 1")
    session.expect_ok("RSET")
    session.expect_ok("DELE 2")
    session.quit()
    left = list(world.login(account).unique_ids().values())
    check(left == [unique_ids[1], unique_ids[3]], "other messages are left")


@case(1939, "5", MUST, "RSET without marks is answered +OK.")
def rset_without_marks(world: World) -> None:
    session = world.login(world.account())
    session.expect_ok("RSET")
