"""Free ports on loopback for servers that cannot be told to pick one themselves."""

from __future__ import annotations

import random
import socket

# Below those that the kernel gives to outgoing connections (32768 and up), so that none of these takes one before its server does;
# low enough that 10000 more still are.
PORTS = range(10000, 22768)

# What this process was given: others that run tests beside it do not get it before this process ends.
_held: list[socket.socket] = []


def free(count: int, beside: tuple[int, ...] = ()) -> list[int]:
    """`count` different ports that nobody listens on and nobody else was given; the ports so far `beside` each are free as well."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if all(_take(port + distance) for distance in (0, *beside)):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def _take(port: int) -> bool:
    """A name in the abstract namespace belongs to one process, and is given back however that ends."""
    mark = socket.socket(socket.AF_UNIX)
    probe = socket.socket()
    # What a server before this one left in TIME-WAIT is in nobody's way.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        mark.bind(f"\0restante-test-port-{port}")
        probe.bind(("127.0.0.1", port))
    except OSError:
        mark.close()
        return False
    finally:
        probe.close()
    _held.append(mark)
    return True


def open_port(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
