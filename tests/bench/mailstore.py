"""`make bench-mailstore`: measures the mailstore and writes its figures into docs/mailstore.md, each table between two markers.

What is counted is counted outside of Restante: by the proxies before the store and PostgreSQL, and by PostgreSQL's own statistics.
`python -m bench.mailstore NAME…` measures only these figures.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.pop3 import Pop3
from harness.process import wait_until
from harness.proxied import ProxiedCluster
from harness.s3proxy import Count
from harness.senders import Attempt, Connection
from harness.service import Cluster
from harness.tenants import Tenant, new_tenant

from . import mail

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "mailstore.md"
# A cache would answer in the store's place.
SETTINGS = {"RESTANTE_MAILSTORE__FRAMES_OCTETS": "0"}
Rows = list[list[str]]


@dataclass(frozen=True)
class Counted:
    """What passed between two moments."""

    seconds: float
    store: dict[str, Count]
    calls: dict[str, int]
    transactions: int  # all of them, reading or writing: pg_stat_database
    writes: int  # those that changed anything: each takes a transaction id

    def requests(self, kind: str) -> int:
        return self.store.get(kind, Count()).requests

    def down(self, kind: str) -> int:
        return self.store.get(kind, Count()).down

    def up(self, kind: str) -> int:
        return self.store.get(kind, Count()).up


def statistics(cluster: Cluster) -> tuple[int, int]:
    (row,) = cluster.sql(
        "SELECT xact_commit, pg_snapshot_xmax(pg_current_snapshot()) FROM pg_stat_database WHERE datname = 'postgres'"
    )
    return int(row[0]), int(row[1])


def settle(cluster: ProxiedCluster) -> None:
    """A back end tells its statistics when it ends at the latest: their connections are cut."""
    ((now,),) = cluster.sql("SELECT clock_timestamp()")
    cluster.pg.cut()
    gone = f"SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'restante_%' AND backend_start < '{now}'"
    wait_until("the back ends have ended", lambda: cluster.sql(gone) == [["0"]], 30)


def counted(cluster: ProxiedCluster, what: Callable[[], None]) -> Counted:
    settle(cluster)
    cluster.s3.reset()
    cluster.pg.reset()
    before = statistics(cluster)
    began = time.monotonic()
    what()
    seconds = time.monotonic() - began
    store, calls = cluster.s3.counts(), cluster.pg.counts()
    settle(cluster)
    after = statistics(cluster)
    return Counted(seconds, store, calls, after[0] - before[0], after[1] - before[1])


def deliver(cluster: Cluster, accounts: Sequence[str], messages: Sequence[bytes], connections: int) -> None:
    """Every message to one account, by turns, over so many connections, each sending its next when the last was answered."""
    waiting = iter([Attempt(n, accounts[n % len(accounts)], text) for n, text in enumerate(messages)])

    async def sender() -> None:
        connection = await Connection.open(cluster.lmtp)
        for attempt in waiting:
            await connection.deliver(attempt)
            # The connections to PostgreSQL were cut before this began: the first one to meet that may be told to come again.
            if attempt.code == 451:
                await connection.deliver(attempt)
            assert attempt.code == 250, attempt.code
        connection.close()

    async def run() -> None:
        await asyncio.gather(*(sender() for _ in range(connections)))

    asyncio.run(run())


def fetch(session: Pop3, commands: Sequence[str], pipelined: int) -> int:
    """Sends commands, at most so many ahead of the answers; octets of all answers. Cheaper than reading lines, so that the
    client is not what is measured."""
    waiting, octets, sent = bytearray(), 0, 0
    for done in range(len(commands)):
        if sent == done or sent - done <= pipelined // 2:
            ahead = commands[sent : done + pipelined]
            session.send("".join(f"{command}\r\n" for command in ahead).encode())
            sent += len(ahead)
        searched = 0
        while (end := waiting.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(0, len(waiting) - 4)
            piece = session.socket.recv(1 << 18)
            assert piece, "closed by the server"
            waiting += piece
        assert waiting.startswith(b"+OK"), waiting[:100]
        octets += end + 5
        del waiting[: end + 5]
    return octets


def plural(number: float, digits: int = 0) -> str:
    return f"{number:,.{digits}f}".replace(",", " ")


# --- the figures


def deliveries(cluster: ProxiedCluster) -> tuple[list[str], Rows]:
    """PUTs and commits per 1 000 deliveries."""
    tenant = new_tenant(cluster)
    accounts = [tenant.add(f"user{number}") for number in range(20)]
    deliver(cluster, accounts, mail.synthetic(20), 4)
    rows = []
    for connections in (1, 4, 16, 64):
        messages = mail.synthetic(1000, seed=connections)
        took = counted(cluster, lambda c=connections, m=messages: deliver(cluster, accounts, m, c))
        puts, commits = took.requests("PUT seg"), took.calls["lmtp_deliver_1"]
        rows.append(
            [str(connections), plural(puts), plural(commits), plural(took.writes), plural(took.transactions),
             f"{1000 / puts:.1f}", plural(1000 / took.seconds)]
        )  # fmt: skip
    heads = ["connections", "PUTs", "commits of deliveries", "writing transactions", "all transactions", "messages per PUT", "deliveries/s"]  # fmt: skip
    return heads, rows


def stored(cluster: ProxiedCluster) -> tuple[list[str], Rows]:
    """Octets in the bucket against octets delivered."""
    corpora = {"synthetic, 1 000 messages": mail.synthetic(1000)}
    for name in filter(None, os.environ.get("RESTANTE_TEST_CORPUS", "").split(os.pathsep)):
        messages = mail.of_directory(Path(name))
        corpora[f"{Path(name).name}, {len(messages)} messages"] = messages
    rows = []
    for name, messages in corpora.items():
        tenant = new_tenant(cluster)
        accounts = [tenant.add(f"user{number}") for number in range(10)]
        took = counted(cluster, lambda a=accounts, m=messages: deliver(cluster, a, m, 16))
        as_sent = sum(map(len, messages))
        ((as_read,),) = cluster.sql(
            f"SELECT sum(m.octets) FROM restante.messages m JOIN restante.tenants t USING (tenant_id) WHERE t.slug = '{tenant.slug}'"
        )
        rows.append(
            [name, plural(as_sent), plural(int(as_read)), plural(took.up("PUT seg")), f"{took.up('PUT seg') / int(as_read):.0%}"]
        )  # fmt: skip
    return ["corpus", "octets sent", "octets as RETR sends them", "octets stored", "stored / RETR"], rows


def maildrop(cluster: ProxiedCluster, messages: int = 300) -> tuple[Tenant, str]:
    """One that grew among nine others: neighbours in it are seldom neighbours in a segment."""
    tenant = new_tenant(cluster)
    accounts = [tenant.add(f"user{number}") for number in range(10)]
    deliver(cluster, accounts, mail.synthetic(10 * messages), 16)
    return tenant, accounts[0]


def reads(cluster: ProxiedCluster) -> tuple[list[str], Rows]:
    """Store octets and requests per TOP n 0 and per RETR."""
    tenant, address = maildrop(cluster, 200)
    shuffled = [n * 77 % 200 + 1 for n in range(200)]
    ways = {
        "TOP n 0, one at a time": ([f"TOP {n} 0" for n in range(1, 201)], 1),
        "TOP n 0, pipelined": ([f"TOP {n} 0" for n in range(1, 201)], 32),
        "TOP n 10, one at a time": ([f"TOP {n} 10" for n in range(1, 201)], 1),
        "RETR, one at a time": ([f"RETR {n}" for n in range(1, 201)], 1),
        "RETR, pipelined": ([f"RETR {n}" for n in range(1, 201)], 32),
        "RETR, in no order": ([f"RETR {n}" for n in shuffled], 1),
    }
    rows = []
    for name, (commands, pipelined) in ways.items():
        octets = 0

        def read(commands: list[str] = commands, pipelined: int = pipelined) -> None:
            nonlocal octets
            with cluster.open(address, tenant.password) as session:
                octets = fetch(session, commands, pipelined)
                session.quit()

        took, count = counted(cluster, read), len(commands)
        rows.append(
            [name, f"{took.requests('GET seg') / count:.2f}", plural(took.down("GET seg") / count), plural(octets / count)]
        )  # fmt: skip
    return ["", "store requests", "store octets", "octets to the client"], rows


def rates(cluster: ProxiedCluster) -> tuple[list[str], Rows]:
    """RETR rate of a session while every store request takes longer."""
    tenant, address = maildrop(cluster)
    commands = [f"RETR {n}" for n in range(1, 301)]

    def rate(latency: float, pipelined: int) -> float:
        cluster.s3.latency(latency)
        with cluster.open(address, tenant.password) as session:
            began = time.monotonic()
            fetch(session, commands, pipelined)
            seconds = time.monotonic() - began
            session.quit()
        return len(commands) / seconds

    rows = []
    for name, pipelined in (("one at a time", 1), ("pipelined, 32 ahead", 32)):
        rate(0, pipelined)
        # By turns, the best of five each: what else the machine does meanwhile only ever slows down.
        best = {0.0: 0.0, 0.02: 0.0, 0.05: 0.0}
        for _ in range(5):
            best = {latency: max(found, rate(latency, pipelined)) for latency, found in best.items()}
        cluster.s3.latency(0)
        without, *slowed = best.values()
        rows.append([name, plural(without), *(f"{plural(each)} ({each / without:.0%})" for each in slowed)])
    return ["messages/s of one session", "0 ms", "20 ms", "50 ms"], rows


# What `messages` is made of: where its octets are after churn.
PARTS = {"messages": "the rows", "messages_pkey": "the key", "messages_segment": "the index by segment"}


def sizes(cluster: ProxiedCluster) -> Iterator[tuple[str, int]]:
    tables = "messages message_extras segments maildrops"
    for table in tables.split():
        ((octets,),) = cluster.sql(f"SELECT pg_total_relation_size('restante.{table}')")
        yield table, int(octets)
        if table == "messages":
            for part in PARTS:
                ((octets,),) = cluster.sql(f"SELECT pg_relation_size('restante.{part}')")
                yield f"- of these {PARTS[part]}", int(octets)
    ((octets,),) = cluster.sql(
        "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('restante.expunged') WHERE isleaf"
    )
    yield "expunged", int(octets)


def expunge_half(cluster: ProxiedCluster, tenant: Tenant, accounts: Sequence[str], chance: random.Random) -> None:
    for address in accounts:
        with cluster.open(address, tenant.password) as session:
            count = session.stat()[0]
            numbers = chance.sample(range(1, count + 1), count // 2)
            session.send(b"".join(b"DELE %d\r\n" % number for number in numbers))
            for _ in numbers:
                session.status()
            session.quit()


def catalog(cluster: ProxiedCluster) -> tuple[list[str], Rows]:
    """PostgreSQL octets per message after churn."""
    tenant, chance = new_tenant(cluster), random.Random(1)
    accounts = [tenant.add(f"user{number}") for number in range(20)]
    text = b"Subject: churn\r\n\r\nshort\r\n"
    deliver(cluster, accounts, [text] * 5000, 32)
    for _ in range(5):
        expunge_half(cluster, tenant, accounts, chance)
        cluster.sql("VACUUM ANALYZE")  # as autovacuum would, at a fifth of dead rows
        deliver(cluster, accounts, [text] * 2500, 32)
    ((live, kept),) = cluster.sql("SELECT sum(live_messages), sum(kept_messages) FROM restante.maildrops")
    churned = dict(sizes(cluster))
    for table in ("messages", "message_extras", "segments", "maildrops"):
        cluster.sql(f"VACUUM FULL restante.{table}")
    packed = dict(sizes(cluster))
    counts = dict.fromkeys(churned, int(live)) | {"expunged": int(kept), "segments": int(live) + int(kept)}
    rows = [
        [table, plural(counts[table]), plural(churned[table] / counts[table]), plural(packed[table] / counts[table])]
        for table in churned
    ]
    every = int(live) + int(kept)
    sums = [sum(size for table, size in each.items() if not table.startswith("-")) for each in (churned, packed)]
    rows.append(["all of these", plural(every), *(plural(octets / every) for octets in sums)])
    return ["table, with its indexes", "messages", "octets per message", "packed"], rows


# What the document has, by the name of its markers; each gets a cluster that nothing has used.
FIGURES: dict[str, Callable[[ProxiedCluster], tuple[list[str], Rows]]] = {
    "deliveries": deliveries,
    "stored": stored,
    "reads": reads,
    "rates": rates,
    "catalog": catalog,
}


def write(name: str, heads: list[str], rows: Rows) -> None:
    """Replaces what stands between the figure's markers."""
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    begin, end = f"<!-- figures: {name} -->\n", f"<!-- end: {name} -->\n"
    text = DOCUMENT.read_text()
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(found.findall(text)) != 1:
        raise ValueError(f"{DOCUMENT} has no place for {name}")
    DOCUMENT.write_text(found.sub(lambda _: f"{begin}{table}\n{end}", text))


def main() -> None:
    for name in sys.argv[1:] or FIGURES:
        measure = FIGURES[name]
        with (
            tempfile.TemporaryDirectory(prefix="restante-bench-") as directory,
            ProxiedCluster(Path(directory), SETTINGS) as cluster,
        ):
            heads, rows = measure(cluster)
        print(f"{name}: {measure.__doc__}", *(" | ".join(row) for row in [heads, *rows]), sep="\n  ", flush=True)
        write(name, heads, rows)


if __name__ == "__main__":
    main()
