"""The life of `restante dev`: ready line, stop, start again, kill -9, a second start, the demonstration."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Api, Problem
from harness.pop3 import Pop3
from harness.process import wait_until
from harness.service import Embedded, address_of, environment

MESSAGE = b"Subject: kept\r\n\r\nHello.\r\n"


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Embedded]:
    service = Embedded(tmp_path / "data")
    yield service
    if service.process is not None:
        service.stop()


def provision(service: Embedded) -> tuple[str, str]:
    service.api.create_tenant("acme")
    service.api.create_domain("acme.test", "acme")
    service.api.create_account("alice@acme.test", "alice's password")
    return "alice@acme.test", "alice's password"


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def adopt_orphans() -> None:
    """From now on this process is the parent of servers whose parent was killed (PR_SET_CHILD_SUBREAPER)."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def test_the_ready_line_and_the_files(dev: Embedded) -> None:
    ready = dev.start()
    assert {"ready", "pop3", "pop3s", "lmtp", "admin", "ops", "admin_token", "data_dir"} <= set(ready)
    for name in ("pop3", "pop3s", "lmtp"):
        host, port = address_of(ready[name])
        assert host == "127.0.0.1" and 0 < port < 65536
    for name in ("admin", "ops"):
        assert urllib.parse.urlsplit(ready[name]).hostname == "127.0.0.1"
    token = dev.directory / "admin-token"
    assert token.read_text().strip() == ready["admin_token"]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert dev.directory.samefile(ready["data_dir"])
    # Nothing is provisioned without --demo.
    assert dev.api.items("/v1/tenants") == []
    with pytest.raises(Problem) as refused:
        dev.api.with_token(None).get("/v1/tenants")
    assert refused.value.status == 401
    document = dev.api.get("/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert dev.sql("SHOW fsync") == [["on"]] and dev.sql("SHOW data_checksums") == [["on"]]
    assert dev.sql("SHOW listen_addresses") == [[""]]
    if os.geteuid() == 0:
        assert Path(f"/proc/{dev.postmaster()[0]}").stat().st_uid != 0
    socket_directory = Path(dev.postmaster()[4])
    assert stat.S_IMODE(socket_directory.stat().st_mode) & 0o077 == 0
    # Only the ready line is on standard output.
    assert dev.process is not None and dev.process.popen.stdout is not None
    process = dev.process
    process.send(signal.SIGTERM)
    assert process.popen.stdout.read() == b""
    assert process.wait(60) == 0
    dev.process = None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_started_again_it_has_everything(dev: Embedded, number: signal.Signals) -> None:
    first = dev.start()
    address, password = provision(dev)
    for _ in range(3):
        dev.deliver([address], MESSAGE)
    with dev.open(address, password) as session:
        ids, texts = session.uidl(), session.retr_all()
        session.quit()
    postmaster = int(dev.postmaster()[0])
    assert dev.stop(number) == 0
    assert not running(postmaster)
    second = dev.start()
    assert second["admin_token"] == first["admin_token"]
    with dev.open(address, password) as session:
        assert session.uidl() == ids
        assert session.retr_all() == texts
        session.quit()


def test_a_killed_parent_leaves_no_server_behind(dev: Embedded) -> None:
    dev.start()
    address, password = provision(dev)
    dev.deliver([address], MESSAGE)
    postmaster = int(dev.postmaster()[0])
    dev.kill()
    wait_until("PostgreSQL has gone with its parent", lambda: not running(postmaster), 20)
    dev.start()
    with dev.open(address, password) as session:
        assert session.stat()[0] == 1
        session.quit()


def test_both_killed_at_once(dev: Embedded) -> None:
    """A stale pid file of a server that was killed too is no obstacle."""
    adopt_orphans()
    dev.start()
    address, password = provision(dev)
    dev.deliver([address], MESSAGE)
    postmaster = int(dev.postmaster()[0])
    os.kill(postmaster, signal.SIGSTOP)  # it cannot act on its parent's death
    dev.kill()
    os.kill(postmaster, signal.SIGKILL)
    # PostgreSQL takes a zombie for a server that still runs, and not every init collects them at once.
    os.waitpid(postmaster, 0)
    assert (dev.directory / "postgres" / "postmaster.pid").exists()
    dev.start()
    with dev.open(address, password) as session:
        assert session.stat()[0] == 1
        session.quit()


def test_a_postgres_that_dies_is_started_again(dev: Embedded) -> None:
    dev.start()
    address, password = provision(dev)
    dev.deliver([address], MESSAGE)
    postmaster = int(dev.postmaster()[0])
    os.kill(postmaster, signal.SIGKILL)

    def served() -> bool:
        try:
            with dev.open(address, password) as session:
                return session.stat()[0] == 1
        except Exception:  # a clear temporary error, or no database yet
            return False

    wait_until("mail is served again", served, 60, pause=0.5)
    assert int(dev.postmaster()[0]) != postmaster


def test_a_second_start_is_refused(dev: Embedded) -> None:
    dev.start()
    second = subprocess.run(dev.command(), env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode not in (0, 101)
    assert second.stdout == ""
    assert "in use" in second.stderr and str(dev.directory) in second.stderr
    dev.api.get("/v1/tenants")  # the first is not hurt


def test_a_port_in_use_is_named(dev: Embedded, embedded: Embedded) -> None:
    taken = embedded.ready["lmtp"]
    command = [word if word != "127.0.0.1:0" else taken for word in dev.command()]
    refused = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode not in (0, 101)
    assert taken in refused.stderr


def test_the_demonstration(dev: Embedded) -> None:
    """Two accounts with printed passwords and mail; a second start makes nothing twice and knows the same passwords."""
    dev.start("--demo")
    assert [each["slug"] for each in dev.api.items("/v1/tenants")] == ["demo"]
    addresses = [each["address"] for each in dev.api.items("/v1/accounts?tenant=demo")]
    assert addresses == ["alice@demo.test", "bob@demo.test"]
    counts = [check_demo_account(dev, address) for address in addresses]
    assert all(counts)
    dev.stop()
    dev.start("--demo")
    assert [check_demo_account(dev, address) for address in addresses] == counts


def check_demo_account(dev: Embedded, address: str) -> int:
    """Logs in with the printed password, in clear too, as the demonstration allows on loopback. How many messages there are."""
    printed = dev.log.read_text().split()
    password = printed[max(at for at, word in enumerate(printed) if word == address) + 2]
    with Pop3(dev.pop3[0]) as session:
        session.login(address, password)
        count = session.stat()[0]
        assert all(session.retr_all())
        session.quit()
    return count


def test_nothing_secret_is_logged(dev: Embedded) -> None:
    """No password, token or message text in the log, whatever went wrong; an unknown login name is not shown either."""
    dev.start()
    address, password = provision(dev)
    issued = dev.api.create_app_password(address, "phone")
    dev.deliver([address], b"Subject: very private subject\r\n\r\nvery private text\r\n")
    for user, secret in (
        (address, "a wrong secret"),
        ("my-typed-password", "x"),
        (address, issued["secret"]),
        (address, password),
    ):
        try:
            with dev.open(user, secret) as session:
                session.retr_all()
                session.quit()
        except Exception as refused:
            assert "[AUTH]" in str(refused)
    with pytest.raises(Problem):
        Api(dev.api.url, "rsk-wrong-token").get("/v1/tenants")
    dev.stop()
    log = dev.log.read_text()
    for secret in (
        "a wrong secret",
        "my-typed-password",
        issued["secret"],
        password,
        "very private",
        "rsk-wrong-token",
    ):
        assert secret not in log, secret
