"""Free ports on loopback for servers that cannot be told to pick one themselves."""

from __future__ import annotations

import socket


def free(count: int, highest: int = 65535) -> list[int]:
    """`count` different ports that nobody listens on now, none above `highest`."""
    held: list[socket.socket] = []
    found: list[int] = []
    try:
        for _ in range(1000):
            probe = socket.socket()
            held.append(probe)
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port <= highest:
                found.append(port)
            if len(found) == count:
                return found
    finally:
        for probe in held:
            probe.close()
    raise RuntimeError("no free ports")


def open_port(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
