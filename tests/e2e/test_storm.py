"""Counters are exact: after many deliveries, expunges, failures and lost connections at once they equal a recount."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

from harness import recount
from harness.lmtp import Lmtp
from harness.pop3 import Refused
from harness.service import Service
from harness.tenants import Tenant, new_tenant

SECONDS = 6


def deliver(service: Service, accounts: list[str], seed: int) -> int:
    """Transactions with several recipients, some unknown or full; some cut off in the middle. How many copies were accepted."""
    chance = random.Random(seed)
    accepted = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with Lmtp(service.lmtp) as session:
            for _ in range(10):
                recipients = chance.sample(accounts, chance.randint(1, 4)) + [
                    "nobody@no-such-domain.test"
                ] * chance.randint(0, 1)
                text = b"Subject: storm\r\n\r\n" + b"x" * chance.choice((10, 500, 40_000)) + b"\r\n"
                if chance.random() < 0.1:
                    session.envelope("s@sender.test", recipients)
                    session.send(b"DATA\r\n" + text)
                    break  # the connection is lost before the end of the data
                replies = session.deliver("s@sender.test", recipients, text, chunking=chance.random() < 0.3)
                accepted += sum(reply.code == 250 for reply in replies)
    return accepted


def expunge(service: Service, tenant: Tenant, accounts: list[str], seed: int) -> int:
    """Sessions that mark some messages and end with QUIT, or by losing the connection. How many QUIT carried out at most."""
    chance = random.Random(seed)
    expunged = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            with service.open(chance.choice(accounts), tenant.password, frontend=seed) as session:
                numbers = [number for number in session.list() if chance.random() < 0.4]
                for number in numbers:
                    session.dele(number)
                if chance.random() < 0.7:
                    session.quit()
                    expunged += len(numbers)
        except Refused as refused:
            if "[IN-USE]" not in str(refused) and "[SYS/TEMP]" not in str(refused):
                raise
    return expunged


def test_counters_equal_a_recount_after_a_storm(service: Service) -> None:
    tenant = new_tenant(service)
    plain = [tenant.add(f"user{number}") for number in range(6)]
    small = [tenant.add(f"small{number}", quota={"messages": 20, "octets": 200_000}) for number in range(2)]
    team = f"team@{tenant.domain}"
    service.api.create_alias(team, plain[:3])
    everybody = [*plain, *small]
    with ThreadPoolExecutor(max_workers=12) as pool:
        deliveries = [pool.submit(deliver, service, [*everybody, team], seed) for seed in range(6)]
        expunges = [pool.submit(expunge, service, tenant, everybody, seed) for seed in range(100, 104)]
        accepted = sum(each.result(timeout=120) for each in deliveries)
        expunged = sum(each.result(timeout=120) for each in expunges)
    assert accepted > 50 and expunged > 10, (accepted, expunged)
    assert recount.problems(service) == []
    # The API says the same as POP3 does.
    for address in everybody:
        usage = service.api.get(f"/v1/accounts/{address}/usage")
        with service.open(address, tenant.password) as session:
            assert session.stat() == (usage["messages"], usage["octets"])
            session.quit()
    limited = [service.api.get(f"/v1/accounts/{address}/usage") for address in small]
    assert all(usage["messages"] <= 20 and usage["octets"] <= 200_000 for usage in limited), limited
