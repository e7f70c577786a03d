"""What the proxies between Restante and its parts have in common: each is a process of its own (a test's own work must not slow
what passes through), told what to do over a control connection in lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .process import Process

TESTS = Path(__file__).resolve().parents[1]
CHUNK = 64 * 1024


class Remote:
    """The test's end: `call` has a method of the proxy called, in the proxy's process."""

    module = ""

    def __init__(self, directory: Path, target: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.target = target
        self.process: Process | None = None
        self.address: tuple[str, int] = ("127.0.0.1", 0)

    def start(self) -> None:
        self.process = Process(
            self.module,
            [sys.executable, "-m", self.module, self.target],
            self.directory / f"{self.module}.log",
            env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"},
            pipe_stdout=True,
        )
        assert self.process.popen.stdout is not None
        line = self.process.popen.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module}: {self.process.log_tail()}")
        ready = json.loads(line)
        self.address = ("127.0.0.1", ready["listen"])
        self.socket = socket.create_connection(("127.0.0.1", ready["control"]), timeout=60)
        self.file = self.socket.makefile("rb")

    def call(self, name: str, **arguments: Any) -> Any:
        self.socket.sendall(json.dumps([name, arguments]).encode() + b"\n")
        answer = json.loads(self.file.readline())
        if "error" in answer:
            raise RuntimeError(f"{self.module}.{name}: {answer['error']}")
        return answer["value"]

    def stop(self) -> None:
        if self.process is not None:
            self.file.close()
            self.socket.close()
            self.process.kill()
            self.process = None


class Proxy:
    """The proxy's end. `handle` is one connection; methods without an underscore can be called by the test."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.Task[None]] = set()
        self._hanging = False
        self._released = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if self._hanging:
                await self._released.wait()
            else:
                await self.handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # one side went away, or the test wanted it cut
        finally:
            self._open.discard(task)
            # Not in peace: what is under way has to look cut off.
            writer.transport.abort()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connection, "127.0.0.1", self._port, limit=1 << 20, backlog=512, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def accept(self, how: str) -> None:
        """`yes`; `refuse`: nobody listens, and what is open is cut; `hang`: connections are taken and nothing is said."""
        if how == "refuse":
            if self._server is not None:
                self._server.close()
                self._server = None
            self.cut()
        elif self._server is None:
            await self._listen()
        self._hanging = how == "hang"
        if not self._hanging:
            self._release()

    def cut(self) -> int:
        """Cuts every connection; how many there were."""
        open_now = list(self._open)
        for task in open_now:
            task.cancel()
        return len(open_now)

    def _release(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            name, arguments = json.loads(line)
            try:
                if name.startswith("_"):
                    raise ValueError("not to be called")
                value = getattr(self, name)(**arguments)
                answer = {"value": await value if asyncio.iscoroutine(value) else value}
            except Exception as error:  # told to the test, which fails
                answer = {"error": repr(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _serve(self) -> None:
        await self._listen()
        control = await asyncio.start_server(self._control, "127.0.0.1", 0)
        ports = {"listen": self._port, "control": control.sockets[0].getsockname()[1]}
        print(json.dumps(ports), flush=True)
        await asyncio.Event().wait()


def main(make: Callable[[str], Proxy]) -> None:
    """`python -m harness.MODULE TARGET`, until it is killed."""

    async def run() -> None:
        await make(sys.argv[1])._serve()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
