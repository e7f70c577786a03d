"""RFC 1939 sections 8 and 13: what a site decides. Where a server has such policies, they hold."""

from __future__ import annotations

import time

from ..case import Level, NotApplicable, case
from ..mechanisms import begin, plain
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(
    1939,
    "8",
    MAY,
    "A policy can show each device what it has not fetched: a session shows a device only what no RETR of it finished.",
)
def each_device_sees_what_is_new_to_it(world: World) -> None:
    account = world.account(3, policy={"view": "new_for_device"})
    one, other = world.server.device(account), world.server.device(account)
    session = world.login(one)
    unique_ids = session.unique_ids()
    check(len(unique_ids) == 3, "a new device does not see everything")
    session.body("RETR 1")
    session.body("RETR 3")
    session.body("TOP 2 0")
    session.quit()
    check(
        list(world.login(one).unique_ids().values()) == [unique_ids[2]],
        "it does not see what it has not fetched, and that alone",
    )
    check(world.count(other) == 3, "the other device's view changed")
    world.server.deliver(account, [b"Subject: later\r\n\r\ntext\r\n"])
    check(world.count(one) == 2 and world.count(other) == 4, "new mail is not seen by both")


@case(1939, "8", MAY, "A device's view changes only at QUIT: what was fetched before a lost connection is seen again.")
def lost_connection_keeps_the_view(world: World) -> None:
    account = world.account(2, policy={"view": "new_for_device"})
    device = world.server.device(account)
    session = world.login(device)
    session.body("RETR 1")
    session.drop()
    check(world.count(device) == 2, "the view changed without QUIT")


@case(
    1939, "8", MAY, "A policy can let DELE hide a message from the device that deletes it, and leave it to the others."
)
def dele_can_hide(world: World) -> None:
    account = world.account(3, policy={"view": "new_for_device", "dele": "hide"})
    one, other = world.server.device(account), world.server.device(account)
    session = world.login(one)
    session.expect_ok("DELE 2")
    check(session.stat()[0] == 2, "not marked")
    session.quit()
    check(world.count(one) == 2, "not hidden")
    check(world.count(other) == 3, "hidden from another device, or deleted")


@case(1939, "8", MAY, "A policy can let DELE do nothing at QUIT.")
def dele_can_do_nothing(world: World) -> None:
    account = world.account(2, policy={"dele": "ignore"})
    session = world.login(account)
    session.expect_ok("DELE 1")
    check(session.stat()[0] == 1, "not marked")
    session.quit()
    check(world.count(account) == 2, "deleted")


@case(
    1939,
    "13",
    SHOULD,
    "Failed logins are answered at the same moment, whether the name is known or not, by USER and by AUTH.",
)
def failures_take_the_same_time(world: World) -> None:
    least = world.server.refusal_seconds
    if least is None:
        raise NotApplicable("the profile knows no such moment")
    account = world.standard()
    unknown = f"nobody-there@{account.login.partition('@')[2]}"
    for name in (account.login, unknown):
        for how in ("USER", "AUTH"):
            session = world.tls()
            if how == "USER":
                session.expect_ok(f"USER {name}")
            start = time.monotonic()
            reply = session.command("PASS wrong") if how == "USER" else begin(session, "PLAIN", plain(name, "wrong"))
            took = time.monotonic() - start
            world.trace.note(f"{how}: {took * 1000:.0f} ms")
            check(not reply.ok, "accepted")
            check(took >= least * 0.95, f"answered after {took * 1000:.0f} ms, not {least * 1000:.0f}")
