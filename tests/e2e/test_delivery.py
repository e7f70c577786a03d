"""What LMTP and the API answer, recipient by recipient, and where the mail then is."""

from __future__ import annotations

import contextlib

import pytest

from harness import octets
from harness.api import Problem
from harness.lmtp import Lmtp
from harness.octets import Expected
from harness.process import wait_until
from harness.service import Service
from harness.tenants import Tenant, new_tenant

MESSAGE = b"From: Ada <ada@sender.test>\r\nSubject: a test\r\n\r\nHello.\r\n"


def received(service: Service, tenant: Tenant, address: str) -> list[bytes]:
    with service.open(address, tenant.password) as session:
        messages = session.retr_all()
        session.quit()
    return messages


def check(received_messages: list[bytes], *expected: Expected) -> None:
    problems = [one.problem(message) for one, message in zip(expected, received_messages, strict=True)]
    assert not any(problems), problems


def test_one_recipient_over_quota_does_not_hurt_the_other(service: Service, tenant: Tenant) -> None:
    """Known at RCPT or only at the end: one is accepted, the other refused, and nothing of the refused one is there."""
    roomy, full = tenant.add("roomy"), tenant.add("full", quota={"octets": 2000})
    big = MESSAGE + b"x" * 4000 + b"\r\n"
    with Lmtp(service.lmtp) as session:
        # Not declared: only the end of the data shows that it does not fit.
        accepted, refused = session.deliver("late@sender.test", [roomy, full], big)
        assert (accepted.code, refused.code, refused.enhanced) == (250, 552, "5.2.2")
        # Declared with SIZE: refused at RCPT.
        replies = session.envelope("early@sender.test", [full, roomy], f" SIZE={len(big)}")
        assert [reply.code for reply in replies] == [552, 250]
        assert replies[0].enhanced == "5.2.2"
        session.command("RSET")
        # What fits is still taken.
        assert session.deliver("small@sender.test", [full], MESSAGE)[0].code == 250
    check(received(service, tenant, roomy), Expected("late@sender.test", roomy, big))
    check(received(service, tenant, full), Expected("small@sender.test", full, MESSAGE))
    assert service.api.get(f"/v1/accounts/{full}/usage")["messages"] == 1


def test_quota_in_messages_is_exact(service: Service, tenant: Tenant) -> None:
    two = tenant.add("two", quota={"messages": 2})
    with Lmtp(service.lmtp) as session:
        codes = [session.deliver("s@sender.test", [two], MESSAGE)[0].code for _ in range(4)]
    assert codes == [250, 250, 552, 552]
    assert len(received(service, tenant, two)) == 2


def test_over_quota_can_be_deferred(service: Service, tenant: Tenant) -> None:
    service.api.call("PATCH", f"/v1/tenants/{tenant.slug}", {"policy": {"over_quota": "defer"}})
    full = tenant.add("full", quota={"messages": 0})
    with Lmtp(service.lmtp) as session:
        reply = session.deliver("s@sender.test", [full], MESSAGE)[0]
    assert (reply.code, reply.enhanced) == (452, "4.2.2")


def test_alias_and_catch_all(service: Service, tenant: Tenant) -> None:
    """An alias reaches all its targets, the catch-all takes what nobody has, and Delivered-To keeps the address as given."""
    ada, ben = tenant.add("ada"), tenant.add("ben")
    info, anybody = f"info@{tenant.domain}", f"Any.Body+tag@{tenant.domain}"
    service.api.create_alias(info, [ada, ben])
    with Lmtp(service.lmtp) as session:
        unknown = session.deliver("s@sender.test", [anybody], MESSAGE)[0]
        assert (unknown.code, unknown.enhanced) == (550, "5.1.1")
        service.api.create_alias(f"*@{tenant.domain}", [ben])
        for reverse_path, address in (("alias@sender.test", info), ("catch@sender.test", anybody)):
            assert session.deliver(reverse_path, [address], MESSAGE)[0].code == 250
        # Both at once: one reply each, and each account has its copies.
        replies = session.deliver("both@sender.test", [info, ben, anybody], MESSAGE)
        assert [reply.code for reply in replies] == [250, 250, 250]
    check(
        received(service, tenant, ada),
        Expected("alias@sender.test", info, MESSAGE),
        Expected("both@sender.test", info, MESSAGE),
    )
    at_ben = received(service, tenant, ben)
    both = [message for message in at_ben if b"both@sender.test" in message]
    assert sorted(message.split(b"\r\n")[1].decode() for message in both) == sorted(
        f"Delivered-To: {address}" for address in (info, ben, anybody)
    )


def test_an_alias_with_a_full_target_takes_nothing(service: Service, tenant: Tenant) -> None:
    """A recipient that stands for several accounts succeeds for all or for none."""
    ada, full = tenant.add("ada"), tenant.add("full", quota={"messages": 0})
    service.api.create_alias(f"team@{tenant.domain}", [ada, full])
    with Lmtp(service.lmtp) as session:
        replies = session.deliver("s@sender.test", [f"team@{tenant.domain}", ada], MESSAGE)
    assert [reply.code for reply in replies] == [552, 250]
    assert len(received(service, tenant, ada)) == 1


def test_addresses_are_one_whatever_their_case(service: Service, tenant: Tenant) -> None:
    address = tenant.add("Mixed.Case")
    given = f"mIXED.cASE@{tenant.domain.upper()}"
    service.deliver([given], MESSAGE, "s@sender.test")
    with service.open(given, tenant.password) as session:
        assert session.stat()[0] == 1
        problem = Expected("s@sender.test", given, MESSAGE).problem(session.retr(1))
    assert problem is None
    assert service.api.account(address)["address"]


def test_the_empty_reverse_path_is_a_bounce(service: Service, tenant: Tenant) -> None:
    ada = tenant.add("ada")
    service.deliver([ada], MESSAGE, "")
    check(received(service, tenant, ada), Expected("", ada, MESSAGE))


def test_size_is_announced_and_enforced(service: Service, tenant: Tenant) -> None:
    """Too much is read to its end and refused, and the session goes on."""
    ada = tenant.add("ada")
    with Lmtp(service.lmtp, seconds=120) as session:
        most = int(session.extensions["SIZE"])
        assert most >= 50_000_000
        with pytest.raises(ValueError, match="MAIL: 552"):
            session.envelope("s@sender.test", [ada], f" SIZE={most + 1}")
        session.command("RSET")
        line = b"x" * 998 + b"\r\n"
        reply = session.deliver("s@sender.test", [ada], MESSAGE + line * (most // len(line) + 1))[0]
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        assert session.deliver("s@sender.test", [ada], MESSAGE)[0].code == 250
    check(received(service, tenant, ada), Expected("s@sender.test", ada, MESSAGE))


def test_lmtp_announces_what_it_can(service: Service) -> None:
    with Lmtp(service.lmtp) as session:
        assert session.greeting.code == 220
        wanted = {"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "SIZE", "STARTTLS"}
        assert wanted <= set(session.extensions)


def test_lmtp_over_tls_says_so(service: Service, tenant: Tenant) -> None:
    ada = tenant.add("ada")
    with Lmtp(service.lmtp) as session:
        session.starttls(service.login(ada, "").context())
        assert "STARTTLS" not in session.extensions
        assert session.deliver("s@sender.test", [ada], MESSAGE)[0].code == 250
    check(received(service, tenant, ada), Expected("s@sender.test", ada, MESSAGE, protocol="LMTPS"))


def test_pipelined_transactions_without_waiting(service: Service, tenant: Tenant) -> None:
    """Several whole transactions in one write, by BDAT: a reply for everything, in order."""
    ada = tenant.add("ada")
    one = b"MAIL FROM:<s@sender.test>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s" % (ada.encode(), len(MESSAGE), MESSAGE)
    with Lmtp(service.lmtp) as session:
        session.send(one * 20)
        assert [session.reply().code for _ in range(60)] == [250] * 60
    assert len(received(service, tenant, ada)) == 20


def test_the_api_delivers_the_same_octets(service: Service, tenant: Tenant) -> None:
    """POST of a message is mended as over LMTP, gets the same trace lines, and answers with what RETR will count."""
    ada = tenant.add("ada")
    raw = b"Subject: by HTTP\n\n.\n\0bare\rends"
    made = service.api.submit(ada, raw)
    (message,) = received(service, tenant, ada)
    return_path, delivered_to, trace, rest = message.split(b"\r\n", 3)
    assert return_path == b"Return-Path: <>"
    assert delivered_to == f"Delivered-To: {ada}".encode()
    assert trace.startswith(b"Received: from ") and b" with HTTP id " in trace
    assert octets.difference(octets.mend(raw), rest) is None
    with service.open(ada, tenant.password) as session:
        assert session.list() == {1: made["octets"]}
        assert session.uidl() == {1: made["unique_id"]}
    listed = service.api.items(f"/v1/accounts/{ada}/messages")
    assert [(each["unique_id"], each["octets"]) for each in listed] == [(made["unique_id"], len(message))]


def test_unknown_and_suspended(service: Service, tenant: Tenant) -> None:
    ada = tenant.add("ada")
    with Lmtp(service.lmtp) as session:
        for address in (f"nobody@{tenant.domain}", "ada@no-such-domain.test"):
            reply = session.deliver("s@sender.test", [address], MESSAGE)[0]
            assert (reply.code, reply.enhanced) == (550, "5.1.1"), reply
        service.api.call("PATCH", f"/v1/tenants/{tenant.slug}", {"status": "suspended"})
        reply = session.deliver("s@sender.test", [ada], MESSAGE)[0]
        assert reply.code // 100 == 4, reply
        with pytest.raises(Exception, match="-ERR"), contextlib.closing(service.open(ada, tenant.password)):
            pass
        service.api.call("PATCH", f"/v1/tenants/{tenant.slug}", {"status": "active"})
        assert session.deliver("s@sender.test", [ada], MESSAGE)[0].code == 250
    assert len(received(service, tenant, ada)) == 1


def test_usage_of_the_tenant_is_summed(service: Service) -> None:
    """Each account's usage at once, the tenant's within the roll-up's ten seconds."""
    tenant = new_tenant(service)
    addresses = [tenant.add(f"user{number}") for number in range(3)]
    service.deliver(addresses, MESSAGE)
    usages = [service.api.get(f"/v1/accounts/{address}/usage") for address in addresses]
    assert [usage["messages"] for usage in usages] == [1, 1, 1]

    def summed() -> bool:
        with contextlib.suppress(Problem):
            usage = service.api.get(f"/v1/tenants/{tenant.slug}/usage")
            return (usage["accounts"], usage["messages"]) == (3, 3) and usage["octets"] == sum(
                each["octets"] for each in usages
            )
        return False

    wait_until("the tenant's usage is summed", summed, 30, pause=0.5)
