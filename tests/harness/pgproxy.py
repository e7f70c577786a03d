"""A proxy between Restante and PostgreSQL: it passes everything through, counts calls of the catalog's functions, and misbehaves
on command.

It reads the messages of the protocol (version 3), so that it can cut exactly the answer to a call: each call of the catalog is a
transaction of its own, which commits before the server says that it is ready again. What is swallowed is all that answers that
call; then the connection is cut.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any

from .proxy import CHUNK, Proxy, Remote, main

SSL_REQUEST, GSS_REQUEST, CANCEL = 80_877_103, 80_877_104, 80_877_102


class PgProxy(Remote):
    """`PgProxy(directory, "/socket/directory/.s.PGSQL.5432")`: `cut_calls`, `latency`, `heal`, `accept`, `cut`, `counts`, `reset`."""

    module = "harness.pgproxy"

    def url(self, user: str, database: str = "postgres") -> str:
        return f"postgres://{user}@127.0.0.1:{self.address[1]}/{database}?sslmode=disable"

    def cut_calls(self, function: str, times: int | None = None, when: str = "answer") -> None:
        """The connection is cut at the next calls of this function: `answer`, when the server has committed, in place of its answer;
        `request`, before the server hears of it."""
        self.call("cut_calls", function=function, times=times, when=when)

    def latency(self, seconds: float) -> None:
        """Added to every round trip."""
        self.call("latency", seconds=seconds)

    def accept(self, how: str) -> None:
        self.call("accept", how=how)

    def cut(self) -> int:
        return self.call("cut")

    def heal(self) -> None:
        self.call("heal")

    def counts(self) -> dict[str, int]:
        """Calls by function; `cut` is how many were cut by `cut_calls`."""
        return self.call("counts")

    def reset(self) -> None:
        self.call("reset")


@dataclass
class Cut:
    function: str
    times: int | None
    when: str


@dataclass
class Cycle:
    """From a client's messages to the server's ReadyForQuery."""

    cut: bool = False


class _Proxy(Proxy):
    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target
        self._latency = 0.0
        self._cut: Cut | None = None
        self._counts: dict[str, int] = {}

    # --- commands

    def cut_calls(self, function: str, times: int | None, when: str) -> None:
        self._cut = Cut(function, times, when)

    def latency(self, seconds: float) -> None:
        self._latency = seconds

    async def heal(self) -> None:
        self._cut, self._latency = None, 0.0
        await self.accept("yes")

    def counts(self) -> dict[str, int]:
        return self._counts

    def reset(self) -> None:
        self._counts.clear()

    # --- a connection

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._target, limit=1 << 20)
        try:
            if not await start_up(reader, writer, server_reader, server_writer):
                return
            # The start-up itself ends with a ReadyForQuery.
            cycles: deque[Cycle] = deque([Cycle()])
            ways = (self._requests(reader, server_writer, cycles), answers(server_reader, writer, cycles))
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            server_writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, cycles: deque[Cycle]) -> None:
        statements: dict[bytes, str] = {}
        cycle = Cycle()
        async for messages in batches(reader):
            synced = False
            for kind, message in messages:
                called = ""
                if kind == b"P":
                    name, text = message[5:].split(b"\0", 2)[:2]
                    statements[name] = function_in(text)
                elif kind == b"B":
                    called = statements.get(message[5:].split(b"\0", 2)[1], "")
                elif kind == b"Q":
                    called = function_in(message[5:])
                if called:
                    self._counts[called] = self._counts.get(called, 0) + 1
                    how = self._cuts(called)
                    if how == "request":
                        return
                    cycle.cut |= how == "answer"
                if kind in (b"S", b"Q"):
                    cycles.append(cycle)
                    cycle, synced = Cycle(), True
            if synced and self._latency:
                await asyncio.sleep(self._latency)
            server.write(b"".join(message for _, message in messages))
            await server.drain()

    def _cuts(self, called: str) -> str:
        cut = self._cut
        if cut is None or cut.function != called or cut.times == 0:
            return ""
        if cut.times is not None:
            cut.times -= 1
        self._counts["cut"] = self._counts.get("cut", 0) + 1
        return cut.when


async def answers(server: asyncio.StreamReader, writer: asyncio.StreamWriter, cycles: deque[Cycle]) -> None:
    async for messages in batches(server):
        out = []
        for kind, message in messages:
            # Messages outside of a cycle are notices.
            cut = bool(cycles) and cycles[0].cut
            if not cut:
                out.append(message)
            if kind == b"Z" and cycles:
                cycles.popleft()
                if cut:
                    return
        writer.write(b"".join(out))
        await writer.drain()


async def start_up(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> bool:
    """Passes the untyped messages at the beginning; False when there is nothing more to come."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack(">ii", head)
        server_writer.write(head + await reader.readexactly(length - 8))
        await server_writer.drain()
        if code == CANCEL:
            return False
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return True
        answer = await server_reader.readexactly(1)
        if answer != b"N":
            raise ConnectionResetError("encryption on a Unix socket")
        writer.write(answer)


async def batches(reader: asyncio.StreamReader) -> Any:
    """The typed messages of one direction, as many at a time as have come whole."""
    buffer = bytearray()
    while octets := await reader.read(CHUNK):
        buffer += octets
        messages, at = [], 0
        while len(buffer) - at >= 5:
            end = at + 1 + struct.unpack_from(">i", buffer, at + 1)[0]
            if end > len(buffer):
                break
            messages.append((bytes(buffer[at : at + 1]), bytes(buffer[at:end])))
            at = end
        del buffer[:at]
        if messages:
            yield messages


def function_in(text: bytes) -> str:
    """The catalog's function that a statement calls, or nothing."""
    found = re.search(rb"restante\.(\w+_[0-9]+)\(", text)
    return found.group(1).decode() if found else ""


if __name__ == "__main__":
    main(_Proxy)
