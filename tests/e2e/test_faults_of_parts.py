"""The store and PostgreSQL fail in every way that a proxy, or a kill, can make them: senders get a temporary answer or a 250 that is
true, readers get `-ERR [SYS/TEMP]` (or, once a message has begun, a closed connection), nothing is lost or doubled, and when the
fault is over the service works again with nobody's help.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import recount, report
from harness.api import Problem
from harness.lmtp import Lmtp
from harness.octets import Expected, mend
from harness.pop3 import Pop3, Refused
from harness.process import wait_until
from harness.proxied import ProxiedCluster
from harness.senders import Attempt, Senders, verdicts
from harness.tenants import Tenant, new_tenant

# Short, so that a fault that lasts is noticed within a test; a cache would hide the store from the readers.
SETTINGS = {
    "RESTANTE_OBJECT_STORE__REQUEST_DEADLINE_MS": "1200",
    "RESTANTE_MAILSTORE__COMMIT_DEADLINE_MS": "1200",
    "RESTANTE_MAILSTORE__FRAMES_OCTETS": "0",
    "RESTANTE_DATABASE__ACQUIRE_TIMEOUT_MS": "1000",
}
WITHIN = 15.0  # seconds after the fault until every delivery is a 250 again
SEED = 20261125
NOISE = random.Random(SEED).randbytes(600_000).replace(b"\r", b"x").replace(b"\n", b"x").replace(b"\0", b"x")
SMALL, LARGE = b"Subject: small\r\n\r\nread me\r\n", b"Subject: large\r\n\r\n" + NOISE + b"\r\n"

Act = Callable[[ProxiedCluster], None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedCluster]:
    with ProxiedCluster(tmp_path_factory.mktemp("faults"), SETTINGS) as service:
        yield service


@pytest.fixture
def tenant(cluster: ProxiedCluster) -> Tenant:
    """The API may say 503 once more after a fault: a call that is not idempotent is not made again by itself."""

    def made() -> Tenant | None:
        try:
            return new_tenant(cluster)
        except Problem as problem:
            if problem.status != 503:
                raise
            return None

    return wait_until("the API serves again", made, WITHIN)


@dataclass(frozen=True)
class Fault:
    """`codes`: what LMTP senders may be told while it lasts. `small`, `large`: what RETR may do in a session that is open, of a message
    that is read at once, and of one that streams. `login`: what a new session's login may do. `long`: left to the long campaigns."""

    begin: Act
    end: Act = ProxiedCluster.heal
    codes: frozenset[int] = frozenset({451})
    small: str = "served"
    large: str = "served"
    login: str = "served"
    long: bool = False


def store(action: str, **more: object) -> Act:
    return lambda cluster: cluster.s3.fault(action, **more)


def both(*acts: Act) -> Act:
    def act(cluster: ProxiedCluster) -> None:
        for each in acts:
            each(cluster)

    return act


UP, DOWN = ["PUT seg"], ["GET seg"]
TRUE = frozenset({250})
EITHER = frozenset({250, 451})
AWAY = {"small": "refused", "large": "refused"}

FAULTS = {
    "store stopped": Fault(lambda c: c.store.kill(), lambda c: c.store.start(), **AWAY),
    "store refuses connections": Fault(lambda c: c.s3.accept("refuse"), **AWAY, long=True),
    "store takes connections and is silent": Fault(store("hang"), **AWAY),
    "store slow": Fault(lambda c: c.s3.latency(0.2), codes=TRUE),
    "store slower than the deadline": Fault(lambda c: c.s3.latency(3), **AWAY, long=True),
    "store answers 500": Fault(store("status", code=500), **AWAY, long=True),
    "store answers 503": Fault(store("status", code=503), **AWAY, long=True),
    "store answers 503 to every third": Fault(store("status", code=503, share=1 / 3), codes=EITHER, small="served refused", large="served refused"),
    "store answers 507 to writers": Fault(store("status", code=507, kinds=UP), codes=frozenset({452})),
    "uploads cut off": Fault(store("cut_up", kinds=UP, after=100)),
    "uploads stall": Fault(store("stall_up", kinds=UP, after=100), long=True),
    "answers to uploads lost": Fault(store("cut_answer", kinds=UP), long=True),
    "one answer to an upload lost": Fault(store("cut_answer", kinds=UP, times=1), codes=TRUE),
    # What is cut off is resumed where it ended, as often as the store is asked again at all.
    "a download cut off": Fault(store("cut_down", kinds=DOWN, after=300_000, times=1), codes=TRUE),
    "downloads cut off before the first octet": Fault(store("cut_down", kinds=DOWN), codes=TRUE, small="refused", large="refused"),
    "downloads cut off again and again": Fault(store("cut_down", kinds=DOWN, after=70_000), codes=TRUE, large="closed"),
    "downloads stall before the first octet": Fault(store("stall_down", kinds=DOWN), codes=TRUE, small="refused", large="refused", long=True),
    "downloads stall": Fault(store("stall_down", kinds=DOWN, after=300_000), codes=TRUE, large="closed"),
    "PostgreSQL stopped": Fault(lambda c: c.postgres.kill(), lambda c: c.postgres.start(), login="refused", long=True),
    "PostgreSQL restarted": Fault(both(lambda c: c.postgres.stop(), lambda c: c.postgres.start()), lambda c: None, codes=EITHER, login="served refused", long=True),
    "PostgreSQL refuses connections": Fault(lambda c: c.pg.accept("refuse"), login="refused"),
    "PostgreSQL takes connections and is silent": Fault(both(lambda c: c.pg.accept("hang"), lambda c: c.pg.cut()), login="refused", long=True),
    "PostgreSQL slow": Fault(lambda c: c.pg.latency(0.05), codes=TRUE),
    "connections to PostgreSQL cut": Fault(lambda c: c.pg.cut(), codes=EITHER, login="served refused"),
    "the answers to some commits cut off": Fault(lambda c: c.pg.cut_calls("lmtp_deliver_1", times=3), codes=TRUE),
    "the answer to every commit cut off": Fault(lambda c: c.pg.cut_calls("lmtp_deliver_1"), long=True),
    "every commit cut off before it": Fault(lambda c: c.pg.cut_calls("lmtp_deliver_1", when="request"), long=True),
    "both away": Fault(both(lambda c: c.s3.accept("refuse"), lambda c: c.pg.accept("refuse")), **AWAY, login="refused", long=True),
}  # fmt: skip


# Of the long campaign; written when it is complete.
RESULTS: dict[str, str] = {}


@dataclass
class Reader:
    """A maildrop with a small and a large message, and sessions that were opened while all was well."""

    cluster: ProxiedCluster
    tenant: Tenant
    address: str
    sessions: list[Pop3] = field(default_factory=list)

    @classmethod
    def make(cls, cluster: ProxiedCluster, tenant: Tenant, sessions: int = 2) -> Reader:
        reader = cls(cluster, tenant, tenant.add("reader"))
        for message in (SMALL, LARGE):
            cluster.deliver([reader.address], message, "kept@sender.test")
        reader.sessions = [cluster.open(reader.address, tenant.password) for _ in range(sessions)]
        # The keys are looked up with the first message, and held from then on.
        for session in reader.sessions:
            assert reader.retr(session, 1, SMALL) == "served"
        return reader

    def retr(self, session: Pop3, number: int, message: bytes) -> str:
        """`served`, `refused`, `closed` in its middle, or what went wrong."""
        try:
            session.command(f"RETR {number}")
        except Refused as refused:
            session.command("NOOP")
            return "refused" if "-ERR [SYS/TEMP]" in str(refused) else str(refused)
        except ConnectionError:
            return "dropped"
        try:
            received = session.body()
        except (ConnectionError, ValueError):  # the end of the connection may lie inside a line
            return "closed"
        return Expected("kept@sender.test", self.address, mend(message)).problem(received) or "served"

    def login(self) -> str:
        try:
            with self.cluster.open(self.address, self.tenant.password) as session:
                session.stat()
                session.quit()
            return "served"
        except Refused as refused:
            return "refused" if "-ERR [SYS/TEMP]" in str(refused) else str(refused)
        except ConnectionError:
            return "dropped"

    def look(self) -> list[tuple[str, str]]:
        """What every session and a new one meet, all at once: (`small`, `large` or `login`, what it was)."""
        with ThreadPoolExecutor(max_workers=len(self.sessions) + 1) as pool:
            login = pool.submit(self.login)
            tries = [
                (session, ("large", 2, LARGE) if number % 2 else ("small", 1, SMALL))
                for number, session in enumerate(self.sessions)
            ]
            found = [(session, what[0], pool.submit(self.retr, session, *what[1:])) for session, what in tries]
            self.sessions = [session for session, _, how in found if how.result() != "closed"]
            return [*((what, how.result()) for _, what, how in found), ("login", login.result())]

    def close(self) -> None:
        for session in self.sessions:
            session.quit()


async def suffer(
    cluster: ProxiedCluster, fault: Fault, senders: Senders, reader: Reader, waves: int
) -> tuple[list[Attempt], list[tuple[str, str]], float]:
    """The fault begins under a wave of deliveries, lasts for more of them, and ends. The attempts that met it, what the reader met, and
    how long it took until all was well again."""
    await senders.connect()
    await senders.wave()
    assert {attempt.code for attempt in senders.attempts} == {250}, "all is well before"
    met: list[Attempt] = []
    with ThreadPoolExecutor(max_workers=1) as pool:

        async def strike(_: list[Attempt]) -> None:
            fault.begin(cluster)  # in this thread: the kernel ends a server with the thread that started it

        met += await senders.wave(strike)
        reading = asyncio.get_running_loop().run_in_executor(pool, reader.look)
        for _ in range(waves):
            met += await senders.wave()
        seen = await reading
    fault.end(cluster)
    cluster.heal()
    began = time.monotonic()
    while True:
        batch = await senders.wave()
        took = time.monotonic() - began
        if all(attempt.code == 250 for attempt in batch):
            return met, seen, took
        assert took < WITHIN, Counter(attempt.code for attempt in batch)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.only_soak] * FAULTS[name].long) for name in FAULTS]
)
def test_a_part_fails(cluster: ProxiedCluster, tenant: Tenant, soak: bool, name: str) -> None:
    fault = FAULTS[name]
    accounts = [tenant.add(f"user{number}") for number in range(3)]
    reader = Reader.make(cluster, tenant, sessions=8 if soak else 2)
    senders = Senders(cluster.lmtp, accounts, 64 if soak else 16, SEED)

    async def run() -> tuple[list[Attempt], list[tuple[str, str]], float]:
        try:
            return await suffer(cluster, fault, senders, reader, 20 if soak else 1)
        finally:
            senders.close()
            cluster.heal()

    met, seen, took = asyncio.run(run())
    answers = Counter(str(attempt.code) for attempt in senders.attempts)
    for what, how in seen:
        assert how in getattr(fault, what), f"{what}: {how}"
    # The first wave may have been answered before the fault began.
    codes = {attempt.code for attempt in met}
    assert codes <= fault.codes | {250} and codes & fault.codes, answers
    # Those that met it from their first octet on have no other answer.
    assert {attempt.code for attempt in met[senders.count :]} <= fault.codes, answers
    # All sessions go on, and a new one finds everything.
    assert {how for _, how in reader.look()} == {"served"}
    reader.close()
    found = {}
    for account in accounts:
        with cluster.open(account, tenant.password) as session:
            found[account] = session.retr_all()
            session.quit()
    problems = verdicts(senders.attempts, found) + recount.problems(cluster)
    if soak:
        told = ", ".join(f"{code}: {count}" for code, count in sorted(answers.items()))
        read = ", ".join(f"{what} {how}: {count}" for (what, how), count in sorted(Counter(seen).items()))
        RESULTS[name] = (
            f"{told}; stored without a 250: {sum(map(len, found.values())) - answers['250']}; {read}; "
            f"well again after {took:.1f} s; lost, doubled or wrong: {len(problems)}"
        )
        if RESULTS.keys() == FAULTS.keys():
            report.write(Path(__file__).parents[2] / "docs" / "soak.md", "faults of the parts", RESULTS)
    assert not problems, problems[:10]


def copies(session: Pop3) -> int:
    return session.stat()[0]


def test_a_commit_whose_answer_was_cut_off_is_there_once(cluster: ProxiedCluster, tenant: Tenant) -> None:
    """With the answer cut for ever the sender hears 451 although it was stored; cut before the server heard of it, nothing is."""
    for when, stored in (("answer", 1), ("request", 0)):
        address = tenant.add(when)
        cluster.pg.reset()
        cluster.pg.cut_calls("lmtp_deliver_1", when=when)
        with Lmtp(cluster.lmtp) as session:
            (reply,) = session.deliver("s@sender.test", [address], SMALL)
        assert (reply.code, reply.enhanced) == (451, "4.3.0")
        assert cluster.pg.counts()["cut"] > 2, "the driver asks again"
        cluster.heal()
        with cluster.open(address, tenant.password) as session:
            assert copies(session) == stored
            session.quit()


def test_quit_tells_the_truth_when_its_answer_is_cut_off(cluster: ProxiedCluster, tenant: Tenant) -> None:
    address = tenant.add("reader")
    for times, refused in ((1, False), (None, True)):
        cluster.deliver([address], SMALL)
        session = cluster.open(address, tenant.password)
        session.dele(1)
        cluster.pg.cut_calls("pop3_quit_2", times=times)
        if refused:
            with pytest.raises(Refused, match=r"^-ERR \[SYS/TEMP\]"):
                session.command("QUIT")
        else:
            session.command("QUIT")
        session.close()
        cluster.heal()
        # It was committed both times; what the client could not be told is done all the same, once.
        with cluster.open(address, tenant.password) as session:
            assert copies(session) == 0
            session.quit()
    cluster.deliver([address], SMALL)
    session = cluster.open(address, tenant.password)
    session.dele(1)
    cluster.pg.accept("refuse")
    with pytest.raises(Refused, match=r"^-ERR \[SYS/TEMP\]"):
        session.command("QUIT")
    session.close()
    cluster.heal()
    with cluster.open(address, tenant.password) as session:
        assert copies(session) == 1, "what could not be committed deleted nothing"
        session.quit()
    assert recount.problems(cluster) == []


@pytest.mark.soak
@pytest.mark.only_soak
def test_a_store_without_space(cluster: ProxiedCluster, tenant: Tenant) -> None:
    """Really: SeaweedFS may have one more volume of a megabyte, until whoever runs it gives it more. It says 500 then, as for any other
    failure, so that senders hear no more than that; a store that says 507 is among the faults above."""
    address, reader = tenant.add("user"), Reader.make(cluster, tenant)

    def restart(volumes: int, megabytes: int) -> None:
        cluster.store.kill()
        cluster.store.volumes, cluster.store.volume_megabytes = volumes, megabytes
        cluster.store.start()

    def attempt(session: Lmtp) -> int:
        return session.deliver("kept@sender.test", [address], LARGE)[0].code

    try:
        there = len(list((cluster.store.directory / "data").glob("*.dat")))
        restart(there + 1, 1)
        with Lmtp(cluster.lmtp) as session:
            codes = []
            while len(codes) < 100 and 451 not in codes:
                codes.append(attempt(session))
            assert codes[-1] == 451 and set(codes[:-1]) <= {250}, codes
            assert attempt(session) == 451
        assert {how for _, how in reader.look()} == {"served"}
    finally:
        restart(100, 512)
    with Lmtp(cluster.lmtp) as session:
        assert attempt(session) == 250
    reader.close()
    with cluster.open(address, tenant.password) as session:
        received = session.retr_all()
        session.quit()
    expected = Expected("kept@sender.test", address, mend(LARGE))
    assert len(received) == codes.count(250) + 1
    assert [expected.problem(message) for message in received] == [None] * len(received)
