"""A proxy between Restante and an S3 store: it passes everything through, counts, and misbehaves on command.

Requests are told apart by kind: `PUT seg`, `GET seg`, `DELETE seg`, the same with `key` and `cat`, `LIST`, and the bare method for
what else there is. The Host header stays as it came: it is signed.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .proxy import CHUNK, Proxy, Remote, main

Headers = dict[bytes, bytes]
BODILESS = (204, 304)


@dataclass
class Count:
    requests: int = 0
    up: int = 0  # octets of request bodies
    down: int = 0  # octets of response bodies
    faults: int = 0


@dataclass
class Fault:
    """What is done to requests of these kinds (None: all), to a share of them or a number of times.

    `status`: answered `code` without asking the store. `cut_up`, `cut_down`: the connection is cut after so many octets of the
    request's or response's body. `cut_answer`: the store has done it, and the connection is cut in place of its answer.
    `stall_up`, `stall_down`: nothing moves after so many octets, until the faults are changed. `hang`: not even the request is passed on.
    """

    action: str
    kinds: list[str] | None = None
    share: float = 1.0
    times: int | None = None
    after: int = 0
    code: int = 503


class S3Proxy(Remote):
    """`S3Proxy(directory, "127.0.0.1:PORT")`: `fault`, `latency`, `heal`, `accept`, `cut`, `counts` and `reset`."""

    module = "harness.s3proxy"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def fault(self, action: str, **more: Any) -> None:
        """In place of all faults that there were: see `Fault`."""
        self.call("fault", action=action, **more)

    def latency(self, seconds: float) -> None:
        """Added to every request, before it is passed on."""
        self.call("latency", seconds=seconds)

    def heal(self) -> None:
        """No faults, no latency; connections are accepted."""
        self.call("heal")

    def accept(self, how: str) -> None:
        self.call("accept", how=how)

    def counts(self) -> dict[str, Count]:
        return {kind: Count(**count) for kind, count in self.call("counts").items()}

    def reset(self) -> None:
        self.call("reset")


class _Proxy(Proxy):
    def __init__(self, target: str) -> None:
        super().__init__()
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._faults: list[Fault] = []
        self._latency = 0.0
        self._counts: dict[str, Count] = {}
        self._random = random.Random(1)

    # --- commands

    def fault(self, **fault: Any) -> None:
        self._faults = [Fault(**fault)]
        self._release()

    def latency(self, seconds: float) -> None:
        self._latency = seconds

    async def heal(self) -> None:
        self._faults, self._latency = [], 0.0
        self._release()
        await self.accept("yes")

    def counts(self) -> dict[str, dict[str, int]]:
        return {kind: vars(count) for kind, count in sorted(self._counts.items())}

    def reset(self) -> None:
        self._counts.clear()

    # --- a connection

    def _fault_for(self, kind: str) -> Fault | None:
        for fault in self._faults:
            if fault.kinds is not None and kind not in fault.kinds:
                continue
            if fault.times == 0 or self._random.random() >= fault.share:
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:
                    return
                line, headers = parse(head)
                method, target = line.split(b" ")[:2]
                kind = kind_of(method.decode(), target.decode())
                count = self._counts.setdefault(kind, Count())
                count.requests += 1
                fault = self._fault_for(kind)
                if fault is not None:
                    count.faults += 1
                if self._latency:
                    await asyncio.sleep(self._latency)
                action = fault.action if fault else ""
                if action == "hang":
                    await self._released.wait()
                    return
                if action == "status":
                    await copy_body(reader, headers, False, count_up(count))
                    writer.write(refusal(fault.code, method))
                    await writer.drain()
                    continue
                if upstream is None or upstream[0].at_eof() or upstream[0].exception() is not None:
                    if upstream is not None:
                        upstream[1].transport.abort()
                    upstream = await asyncio.open_connection(*self._target, limit=1 << 20)
                if not await self._exchange(reader, writer, upstream, head, method, headers, fault, count):
                    return
        finally:
            if upstream is not None:
                upstream[1].transport.abort()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        head: bytes,
        method: bytes,
        headers: Headers,
        fault: Fault | None,
        count: Count,
    ) -> bool:
        """One request and its response; False when the connection is not to be used again."""
        action, after = (fault.action, fault.after) if fault else ("", 0)
        up_reader, up_writer = upstream
        up_writer.write(head)
        sink = self._limited(up_writer, after if action in ("cut_up", "stall_up") else None, action, count_up(count))
        if headers.get(b"expect", b"").lower() != b"100-continue":
            await copy_body(reader, headers, False, sink)
        while True:
            answer = await up_reader.readuntil(b"\r\n\r\n")
            line, answered = parse(answer)
            status = int(line.split(b" ", 2)[1])
            if status != 100:
                break
            writer.write(answer)
            await copy_body(reader, headers, False, sink)
        if action == "cut_answer":
            return False
        writer.write(answer)
        limit = after if action in ("cut_down", "stall_down") else None
        if method != b"HEAD" and status not in BODILESS:
            await copy_body(up_reader, answered, True, self._limited(writer, limit, action, count_down(count)))
        await writer.drain()
        return b"close" not in (headers.get(b"connection"), answered.get(b"connection"))

    def _limited(
        self, writer: asyncio.StreamWriter, limit: int | None, action: str, counted: Callable[[int], None]
    ) -> Sink:
        passed = 0

        async def sink(octets: bytes, payload: int = -1) -> None:
            nonlocal passed
            counted(len(octets) if payload < 0 else payload)
            if limit is not None and passed + len(octets) > limit:
                writer.write(octets[: limit - passed])
                await writer.drain()
                if action.startswith("stall"):
                    await self._released.wait()
                raise ConnectionResetError("cut on command")
            passed += len(octets)
            writer.write(octets)
            await writer.drain()

        return sink


Sink = Callable[..., Awaitable[None]]


def count_up(count: Count) -> Any:
    def add(octets: int) -> None:
        count.up += octets

    return add


def count_down(count: Count) -> Any:
    def add(octets: int) -> None:
        count.down += octets

    return add


def parse(head: bytes) -> tuple[bytes, Headers]:
    line, *rest = head[:-4].split(b"\r\n")
    pairs = (each.partition(b":") for each in rest)
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}


def kind_of(method: str, target: str) -> str:
    path, _, query = target.partition("?")
    if method == "GET" and ("list-type=" in query or "prefix=" in query):
        return "LIST"
    found = re.search(r"/v1/(seg|key|cat)/", path)
    return f"{method} {found.group(1)}" if found else method


def refusal(code: int, method: bytes) -> bytes:
    name = {500: "InternalError", 503: "SlowDown", 507: "InsufficientStorage"}.get(code, "Error")
    text = b"" if method == b"HEAD" else f"<Error><Code>{name}</Code><Message>on command</Message></Error>".encode()
    return b"HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (
        code, name.encode(), len(text), text,
    )  # fmt: skip


async def copy_body(reader: asyncio.StreamReader, headers: Headers, answer: bool, sink: Any) -> None:
    """Hands a message's body to the sink piece by piece, as it is framed. Only an answer may be framed by the connection's end."""

    async def put(octets: bytes, payload: int = -1) -> None:
        done = sink(octets, payload) if asyncio.iscoroutinefunction(sink) else sink(len(octets))
        if done is not None:
            await done

    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            await put(line, 0)
            if size == 0:
                while line != b"\r\n":
                    line = await reader.readuntil(b"\r\n")
                    await put(line, 0)
                return
            await put(await reader.readexactly(size + 2), size)
    length = headers.get(b"content-length")
    if length is None:
        while answer and (octets := await reader.read(CHUNK)):
            await put(octets)
        return
    left = int(length)
    while left:
        octets = await reader.read(min(left, CHUNK))
        if not octets:
            raise ConnectionResetError("the body ends early")
        left -= len(octets)
        await put(octets)


if __name__ == "__main__":
    main(_Proxy)
