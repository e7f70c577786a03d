"""A private HAProxy: it takes connections on loopback and hands them on behind a PROXY protocol header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import ports
from .process import Process, wait_until

CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""

LISTENER = """
listen {name}
    bind 127.0.0.1:{port}
    server restante 127.0.0.1:{target} {how} check check-send-proxy inter 500ms
"""


class HaProxy:
    """`listeners` says for each name which port of Restante is behind it, and how the header is sent (`send-proxy-v2`)."""

    def __init__(self, directory: Path, listeners: Mapping[str, tuple[int, str]]) -> None:
        self.directory = directory
        self.listeners = listeners
        self.process: Process | None = None
        self.address: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> HaProxy:
        found = ports.free(len(self.listeners))
        text = CONFIGURATION
        for (name, (target, how)), port in zip(self.listeners.items(), found, strict=True):
            text += LISTENER.format(name=name, port=port, target=target, how=how)
            self.address[name] = ("127.0.0.1", port)
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "haproxy.cfg"
        file.write_text(text)
        process = Process(
            "haproxy", ["haproxy", "-db", "-f", file], self.directory / "haproxy.log", death_signal="TERM"
        )
        self.process = process
        wait_until("HAProxy listens", lambda: process.check_alive() and all(map(ports.open_port, found)), 20)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.stop()
