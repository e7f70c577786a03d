"""RFC 2449: the CAPA command and what it announces."""

from __future__ import annotations

import re
import time

from ..case import Level, NotOffered, add, case
from ..wire import Closed
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


@case(2449, "5", MUST, "CAPA is answered before login with a list, ended by the termination octet.")
def capa_before_login(world: World) -> None:
    session = world.plain()
    session.multi("CAPA")
    session.expect_silence(0.05)


@case(2449, "5", MUST, "CAPA is answered after login too, and may be asked again and again.")
def capa_after_login(world: World) -> None:
    session = world.login(world.standard())
    check(session.multi("CAPA") == session.multi("CAPA"), "two answers differ")


@case(
    2449, "5", MUST, "A line of CAPA is a capability name and arguments with single spaces, and has at most 512 octets."
)
def capa_lines(world: World) -> None:
    for session in (world.plain(), world.tls(), world.login(world.standard())):
        for line in session.multi("CAPA"):
            check(re.fullmatch(rb"[!-,/-~][!-~]*( [!-~]+)*", line) and len(line) <= 510, f"{line!r}")


@case(2449, "5", MUST, "No capability is listed twice.")
def capa_lists_once(world: World) -> None:
    for session in (world.plain(), world.tls(), world.login(world.standard())):
        names = [line.split()[0].upper() for line in session.multi("CAPA")]
        check(len(names) == len(set(names)), f"{names}")


@case(2449, "5", MUST, "A capability of both states whose arguments may not differ is the same after login.")
def capa_in_both_states(world: World) -> None:
    session = world.session()
    before = session.capabilities()
    after = world.login(world.standard(), session).capabilities()
    for name in ("TOP", "UIDL", "USER", "SASL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8", "LANG"):
        if name in before:
            check(name in after, f"{name} is not listed after login")
            check(before[name] == after[name], f"{name}: {before[name]} before, {after[name]} after login")


@case(2449, "5", SHOULD, "CAPA with an argument is refused or answered as without.")
def capa_with_an_argument(world: World) -> None:
    session = world.plain()
    if session.command("CAPA x").ok:
        session.rest()
    session.multi("CAPA")


@case(2449, "6.1", MUST, "Where TOP is listed, TOP is carried out; where it is carried out, it is listed.")
def capa_top(world: World) -> None:
    session = world.login(world.standard())
    listed = "TOP" in session.capabilities()
    reply = session.command("TOP 1 0")
    check(reply.ok == listed, f"listed: {listed}; {reply}")


@case(2449, "6.8", MUST, "Where UIDL is listed, UIDL is carried out; where it is carried out, it is listed.")
def capa_uidl(world: World) -> None:
    session = world.login(world.standard())
    listed = "UIDL" in session.capabilities()
    reply = session.command("UIDL 1")
    check(reply.ok == listed, f"listed: {listed}; {reply}")


@case(2449, "6.2", MUST, "USER is listed exactly where USER and PASS are taken.")
def capa_user(world: World) -> None:
    addresses = {world.server.plain: "plain"}
    if world.server.strict:
        addresses[world.server.strict] = "strict"
    for address in addresses:
        session = world.at(address)
        listed = "USER" in session.capabilities()
        reply = session.command(f"USER {world.standard().login}")
        check(reply.ok == listed, f"listed: {listed}; {reply}")
    session = world.tls()
    check("USER" in session.capabilities(), "not listed over TLS")


@case(
    2449,
    "6.4",
    MUST,
    "Where RESP-CODES is not listed, no response begins with a bracket; where it is, what does is a code.",
)
def capa_resp_codes(world: World) -> None:
    session = world.session()
    listed = "RESP-CODES" in session.capabilities()
    for line in ("USER nobody", "PASS x", "AUTH NONE", "XYZZY"):
        reply = session.command(line)
        if reply.text.startswith("["):
            check(listed, f"a code that was not announced: {reply}")
            check(re.match(r"\[[A-Z0-9/-]+\]( |$)", reply.text), f"no code: {reply}")


@case(2449, "6.9", MAY, "IMPLEMENTATION, where listed, has an argument.")
def capa_implementation(world: World) -> None:
    capabilities = world.login(world.standard()).capabilities()
    if "IMPLEMENTATION" not in capabilities:
        raise NotOffered("CAPA does not list IMPLEMENTATION")
    check(capabilities["IMPLEMENTATION"], "no argument")


@case(2449, "6.7", MUST, "EXPIRE has a number of days or NEVER, and USER after it only before login.")
def capa_expire(world: World) -> None:
    arguments = world.offered("EXPIRE")
    check(re.fullmatch(r"(NEVER|\d+)( USER)?", " ".join(arguments)), f"{arguments}")
    after = world.login(world.standard()).capabilities().get("EXPIRE")
    check(after is not None, "not listed after login")
    check("USER" not in (after or []), f"after login it is {after}")


@case(2449, "6.5", MUST, "LOGIN-DELAY has a number of seconds, and USER after it only before login.")
def capa_login_delay(world: World) -> None:
    arguments = world.offered("LOGIN-DELAY")
    check(re.fullmatch(r"\d+( USER)?", " ".join(arguments)), f"{arguments}")
    after = world.login(world.standard()).capabilities().get("LOGIN-DELAY")
    check(after is not None and "USER" not in after, f"after login it is {after}")


@case(
    2449,
    "6.5",
    MUST,
    "Where an account's LOGIN-DELAY is 60 seconds, a second login at once is answered -ERR [LOGIN-DELAY].",
)
def login_delay_is_enforced(world: World) -> None:
    world.offered("LOGIN-DELAY")
    account = world.account(1, policy={"login_delay_seconds": 60})
    session = world.login(account)
    check(session.capabilities().get("LOGIN-DELAY") == ["60"], "CAPA does not list the account's own delay")
    session.quit()
    session = world.session()
    session.expect_ok(f"USER {account.login}")
    reply = session.expect_err(f"PASS {account.password}")
    check(reply.code == "LOGIN-DELAY", f"{reply}")


@case(2449, "6.7", MUST, "After login EXPIRE tells the account's own number of days.")
def expire_of_the_account(world: World) -> None:
    world.offered("EXPIRE")
    account = world.account(1, policy={"expire_days": 60})
    check(world.login(account).capabilities().get("EXPIRE") == ["60"], "not what the account's policy says")


@case(
    2449,
    "8.1.2",
    MUST,
    "Where access is exclusive, a second session is answered -ERR [IN-USE] while the first is there.",
)
def in_use(world: World) -> None:
    account = world.account(1, policy={"exclusive": True})
    first = world.login(account)
    second = world.session()
    second.expect_ok(f"USER {account.login}")
    reply = second.expect_err(f"PASS {account.password}")
    check(reply.code == "IN-USE", f"{reply}")
    first.quit()
    world.login(account).quit()


def _line_of(length: int, state: str):
    """`length` counts the line end."""

    def run(world: World) -> None:
        session = world.session()
        if state == "transaction":
            world.login(world.standard(), session)
            session.expect_ok("NOOP" + " " * (length - 6))
            session.expect_ok("NOOP")
        else:
            name = f"USER {'n' * 200}@{'d' * (length - 208)}"
            session.send(name.encode() + b"\r\n")
            session.reply()
            session.expect_err(f"PASS {'p' * (length - 7)}")
            session.multi("CAPA")

    return run


for _state in ("authorization", "transaction"):
    add(
        f"lines_of_255_octets_{_state}", 2449, "4", MUST,
        f"Command lines of up to 255 octets with their line end are taken in {_state.upper()}.", _line_of(255, _state),
    )  # fmt: skip


@case(
    2449,
    "4",
    SHOULD,
    "A command line of more octets than are taken is answered -ERR once, and the session stays in step or ends.",
)
def lines_that_are_too_long(world: World) -> None:
    for length in (256, 1000, 5000, 30000):
        session = world.login(world.standard())
        before = session.stat()
        try:
            reply = session.command("DELE " + "1" * (length - 7))
            check(not reply.ok, f"{length} octets were taken")
            check(session.stat() == before, "out of step")
        except Closed:
            world.trace.note("closed")


@case(
    2449, "4", MAY, "A command line has an end: one of 30 000 octets is refused although all but its length is right."
)
def lines_have_a_bound(world: World) -> None:
    session = world.login(world.standard())
    try:
        session.expect_err("NOOP" + " " * 30_000)
        session.expect_ok("NOOP")
    except Closed:
        world.trace.note("closed")


@case(
    2449, "4", SHOULD, "A line that is too long is answered once, however it arrives, and what follows it is executed."
)
def long_lines_are_answered_once(world: World) -> None:
    session = world.login(world.standard())
    try:
        for _ in range(6):
            session.socket.sendall(b"x" * 1000)
            time.sleep(0.05)
        session.socket.sendall(b"\r\nSTAT\r\n")
        check(not session.reply().ok, "accepted")
        reply = session.reply()
        check(reply.ok, f"a second answer, or out of step: {reply}")
        session.expect_silence(0.2)
    except (Closed, ConnectionError):
        world.trace.note("closed")


@case(
    2449,
    "3",
    MUST,
    "Names of capabilities, mechanisms and codes do not depend on what the client's commands look like.",
)
def capa_in_lower_case(world: World) -> None:
    session = world.plain()
    check(session.multi("capa") == session.multi("CAPA"), "two answers differ")
