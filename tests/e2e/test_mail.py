"""The corpus in by LMTP and through Postfix, and out again through five clients, to the octet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import altered, clients, lmtp, material, octets
from harness.lmtp import Lmtp
from harness.octets import Expected
from harness.postfix import Postfix
from harness.relay import Relay
from harness.service import Service
from harness.tenants import Tenant, new_tenant

CHUNKED = "bdat"  # marks reverse-paths of messages that went by BDAT


@dataclass
class Posted:
    """A service after all mail went in: what each account has to hold, by reverse-path."""

    service: Service
    tenants: list[Tenant]
    expected: dict[str, dict[str, Expected]] = field(default_factory=dict)
    wire: dict[str, list[bytes]] = field(default_factory=dict)  # what RETR sent, by account

    def expect(self, account: str, expected: Expected) -> None:
        slot = self.expected.setdefault(account, {})
        assert expected.reverse_path not in slot
        slot[expected.reverse_path] = expected

    def octets_of(self, account: str) -> list[bytes]:
        """What the account holds, as our own client reads it; read once."""
        if account not in self.wire:
            with self.service.open(account, self.tenants[0].password) as session:
                self.wire[account] = session.retr_all()
                session.quit()
        return self.wire[account]


@pytest.fixture(scope="module")
def posted(service: Service) -> Posted:
    one, two = new_tenant(service), new_tenant(service)
    done = Posted(service, [one, two])
    for tenant in (one, two):
        for local_part in ("direct", "postfix"):
            tenant.add(local_part)
    post_directly(done)
    post_through_postfix(done)
    return done


def post_directly(posted: Posted) -> None:
    """Over LMTP: to both tenants in one transaction, or to one after the other; by DATA, our own also by BDAT."""
    one, two = (f"direct@{tenant.domain}" for tenant in posted.tenants)
    own = {message.name for message in material.corpus.messages()}
    with Lmtp(posted.service.lmtp) as session:
        for number, message in enumerate(material.messages()):
            # The biggest once: its octets are the same whoever receives them.
            targets = [one] if message.name == material.BIGGEST else [one, two]
            groups = [targets] if number % 3 else [[target] for target in targets]
            ways = [False, True] if message.name in own and message.name != material.BIGGEST else [False]
            for chunking in ways:
                reverse_path = f"m{number}{CHUNKED if chunking else ''}@corpus.test"
                rest = octets.mend(lmtp.as_received(message.octets, chunking=chunking))
                for group in groups:
                    replies = session.deliver(reverse_path, group, message.octets, chunking=chunking)
                    assert [reply.code for reply in replies] == [250] * len(group), (message.name, replies)
                for target in targets:
                    posted.expect(target, Expected(reverse_path, target, rest))
        session.quit()


def post_through_postfix(posted: Posted) -> None:
    """The same messages by SMTP to a Postfix, and from it through the recording relay."""
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only")
    one, two = (f"postfix@{tenant.domain}" for tenant in posted.tenants)
    relay = Relay(posted.service.lmtp)
    with Postfix(relay.address, [tenant.domain for tenant in posted.tenants]) as postfix:
        smtp = postfix.smtp()
        smtp.ehlo()
        sent: dict[str, set[str]] = {}
        for number, message in enumerate(material.messages()):
            reverse_path = f"m{number}@corpus.test"
            targets = [two] if message.name == material.BIGGEST else [one, two]
            sent[reverse_path] = set(targets)
            assert smtp.mail(reverse_path, ["BODY=8BITMIME"])[0] == 250
            for target in targets:
                assert smtp.rcpt(target)[0] == 250
            assert smtp.docmd("DATA")[0] == 354
            smtp.send(octets.stuff(message.octets) + b".\r\n")
            code, text = smtp.getreply()
            assert code == 250, (message.name, text)
        smtp.quit()
        postfix.wait_delivered(len(sent), 180)
    seen: dict[str, set[str]] = {}
    for transaction in relay.transactions():
        assert set(transaction.codes) == {250}, transaction
        rest = octets.mend(octets.unstuff(transaction.content))
        for recipient in transaction.recipients:
            seen.setdefault(transaction.reverse_path, set()).add(recipient)
            posted.expect(recipient, Expected(transaction.reverse_path, recipient, rest, lhlo=transaction.lhlo))
    relay.close()
    assert seen == sent, {path: (seen.get(path), sent[path]) for path in sent if seen.get(path) != sent[path]}


ACCOUNTS = [(local_part, at) for local_part in ("direct", "postfix") for at in (0, 1)]


@pytest.mark.parametrize(("local_part", "at"), ACCOUNTS)
def test_retr_sends_what_the_definition_says(posted: Posted, local_part: str, at: int) -> None:
    """Nothing more, nothing less, and each message as a script computes it from the definition alone."""
    account = f"{local_part}@{posted.tenants[at].domain}"
    expected = dict(posted.expected[account])
    problems = []
    for message in posted.octets_of(account):
        reverse_path = message[: message.index(b">")].removeprefix(b"Return-Path: <").decode()
        one = expected.pop(reverse_path, None)
        problem = "nobody sent it, or it came twice" if one is None else one.problem(message)
        if problem:
            problems.append(f"{reverse_path}: {problem}")
    assert not problems, problems[:10]
    assert not expected, f"missing: {sorted(expected)[:10]}"


@pytest.mark.parametrize("tls", ["stls", "implicit"])
def test_listings_agree_with_what_is_received(posted: Posted, tls: str) -> None:
    """STAT and LIST count the octets of RETR; unique-ids are as many as messages; every frontend shows the same."""
    service = posted.service
    for account in posted.expected:
        received = posted.octets_of(account)
        seen = set()
        for frontend in range(len(service.pop3)):
            with service.open(account, posted.tenants[0].password, tls=tls, frontend=frontend) as session:
                listing, unique_ids = session.list(), session.uidl()
                assert session.stat() == (len(received), sum(map(len, received)))
                assert list(listing) == list(unique_ids) == list(range(1, len(received) + 1))
                assert [listing[number] for number in listing] == [len(message) for message in received]
                assert len(set(map(octets.checked_unique_id, unique_ids.values()))) == len(received)
                seen.add(tuple(unique_ids.values()))
                session.quit()
        assert len(seen) == 1


def test_top_sends_the_header_and_no_more(posted: Posted) -> None:
    account = f"direct@{posted.tenants[0].domain}"
    received = posted.octets_of(account)
    with posted.service.open(account, posted.tenants[0].password) as session:
        for number, message in enumerate(received, start=1):
            header, empty, body = message.partition(b"\r\n\r\n")
            for lines in (0, 3):
                session.command(f"TOP {number} {lines}")
                wanted = b"".join(line + b"\r\n" for line in body.split(b"\r\n", lines)[:lines])
                wanted = wanted if body.count(b"\r\n") >= lines else body
                assert octets.difference(header + empty + wanted, session.body()) is None, number


@pytest.fixture(scope="module")
def fetched(
    posted: Posted, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str, str], Future[list[bytes]]]]:
    """Every client over both kinds of TLS, some at once: over STLS the accounts of one tenant, over TLS those of the other."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        futures = {}
        for tls, at in (("stls", 0), ("implicit", 1)):
            for name, fetch in clients.CLIENTS.items():
                for local_part in ("direct", "postfix"):
                    account = f"{local_part}@{posted.tenants[at].domain}"
                    login = posted.service.login(account, posted.tenants[0].password, frontend=at)
                    home: Path = tmp_path_factory.mktemp(f"{name}-{tls}-{local_part}")
                    futures[name, tls, local_part] = pool.submit(fetch, login, tls, home, False)
        yield futures


@pytest.mark.parametrize("local_part", ["direct", "postfix"])
@pytest.mark.parametrize("tls", ["stls", "implicit"])
@pytest.mark.parametrize("client", clients.CLIENTS)
def test_clients_store_the_same_octets(
    posted: Posted, fetched: dict[tuple[str, str, str], Future[list[bytes]]], client: str, tls: str, local_part: str
) -> None:
    account = f"{local_part}@{posted.tenants[0 if tls == 'stls' else 1].domain}"
    wire = {altered.delivery_id(message): message for message in posted.octets_of(account)}
    stored = {altered.delivery_id(message): message for message in fetched[client, tls, local_part].result(timeout=280)}
    assert set(stored) == set(wire)
    if client == "getmail":
        wanted = dict(zip(wire, altered.as_getmail_stores(list(wire.values())), strict=True))
    elif client in clients.EXACT:
        wanted = wire
    else:
        wanted = {key: message.replace(b"\r\n", b"\n") for key, message in wire.items()}
    excused = {key for key, message in wire.items() if client == "fetchmail" and altered.fetchmail_reason(message)}
    problems = [octets.difference(wanted[key], stored[key]) for key in wire if key not in excused]
    assert not any(problems), [problem for problem in problems if problem][:5]
