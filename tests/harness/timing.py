"""How long logins take to be refused, and whether the reasons can be told apart by it."""

from __future__ import annotations

import base64
import gc
import heapq
import itertools
import math
import random
import select
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 30


def kolmogorov_smirnov(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The greatest distance between the two distributions, and how likely it is at least that if they are the same one.

    >>> kolmogorov_smirnov(range(2000), range(2000))
    (0.0, 1.0)
    >>> distance, chance = kolmogorov_smirnov(range(2000), range(200, 2200))
    >>> round(distance, 2), chance < 1e-8
    (0.1, True)
    """
    first, second = sorted(one), sorted(other)
    n, m = len(first), len(second)
    i = j = 0
    distance = 0.0
    while i < n and j < m:
        value = min(first[i], second[j])
        while i < n and first[i] == value:
            i += 1
        while j < m and second[j] == value:
            j += 1
        distance = max(distance, abs(i / n - j / m))
    effective = math.sqrt(n * m / (n + m))
    scaled = (effective + 0.12 + 0.11 / effective) * distance
    if scaled < 0.2:  # the series does not converge there, and the chance is 1
        return distance, 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return distance, min(1.0, max(0.0, sum(terms)))


@dataclass(frozen=True)
class Path:
    """One way to be refused: who tries what, and how the answer begins."""

    name: str
    login: Callable[[int], str]
    secret: Callable[[int], str]
    answer: bytes


@dataclass
class Samples:
    """Milliseconds by path, and how many answers of a path were not its own: nothing was tried, because there were too many."""

    times: dict[str, list[float]] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)


class _Client:
    """A connection that tries one login after the other."""

    def __init__(self, address: tuple[str, int], source: str, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(address, timeout=PATIENCE_SECONDS, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        greeting = self.socket.recv(4096)
        if not greeting.startswith(b"+OK"):
            raise RuntimeError(f"{greeting!r}")
        self.socket.setblocking(False)
        self.path: Path | None = None
        self.sent = 0.0
        self.first = 0.0
        self.answer = b""

    def begin(self, path: Path, number: int) -> None:
        plain = f"\0{path.login(number)}\0{path.secret(number)}".encode()
        self.path, self.answer = path, b""
        self.socket.send(b"AUTH PLAIN %b\r\n" % base64.b64encode(plain))
        self.sent = time.perf_counter()

    def receive(self, now: float) -> bool:
        """Whether the answer is complete. What came without an octet of it (of TLS itself) does not count."""
        try:
            octets = self.socket.recv(4096)
        except ssl.SSLWantReadError:
            return False
        if not octets:
            raise ConnectionResetError("closed by the server")
        if not self.answer:
            self.first = now
        self.answer += octets
        return self.answer.endswith(b"\r\n")


def measure(
    address: tuple[str, int],
    context: ssl.SSLContext,
    paths: Sequence[Path],
    flood: Path,
    count: int,
    *,
    clients: int,
    flooders: int,
    seed: int,
) -> Samples:
    """`count` samples of each path in random order over `clients` connections from several networks, and of `flood`, which
    `flooders` connections from a network of their own try all the time, so that there is always a queue.
    """
    chance = random.Random(seed)
    order = [path for path in paths for _ in range(count)]
    chance.shuffle(order)
    samples = Samples({path.name: [] for path in (*paths, flood)}, dict.fromkeys((p.name for p in (*paths, flood)), 0))
    numbers = itertools.count(1)
    poll = select.epoll()
    by_fd: dict[int, _Client] = {}
    work: dict[int, Iterator[Path]] = {}
    waiting: list[tuple[float, int]] = []

    def taken() -> Iterator[Path]:
        while order:
            yield order.pop()

    def flooding() -> Iterator[Path]:
        while len(samples.times[flood.name]) < count or any(len(samples.times[path.name]) < count for path in paths):
            yield flood

    for at in range(clients + flooders):
        source, mine = (f"127.0.{at % 4 + 1}.1", taken()) if at < clients else ("127.0.99.1", flooding())
        client = _Client(address, source, context)
        fd = client.socket.fileno()
        by_fd[fd], work[fd] = client, mine
        poll.register(fd, select.EPOLLIN)
        heapq.heappush(waiting, (time.perf_counter() + chance.random(), fd))

    busy = 0
    gc.disable()
    try:
        while busy or waiting:
            soon = waiting[0][0] - time.perf_counter() if waiting else PATIENCE_SECONDS
            ready = poll.poll(max(0.0, soon)) if soon > 0 else []
            now = time.perf_counter()
            if not ready and not waiting:
                raise TimeoutError(f"{busy} logins are not answered")
            for fd, _ in ready:
                client = by_fd[fd]
                if not client.receive(now):
                    continue
                busy -= 1
                assert client.path is not None
                own = client.answer.startswith(client.path.answer)
                samples.others[client.path.name] += not own
                # Whatever the answer: to leave those out that met a crowd would leave out the crowded moments. Only of the
                # flood, which makes the crowd, the others are no samples: they had a turn.
                if own or client.path is not flood:
                    samples.times[client.path.name].append((client.first - client.sent) * 1000)
                heapq.heappush(waiting, (now + chance.uniform(0, PAUSE_SECONDS), fd))
            while waiting and waiting[0][0] <= time.perf_counter():
                _, fd = heapq.heappop(waiting)
                path = next(work[fd], None)
                if path is not None:
                    by_fd[fd].begin(path, next(numbers))
                    busy += 1
    finally:
        gc.enable()
        poll.close()
        for client in by_fd.values():
            client.socket.close()
    # Of the flood there are more: some of all the time, not those of its beginning.
    samples.times[flood.name] = chance.sample(samples.times[flood.name], count)
    return samples


def compared(times: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Distance and chance of every pair."""
    return {
        (one, other): kolmogorov_smirnov(times[one], times[other]) for one, other in itertools.combinations(times, 2)
    }


def medians(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(each) for name, each in times.items()}
