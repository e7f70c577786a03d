"""A private PostgreSQL cluster: Unix socket in a private directory, fsync on, run as an ordinary user when we are root."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from .process import Process, ordinary_user, prefix_for, wait_until


def binaries() -> Path:
    """The directory of `initdb` and `postgres`: $PG_BIN, else the newest of Debian's, else what pg_config says."""
    named = os.environ.get("PG_BIN")
    if named:
        return Path(named)
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(re.sub(r"\D.*", "", path.parts[-3]) or 0),
    )
    if installed:
        return installed[-1].parent
    if shutil.which("pg_config"):
        found = Path(
            subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()
        )
        if (found / "postgres").exists():
            return found
    raise FileNotFoundError("no PostgreSQL server binaries: run tests/install (or: apt-get install postgresql)")


def psql(text: str, socket_directory: str | Path, database: str) -> list[list[str]]:
    """Runs statements as the superuser `postgres` and returns the rows as text (NULL is an empty string)."""
    done = subprocess.run(
        [binaries() / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
         "-h", socket_directory, "-U", "postgres", "-d", database],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"psql: {done.stderr.strip()}\n{text}")
    return [line.split("\x1f") for line in done.stdout.splitlines()]


class Postgres:
    """`with Postgres() as pg:` — `pg.url` is a URL for the superuser `postgres`; the cluster and its directory go at the end."""

    def __init__(self) -> None:
        self.bin = binaries()
        self.user = ordinary_user()
        # Short: a Unix socket's path has to fit into 107 octets.
        self.dir = Path(tempfile.mkdtemp(prefix="restante-pg-"))
        if self.user is not None:
            shutil.chown(self.dir, self.user)
        self.data = self.dir / "data"
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgres://postgres@{urllib.parse.quote(str(self.dir), safe='')}/{database}"

    def create(self) -> None:
        subprocess.run(
            [*prefix_for(self.user, "KILL"), self.bin / "initdb", "-D", self.data, "-U", "postgres", "--auth=trust",
             "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.dir,
        )  # fmt: skip

    def start(self, seconds: float = 60) -> None:
        """Starts the server and waits until it answers. After a kill it tries again while old back ends still go away."""

        def attempt() -> bool:
            if self.process is None or not self.process.alive():
                self.process = Process(
                    "postgres",
                    [self.bin / "postgres", "-D", self.data,
                     "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.dir}",
                     "-c", "fsync=on", "-c", "max_connections=300", "-c", "log_min_messages=warning"],
                    self.dir / "log",
                    cwd=self.dir,
                    user=self.user,
                    death_signal="INT",  # a fast shutdown
                )  # fmt: skip
            ready = subprocess.run([self.bin / "pg_isready", "-q", "-h", self.dir, "-U", "postgres"], check=False)
            return ready.returncode == 0

        try:
            wait_until("PostgreSQL answers", attempt, seconds, pause=0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.process.log_tail() if self.process else ''}") from None

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(signal.SIGINT, seconds=30)
            self.process = None

    def kill(self) -> None:
        """kill -9 of the server; its back ends notice and end by themselves."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def remove(self) -> None:
        shutil.rmtree(self.dir, ignore_errors=True)

    def sql(self, text: str, database: str = "postgres") -> list[list[str]]:
        return psql(text, self.dir, database)

    def __enter__(self) -> Postgres:
        try:
            self.create()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.remove()
