"""Restante as it is run: `Embedded` is `restante dev`, `Cluster` is several `restante serve` on one PostgreSQL and one bucket."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import ports
from .api import Api
from .clients import Login
from .lmtp import Lmtp
from .pop3 import Pop3
from .postgres import Postgres, psql
from .process import Process, wait_until
from .seaweed import SeaweedFs

Address = tuple[str, int]
LISTEN = ("pop3", "pop3s", "lmtp", "admin", "ops")


def binary() -> Path:
    """The program under test: $RESTANTE_BINARY, as the Makefile sets it."""
    named = os.environ.get("RESTANTE_BINARY")
    if not named or not Path(named).exists():
        raise FileNotFoundError("RESTANTE_BINARY names no program: run `make e2e`")
    return Path(named)


def address_of(text: str) -> Address:
    host, _, port = text.removeprefix("http://").rpartition(":")
    return host, int(port)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure Restante, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RESTANTE_", "AWS_"))}
    return {**kept, **(more or {})}


class Service:
    """What the tests use of a running service, however it runs."""

    pop3: list[Address]
    pop3s: list[Address]
    lmtp: Address
    api: Api
    certificate: Path

    def sql(self, text: str) -> list[list[str]]:
        raise NotImplementedError

    def login(self, user: str, password: str, frontend: int = 0) -> Login:
        at = frontend % len(self.pop3)
        return Login(self.pop3[at][1], self.pop3s[at][1], user, password, self.certificate)

    def open(self, user: str, password: str, *, tls: str | None = "implicit", frontend: int = 0) -> Pop3:
        """A session in TRANSACTION."""
        login = self.login(user, password, frontend)
        session = Pop3(("127.0.0.1", login.port(tls or "stls")), tls=tls, context=login.context())
        return session.login(user, password)

    def deliver(self, recipients: list[str], message: bytes, reverse_path: str = "sender@sender.test") -> None:
        """One message that has to be accepted for all."""
        with Lmtp(self.lmtp) as session:
            for reply in session.deliver(reverse_path, recipients, message):
                if reply.code != 250:
                    raise AssertionError(f"{recipients}: {reply}")


class Embedded(Service):
    """`restante dev` on `directory`; `start` reads the ready line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.parent / f"{directory.name}.log"
        self.process: Process | None = None
        self.ready: dict[str, Any] = {}
        self.certificate = directory / "tls" / "cert.pem"

    def command(self, *more: str) -> list[str | Path]:
        listen = [word for name in LISTEN for word in (f"--{name}-listen", "127.0.0.1:0")]
        return [binary(), "dev", "--data-dir", self.directory, *listen, *more]

    def start(self, *more: str, seconds: float = 90, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.process = Process(
            "restante dev", self.command(*more), self.log, env=environment(env), death_signal="TERM", pipe_stdout=True
        )
        self.ready = self._ready_line(seconds)
        self.pop3, self.pop3s = [address_of(self.ready["pop3"])], [address_of(self.ready["pop3s"])]
        self.lmtp = address_of(self.ready["lmtp"])
        self.api = Api(self.ready["admin"], self.ready["admin_token"])
        return self.ready

    def _ready_line(self, seconds: float) -> dict[str, Any]:
        assert self.process is not None and self.process.popen.stdout is not None
        out = self.process.popen.stdout
        end = time.monotonic() + seconds
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no ready line within {seconds:g} s\n{self.process.log_tail()}")
            octets = os.read(out.fileno(), 65536)
            if not octets:
                self.process.wait(10)
                self.process.check_alive()
            line += octets
        ready = json.loads(line)
        assert ready["ready"] is True, ready
        return ready

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        assert self.process is not None
        code = self.process.stop(number, seconds)
        self.process = None
        return code

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process = None

    def postmaster(self) -> list[str]:
        """The lines of the embedded server's pid file: its pid is the first, its socket's directory the fifth."""
        return (self.directory / "postgres" / "postmaster.pid").read_text().splitlines()

    def sql(self, text: str) -> list[list[str]]:
        return psql(text, self.postmaster()[4], "restante")

    def __enter__(self) -> Embedded:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.stop()


CONFIGURATION = """\
[log]
format = "text"

[ops]
listen = "127.0.0.1:{ops}"

[shutdown]
grace_seconds = 5

[tls]
certificate = "{directory}/cert.pem"
key = "{directory}/key.pem"

[pop3]
listen = ["127.0.0.1:{pop3}"]
listen_tls = ["127.0.0.1:{pop3s}"]
max_connections_per_address = {pop3_connections}
max_sessions_per_account = {pop3_sessions}

[pop3.desk]
report_seconds = 1
live_after_seconds = 1
end_seconds = 1

[lmtp]
listen = ["127.0.0.1:{lmtp}"]
host = "mx.restante.test"

[admin]
listen = ["127.0.0.1:{admin}"]

[egress]
allow = ["127.0.0.0/8"]

[worker.jobs]
poll_ms = 100
claim_seconds = 3
"""


class Cluster(Service):
    """A PostgreSQL, a SeaweedFS, and `serve` processes by name: pop3-1, pop3-2, lmtp, admin, worker; each a role of its own."""

    NAMES = ("pop3-1", "pop3-2", "lmtp", "admin", "worker")

    def __init__(self, directory: Path, *, pop3_connections: int = 100, pop3_sessions: int = 20) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.bounds = {"pop3_connections": pop3_connections, "pop3_sessions": pop3_sessions}
        self.postgres = Postgres()
        self.store = SeaweedFs(directory / "seaweed")
        self.master_key = "k1:" + base64.b64encode(b"restante's key for its own tests"[:32].ljust(32, b".")).decode()
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, dict[str, int]] = {}
        self.certificate = directory / "cert.pem"
        self._make_certificate()

    def _make_certificate(self) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", self.directory / "key.pem", "-out", self.certificate, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"],
            check=True, capture_output=True,
        )  # fmt: skip

    def url_for(self, user: str) -> str:
        return self.postgres.url.replace("postgres://postgres@", f"postgres://{user}@", 1)

    def store_url(self) -> str:
        return self.store.url

    def environment(self) -> dict[str, str]:
        """Every role comes to the database under its own name; nobody but the owner is the superuser."""
        roles = {
            f"RESTANTE_DATABASE_URL_{role.upper()}": self.url_for(f"restante_{role}")
            for role in ("pop3", "lmtp", "admin", "worker")
        }
        return environment(
            {
                **roles,
                "RESTANTE_DATABASE_URL_OWNER": self.postgres.url,
                "RESTANTE_OBJECT_STORE_URL": self.store_url(),
                "RESTANTE_MASTER_KEY": self.master_key,
                **self.store.environment,
            }
        )

    def run(self, *words: str, seconds: float = 120) -> str:
        """A command of the program in the cluster's environment; its standard output."""
        done = subprocess.run(
            [binary(), *words], env=self.environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"restante {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout

    def configuration(self, name: str) -> Path:
        if name not in self.ports:
            self.ports[name] = dict(zip(LISTEN, ports.free(len(LISTEN)), strict=True))
        path = self.directory / f"{name}.toml"
        path.write_text(CONFIGURATION.format(directory=self.directory, **self.bounds, **self.ports[name]))
        return path

    def start(self, name: str, seconds: float = 60) -> None:
        """Starts one process and waits until it says that it is ready."""
        role = name.partition("-")[0]
        process = Process(
            name,
            [binary(), "serve", "--config", self.configuration(name), "--role", role],
            self.directory / f"{name}.log",
            env=self.environment(),
            death_signal="TERM",
        )
        self.processes[name] = process
        wait_until(f"{name} is ready", lambda: process.check_alive() and self.is_ready(name), seconds)

    def is_ready(self, name: str) -> bool:
        try:
            return Api(f"http://127.0.0.1:{self.ports[name]['ops']}", None).get("/readyz") is not None
        except Exception:  # refused, reset, or 503: not ready
            return False

    def kill(self, name: str) -> None:
        self.processes.pop(name).kill()

    def __enter__(self) -> Cluster:
        try:
            self.postgres.__enter__()
            self.store.start()
            self.run("migrate")
            token = self.run("admin", "token").strip()
            for name in self.NAMES:
                self.start(name)
        except BaseException:
            self.__exit__()
            raise
        frontends = [self.ports[name] for name in self.NAMES if name.startswith("pop3")]
        self.pop3 = [("127.0.0.1", each["pop3"]) for each in frontends]
        self.pop3s = [("127.0.0.1", each["pop3s"]) for each in frontends]
        self.lmtp = ("127.0.0.1", self.ports["lmtp"]["lmtp"])
        self.api = Api(f"http://127.0.0.1:{self.ports['admin']['admin']}", token)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.send(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.processes.clear()
        self.store.__exit__()
        self.postgres.__exit__()

    def sql(self, text: str) -> list[list[str]]:
        return self.postgres.sql(text)
