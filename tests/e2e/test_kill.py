"""kill -9 of the lmtp process, of the store and of PostgreSQL while hundreds of deliveries are unanswered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import recount, report
from harness.senders import Attempt, Senders, unanswered, verdicts
from harness.service import Cluster
from harness.tenants import new_tenant

CONNECTIONS = 320
AT_LEAST = 200
SEED = 20261124


def killers(cluster: Cluster) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """How each target is killed, and how it is started again."""
    return {
        "lmtp": (lambda: cluster.kill("lmtp"), lambda: cluster.start("lmtp")),
        "store": (cluster.store.kill, cluster.store.start),
        "postgres": (cluster.postgres.kill, cluster.postgres.start),
    }


async def campaign(senders: Senders, kill: Callable[[], None], start: Callable[[], None], kills: int) -> list[int]:
    """Waves until `kills` kills fell while at least AT_LEAST deliveries were unanswered; their numbers at each kill."""
    chance = random.Random(senders.seed)
    counted: list[int] = []
    await senders.connect()
    window = await measure(senders)
    for _ in range(kills * 5):
        if len(counted) == kills:
            break
        moment = chance.uniform(0, window)
        hit = False

        async def during(batch: list[Attempt], moment: float = moment) -> None:
            nonlocal hit
            await asyncio.sleep(moment)
            open_now = unanswered(batch)
            if open_now >= AT_LEAST:
                kill()
                hit = True
                counted.append(open_now)
                # Down for a moment that is random too, while the senders wait.
                await asyncio.sleep(chance.uniform(0, 1.5))
                start()  # in this thread: the kernel ends a server with the thread that started it

        await senders.wave(during)
        if hit:
            await senders.connect()
        else:
            window *= 0.7  # it answered faster than measured: aim earlier
    return counted


async def measure(senders: Senders) -> float:
    """How long more than AT_LEAST deliveries of a wave stay unanswered, undisturbed."""
    began = time.monotonic()

    async def during(batch: list[Attempt]) -> None:
        nonlocal began
        began = time.monotonic()
        while unanswered(batch) >= AT_LEAST and time.monotonic() - began < 30:
            await asyncio.sleep(0.002)
        began = time.monotonic() - began

    await senders.wave(during)
    return began


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", ["lmtp", "store", "postgres"])
def test_kill_loses_nothing_and_doubles_nothing(cluster: Cluster, soak: bool, target: str) -> None:
    kills = 20 if soak else 2
    tenants = [new_tenant(cluster), new_tenant(cluster)]
    accounts = [tenant.add(f"user{number}") for tenant in tenants for number in range(10)]
    senders = Senders(cluster.lmtp, accounts, CONNECTIONS, SEED)
    kill, start = killers(cluster)[target]
    began = time.monotonic()

    async def run() -> list[int]:
        try:
            return await campaign(senders, kill, start, kills)
        finally:
            senders.close()

    counted = asyncio.run(run())
    assert len(counted) == kills and min(counted) >= AT_LEAST, counted
    found = {}
    for account in accounts:
        with cluster.open(account, tenants[0].password) as session:
            found[account] = session.retr_all()
            session.quit()
    problems = verdicts(senders.attempts, found) + recount.problems(cluster)
    answers = Counter(str(attempt.code) for attempt in senders.attempts)
    unknown = {attempt.reverse_path for attempt in senders.attempts if attempt.code != 250}
    stored_anyway = sum(
        message[: message.index(b">")].removeprefix(b"Return-Path: <").decode() in unknown
        for messages in found.values()
        for message in messages
    )
    print(f"unanswered at each kill: {counted}; answers: {dict(answers)}; stored without a 250: {stored_anyway}")
    if soak:
        report.write(
            Path(__file__).parents[2] / "docs" / "soak.md",
            f"kill -9 of {target}",
            {
                "kills": kills,
                "unanswered deliveries at each kill": f"{min(counted)} to {max(counted)}",
                "messages sent": len(senders.attempts),
                "answers": ", ".join(f"{code}: {count}" for code, count in sorted(answers.items())),
                "stored without a 250": stored_anyway,
                "lost, doubled or wrong": len(problems),
                "seconds": round(time.monotonic() - began),
            },
        )
    assert not problems, problems[:10]
    assert answers["250"] > 0
