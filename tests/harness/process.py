"""Child processes that cannot outlive the test run.

Every server a test starts is started here: the kernel ends it when the thread that started it goes away (`setpriv --pdeathsig`),
its output goes to a file, and stopping it is bounded in time. Only processes started here are ever signalled.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class ProcessDied(RuntimeError):
    """A server ended while a test waited for it; the text holds the end of its log."""


def wait_until(what: str, condition: Callable[[], object], seconds: float, pause: float = 0.02):
    """Polls `condition` until it is true and returns its value; after `seconds` raises TimeoutError naming `what`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def ordinary_user() -> str | None:
    """The system user that servers run as which refuse root; None when this process is not root itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    raise RuntimeError("neither the user postgres nor the user nobody exists")


def prefix_for(user: str | None, death_signal: str | None) -> list[str]:
    """The `setpriv` words before a command: the user it runs as and the signal it gets when we die."""
    words = ["setpriv"]
    if user is not None:
        words += [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups"]
    if death_signal is not None:
        words.append(f"--pdeathsig={death_signal}")
    return [*words, "--"] if len(words) > 1 else []


class Process:
    """One server process. Standard error (and output, unless `stdout` is piped) goes to `log`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        death_signal: str = "KILL",
        pipe_stdout: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                [*prefix_for(user, death_signal), *map(os.fspath, argv)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe_stdout else out,
                stderr=out,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                # A group of its own: Ctrl-C at the terminal reaches the test run, which then stops the servers in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def check_alive(self) -> bool:
        """True; raises ProcessDied with the end of the log when the process has ended."""
        if not self.alive():
            raise ProcessDied(f"{self.name} ended with {self.popen.returncode}\n{self.log_tail()}")
        return True

    def log_tail(self, octets: int = 4000) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - octets))
            return file.read().decode("utf-8", "replace")

    def send(self, number: int) -> None:
        if self.alive():
            self.popen.send_signal(number)

    def wait(self, seconds: float) -> int:
        return self.popen.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL, and waits until the kernel has taken the process away."""
        self.send(signal.SIGKILL)
        self.wait(10)
        self._close()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> int:
        """Asks the process to end and returns its exit code; after `seconds` it is killed and TimeoutExpired raised."""
        self.send(number)
        try:
            code = self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._close()
        return code

    def _close(self) -> None:
        if self.popen.stdout is not None:
            self.popen.stdout.close()
