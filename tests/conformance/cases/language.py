"""RFC 6856: UTF8 and LANG."""

from __future__ import annotations

import re

from .. import mail
from ..case import Level, case
from ..mechanisms import begin, plain
from ..wire import Session
from ..world import World, check

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY


def _languages(session: Session) -> dict[str, str]:
    lines = [line.decode("utf-8") for line in session.multi("LANG")]
    return {tag: description for tag, _, description in (line.partition(" ") for line in lines)}


@case(6856, "2.1", MUST, "UTF8 before login is answered +OK where it is listed.")
def utf8_is_taken(world: World) -> None:
    world.offered("UTF8")
    session = world.session()
    session.expect_ok("UTF8")
    world.login(world.standard(), session).stat()


@case(6856, "2.1", MUST, "UTF8 after login is answered -ERR.")
def utf8_after_login(world: World) -> None:
    world.offered("UTF8")
    session = world.login(world.standard())
    session.expect_err("UTF8")


@case(6856, "2.1", MUST, "UTF8 takes no argument.")
def utf8_with_an_argument(world: World) -> None:
    world.offered("UTF8")
    session = world.session()
    session.expect_err("UTF8 x")
    session.capabilities()


@case(6856, "2.1", MUST, "Under UTF8 a message with UTF-8 in its header comes as stored, with the octets of LIST.")
def utf8_message(world: World) -> None:
    world.offered("UTF8")
    account = world.account([mail.UTF8_HEADER])
    session = world.session()
    session.expect_ok("UTF8")
    world.login(account, session)
    octets = session.listing()[1]
    message = session.body("RETR 1")
    check(message.endswith(mail.UTF8_HEADER) and len(message) == octets, "not as stored")
    check(session.body("TOP 1 0").endswith(mail.UTF8_HEADER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"), "TOP")


@case(
    6856,
    "4",
    MUST,
    "Without UTF8 such a message is sent with the octets of LIST, or refused with -ERR [UTF8]; octets and unique-id are the same either way.",
)
def utf8_message_to_another_client(world: World) -> None:
    world.offered("UTF8")
    account = world.account([mail.UTF8_HEADER])
    session = world.session()
    session.expect_ok("UTF8")
    world.login(account, session)
    with_utf8 = (session.listing(), session.unique_ids())
    session = world.login(account)
    check((session.listing(), session.unique_ids()) == with_utf8, "the listings differ")
    reply = session.command("RETR 1")
    if reply.ok:
        check(len(session.message()) == with_utf8[0][1], "not the octets of LIST")
    else:
        check(reply.code == "UTF8", f"{reply}")


@case(
    6856,
    "5",
    MUST,
    "Where the policy says so, RETR and TOP of such a message without UTF8 are answered -ERR [UTF8], and all else is served.",
)
def utf8_refusal(world: World) -> None:
    world.offered("UTF8")
    account = world.account([mail.UTF8_HEADER, mail.message("plain")], policy={"utf8": "refuse"})
    session = world.login(account)
    for line in ("RETR 1", "TOP 1 0"):
        reply = session.expect_err(line)
        check(reply.code == "UTF8", f"{reply}")
    session.body("RETR 2")
    check(len(session.listing()) == 2 and len(session.unique_ids()) == 2, "not listed")
    session.expect_ok("DELE 1")


@case(
    6856, "2.2", MUST, "UTF8 with the argument USER in CAPA: names and passwords in UTF-8 are taken by USER and PASS."
)
def utf8_user(world: World) -> None:
    arguments = world.offered("UTF8")
    account = world.account(
        1, password="pa\u00dfw\u00f6rt \u4f60\u597d", **({"local_part": "j\u00f6rg"} if "USER" in arguments else {})
    )
    if "USER" in arguments:
        session = world.session()
        session.expect_ok("UTF8")
        world.login(account, session).stat()
    check(begin(world.tls(), "PLAIN", plain(account.login, account.password)).ok, "AUTH PLAIN")


@case(6856, "2.1", MAY, "STLS after UTF8 is refused: a client may not do so.")
def stls_after_utf8(world: World) -> None:
    world.offered("UTF8", world.plain())
    session = world.plain()
    session.expect_ok("UTF8")
    session.expect_err("STLS")
    session.capabilities()


@case(6856, "2.1", MUST, "UTF8 is listed in both states.")
def utf8_is_listed(world: World) -> None:
    world.offered("UTF8")
    check("UTF8" in world.login(world.standard()).capabilities(), "not after login")


@case(6856, "3.2", MUST, "LANG without argument lists the languages, a tag and a description a line.")
def lang_lists(world: World) -> None:
    world.offered("LANG")
    languages = _languages(world.session())
    check(languages, "none")
    for tag, description in languages.items():
        check(re.fullmatch(r"[A-Za-z0-9-]{1,40}", tag), f"{tag!r}")
        check(description, f"{tag} has no description")


@case(6856, "3.2", MUST, "i-default is among the languages.")
def lang_i_default(world: World) -> None:
    world.offered("LANG")
    session = world.session()
    check("i-default" in {tag.lower() for tag in _languages(session)}, "not listed")
    session.expect_ok("LANG i-default")


@case(
    6856,
    "3.2",
    MUST,
    "LANG with a listed tag is answered +OK, the tag and a text; every language of the list can be had.",
)
def lang_chooses(world: World) -> None:
    world.offered("LANG")
    session = world.session()
    for tag in _languages(session):
        reply = session.expect_ok(f"LANG {tag}")
        check(reply.text.split(" ")[0].lower() == tag.lower(), f"{reply}")


@case(
    6856,
    "3.2",
    MUST,
    "After LANG the texts of responses, also of errors, are in the language, in UTF-8; codes and indicators are not touched.",
)
def lang_translates(world: World) -> None:
    world.offered("LANG")
    said = {}
    for tag in ("en", "de"):
        session = world.session()
        if not session.command(f"LANG {tag}").ok:
            world.trace.note(f"{tag} is not offered")
            continue
        errors = [session.expect_err(line) for line in ("STAT", "XYZZY", "PASS x")]
        session.expect_ok(f"USER {world.standard().login}")
        failed = session.expect_err("PASS wrong")
        world.login(world.standard(), session)
        errors += [session.expect_err(line) for line in ("RETR 99", "DELE 0", "TOP 1")]
        said[tag] = ([reply.text for reply in errors], failed)
    if len(said) == 2:
        same = [text for text in said["en"][0] if text in said["de"][0]]
        check(not same, f"not translated: {same}")
        check(said["en"][1].code == said["de"][1].code, "the code changed")
        check(said["en"][1].text != said["de"][1].text, f"not translated: {said['en'][1]}")
        for text in said["de"][0]:
            check("\\x" not in text, f"no UTF-8: {text}")


@case(6856, "3.2", MUST, "LANG with a tag that is not offered is answered -ERR, and the language stays.")
def lang_unknown(world: World) -> None:
    world.offered("LANG")
    session = world.session()
    session.command("LANG de")
    before = session.expect_err("XYZZY").line
    for tag in ("x-klingon", "tlh", "-", "xx-yy-zz", "d"):
        session.expect_err(f"LANG {tag}")
    check(session.expect_err("XYZZY").line == before, "the language changed")


@case(6856, "3.2", MUST, "LANG * chooses the server's preferred language.")
def lang_star(world: World) -> None:
    world.offered("LANG")
    reply = world.session().expect_ok("LANG *")
    check(re.fullmatch(r"[A-Za-z0-9-]+", reply.text.split(" ")[0]), f"{reply}")


@case(6856, "3.2", SHOULD, "A tag of a variety is served by its language: de-AT by de, EN-gb by en.")
def lang_of_a_variety(world: World) -> None:
    world.offered("LANG")
    session = world.session()
    languages = {tag.lower() for tag in _languages(session)}
    for wanted, found in (("de-AT", "de"), ("EN-gb", "en")):
        if found in languages:
            session.expect_ok(f"LANG {wanted}")


@case(6856, "3.1", MUST, "LANG works in both states, and a language chosen before login stays after it.")
def lang_in_both_states(world: World) -> None:
    world.offered("LANG")
    session = world.session()
    session.command("LANG de")
    before = session.expect_err("XYZZY").line
    world.login(world.standard(), session)
    check(session.expect_err("XYZZY").line == before, "the language changed with the login")
    check("LANG" in session.capabilities(), "not listed after login")
    check(_languages(session), "LANG after login")
    session.expect_ok("LANG i-default")
