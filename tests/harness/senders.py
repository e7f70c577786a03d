"""Many LMTP senders at once, each attempt a message of its own that is never sent again, and a log of what was answered.

A wave is one message on every connection: all are sent but for the lone dot, then all the dots at once, so that as many
deliveries as there are connections are unanswered at one moment. What a sender knows is all that a verdict is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from . import octets
from .octets import Expected
from .service import Address

BODY_OCTETS = (200, 900, 900, 3_000, 3_000, 9_000, 20_000)
# One message in so many is beyond the size that shares a segment with others.
RARELY = 97
BIG_OCTETS = 1_300_000


@dataclass
class Attempt:
    """One message to one account. `code` is the final reply's, None while (or for ever when) there is none."""

    number: int
    account: str
    message: bytes
    code: int | None = None
    sent: bool = False  # the lone dot was written
    seconds: float = 0.0  # from the lone dot to the reply

    @property
    def reverse_path(self) -> str:
        return f"attempt{self.number}@sender.test"

    def expected(self) -> Expected:
        return Expected(self.reverse_path, self.account, octets.mend(octets.unstuff(octets.stuff(self.message))))


class Connection:
    """One LMTP session over asyncio."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address: Address) -> Connection:
        reader, writer = await asyncio.open_connection(*address)
        connection = cls(reader, writer)
        await connection.reply()
        writer.write(b"LHLO client.test\r\n")
        await connection.reply()
        return connection

    async def reply(self) -> int:
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("closed by the server")
            if line[3:4] != b"-":
                return int(line[:3])

    async def prepare(self, attempt: Attempt) -> bool:
        """Everything but the lone dot; False when the server did not want the message (its code is then kept)."""
        envelope = f"MAIL FROM:<{attempt.reverse_path}>\r\nRCPT TO:<{attempt.account}>\r\nDATA\r\n"
        self.writer.write(envelope.encode())
        mail, rcpt, data = [await self.reply() for _ in range(3)]
        if data != 354:
            attempt.code = rcpt if rcpt // 100 != 2 else mail if mail // 100 != 2 else data
            self.writer.write(b"RSET\r\n")
            await self.reply()
            return False
        self.writer.write(octets.stuff(attempt.message))
        await self.writer.drain()
        return True

    async def finish(self, attempt: Attempt) -> None:
        attempt.sent = True
        began = time.monotonic()
        self.writer.write(b".\r\n")
        attempt.code = await self.reply()
        attempt.seconds = time.monotonic() - began

    async def deliver(self, attempt: Attempt) -> None:
        if await self.prepare(attempt):
            await self.finish(attempt)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.close()


@dataclass
class Senders:
    """`count` connections to `address`, sending to `accounts` by turns; everything drawn from one seed."""

    address: Address
    accounts: Sequence[str]
    count: int
    seed: int
    attempts: list[Attempt] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def new_attempt(self, account: str | None = None) -> Attempt:
        number = len(self.attempts)
        body = BIG_OCTETS if number % RARELY == RARELY - 1 else self.random.choice(BODY_OCTETS)
        line = self.random.randbytes(36).hex().encode() + b"\r\n"
        text = b"Subject: attempt %d\r\n\r\n" % number + line * (body // len(line) + 1)
        attempt = Attempt(number, account or self.accounts[number % len(self.accounts)], text)
        self.attempts.append(attempt)
        return attempt

    async def connect(self, seconds: float = 60) -> None:
        """Replaces every connection by a new one; tries again while the server is not there yet."""
        for connection in self.connections:
            connection.close()
        self.connections = []
        end = time.monotonic() + seconds
        while len(self.connections) < self.count:
            try:
                self.connections.append(await asyncio.wait_for(Connection.open(self.address), 20))
            except (TimeoutError, OSError, ValueError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.1)

    async def wave(self, during: Callable[[list[Attempt]], Awaitable[None]] | None = None) -> list[Attempt]:
        """One message on every connection. `during` runs from the moment all dots are on their way."""
        batch = [self.new_attempt() for _ in self.connections]
        pairs = list(zip(self.connections, batch, strict=True))

        async def prepared(connection: Connection, attempt: Attempt) -> bool:
            try:
                return await asyncio.wait_for(connection.prepare(attempt), 120)
            except (TimeoutError, OSError, ValueError):
                return False

        ready = await asyncio.gather(*(prepared(*pair) for pair in pairs))
        live = [pair for pair, yes in zip(pairs, ready, strict=True) if yes]

        async def finished(connection: Connection, attempt: Attempt) -> None:
            with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError):
                await asyncio.wait_for(connection.finish(attempt), 120)

        tasks = [asyncio.create_task(finished(*pair)) for pair in live]
        while not all(attempt.sent for _, attempt in live):
            await asyncio.sleep(0)
        if during is not None:
            await during(batch)
        await asyncio.gather(*tasks)
        return batch

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.connections = []


def unanswered(batch: Sequence[Attempt]) -> int:
    """Deliveries whose last octet was sent and that have no reply."""
    return sum(attempt.sent and attempt.code is None for attempt in batch)


def verdicts(attempts: Sequence[Attempt], found: dict[str, list[bytes]]) -> list[str]:
    """What is wrong with the maildrops' contents (`found`: messages by account), by the sender's log alone.

    250: there exactly once, to the octet. 5xx: never. 4xx or no answer: at most once, to the octet.
    """
    by_path: dict[str, list[tuple[str, bytes]]] = {}
    for account, messages in found.items():
        for message in messages:
            reverse_path = message[: message.index(b">")].removeprefix(b"Return-Path: <").decode()
            by_path.setdefault(reverse_path, []).append((account, message))
    problems = []
    for attempt in attempts:
        copies = by_path.pop(attempt.reverse_path, [])
        most = 0 if attempt.code is not None and attempt.code // 100 == 5 else 1
        least = 1 if attempt.code == 250 else 0
        if not least <= len(copies) <= most:
            problems.append(f"{attempt.reverse_path} was answered {attempt.code} and is there {len(copies)} times")
        for account, message in copies:
            problem = attempt.expected().problem(message, slack=7200)
            if account != attempt.account or problem:
                problems.append(f"{attempt.reverse_path} at {account}: {problem}")
    problems += [f"{reverse_path} was never sent" for reverse_path in by_path]
    return problems
