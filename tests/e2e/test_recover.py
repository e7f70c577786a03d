"""A database that was restored to an earlier day, and one that was lost: nothing is deleted, and everything comes back."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Api
from harness.postgres import Postgres
from harness.process import wait_until
from harness.service import Embedded, binary, environment

ADDRESS, PASSWORD = "alice@acme.test", "alice's password"
# Marks and sweeps come at once, and whatever may be deleted is deleted soon.
HASTY = {
    "RESTANTE_WORKER__MARK_INTERVAL_SECONDS": "1",
    "RESTANTE_WORKER__SWEEP_INTERVAL_SECONDS": "1",
    "RESTANTE_WORKER__SWEEP__GRACE_SECONDS": "10",
    "RESTANTE_POP3__SESSION_SECONDS": "4",
    "RESTANTE_WORKER__SWEEP__ORPHAN_AGE_SECONDS": "0",
    "RESTANTE_WORKER__SWEEP__UNREFERENCED_SECONDS": "0",
}


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Embedded]:
    service = Embedded(tmp_path / "data")
    yield service
    if service.process is not None:
        service.stop()


def message(text: str) -> bytes:
    return f"Subject: {text}\r\n\r\n{text}\r\n".encode()


def tool(service: Embedded, *words: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command of the operator, on the embedded parts, or on another database."""
    if url is None:
        url = f"postgres://postgres@{urllib.parse.quote(service.postmaster()[4], safe='')}/restante"
    env = environment(
        {
            "RESTANTE_DATABASE_URL": url,
            "RESTANTE_OBJECT_STORE_URL": f"file://{service.directory}/segments",
            "RESTANTE_MASTER_KEY_FILE": str(service.directory / "master-key"),
        }
    )
    return subprocess.run([binary(), *words], env=env, capture_output=True, text=True, timeout=120, check=False)


def objects(service: Embedded) -> set[str]:
    root = service.directory / "segments" / "v1" / "seg"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def listing(service: Embedded) -> tuple[list[str], list[bytes]]:
    with service.open(ADDRESS, PASSWORD) as session:
        ids, texts = list(session.uidl().values()), session.retr_all()
        session.quit()
    return ids, texts


def marks(service: Embedded) -> int:
    return int(service.sql("SELECT mark FROM restante.catalog")[0][0])


def provision(service: Embedded) -> None:
    service.api.create_tenant("acme")
    service.api.create_domain("acme.test", "acme")
    service.api.create_account(ADDRESS, PASSWORD)


def test_a_restored_database_recovers(dev: Embedded, tmp_path: Path) -> None:
    dev.start(env=HASTY)
    provision(dev)
    for n in range(3):
        dev.deliver([ADDRESS], message(f"before {n}"))
    wait_until("the bucket is marked", lambda: marks(dev) >= 1, 30)
    dev.stop()
    # A copy of the volume: the same timeline, the same server.
    subprocess.run(["cp", "-a", dev.directory / "postgres", tmp_path / "copy"], check=True)

    dev.start(env=HASTY)
    for n in range(3):
        dev.deliver([ADDRESS], message(f"after {n}"))
    with dev.open(ADDRESS, PASSWORD) as session:
        session.dele(1)
        session.quit()
    ids, texts = listing(dev)
    assert len(ids) == 5
    before = marks(dev)
    wait_until("the bucket is marked again", lambda: marks(dev) >= before + 2, 30)
    held = objects(dev)
    dev.stop()

    shutil.rmtree(dev.directory / "postgres")
    subprocess.run(["cp", "-a", tmp_path / "copy", dev.directory / "postgres"], check=True)
    dev.start(env=HASTY)
    ops = Api(dev.ready["ops"], None)
    assert ops.get("/readyz")["notices"] == {"catalog": "attention"}, "it serves, and says what is wrong"
    assert "restante recover" in dev.log.read_text()
    assert dev.sql("SELECT sweep_state FROM restante.catalog") == [["0"]]
    dev.deliver([ADDRESS], message("after 1"))  # its sender tries again
    dev.deliver([ADDRESS], message("new"))
    now, _ = listing(dev)
    assert len(now) == 5 and set(ids) & set(now) == set(ids[:2])
    assert held <= objects(dev), "nothing is deleted"

    refused = tool(dev, "recover")
    assert refused.returncode == 1 and "--yes" in refused.stderr
    done = tool(dev, "recover", "--yes")
    assert done.returncode == 0, done.stderr
    assert "2 messages are back, 1 were delivered again" in done.stdout, done.stdout
    ids_now, texts_now = listing(dev)
    assert ids_now[: len(now)] == now and ids_now[len(now) :] == [ids[2], ids[4]]
    assert [texts_now[-2], texts_now[-1]] == [texts[2], texts[4]], "the same octets"
    assert ops.get("/readyz")["notices"] == {"catalog": "ok"}
    count = marks(dev)
    wait_until("marks go on", lambda: marks(dev) > count, 30)
    assert dev.sql("SELECT sweep_state FROM restante.catalog") == [["1"]]
    report = tool(dev, "fsck", "--deep", "--json")
    assert report.returncode == 0, report.stdout + report.stderr
    assert json.loads(report.stdout)["messages"] == 7


def test_a_lost_database_is_rebuilt(dev: Embedded) -> None:
    dev.start(env=HASTY)
    provision(dev)
    for n in range(5):
        dev.deliver([ADDRESS], message(f"text {n}"))
    ids, texts = listing(dev)
    # A whole round after the tenant was made: its slug goes up with a mark.
    before = marks(dev)
    wait_until("the bucket is marked", lambda: marks(dev) >= before + 2, 30)
    assert tool(dev, "fsck", "--rebuild", "--yes").returncode == 2, "not over what is there"
    dev.stop()
    shutil.rmtree(dev.directory / "postgres")
    with Postgres() as postgres:
        where = {**HASTY, "RESTANTE_DATABASE_URL": postgres.url}
        assert tool(dev, "migrate", url=postgres.url).returncode == 0
        refused = tool(dev, "fsck", "--rebuild", url=postgres.url)
        assert refused.returncode == 2 and "does not bring back: passwords" in refused.stderr
        done = tool(dev, "fsck", "--rebuild", "--yes", url=postgres.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 tenants, 1 domains, 1 accounts, 5 messages are back" in done.stdout
        dev.start(env=where)
        dev.api.call("PATCH", "/v1/tenants/acme", {"status": "active"})
        dev.api.call("PUT", f"/v1/accounts/{ADDRESS}/password", {"password": PASSWORD})
        dev.api.call("PATCH", f"/v1/accounts/{ADDRESS}", {"status": "active"})
        assert listing(dev) == (ids, texts)
        assert tool(dev, "fsck", "--deep", url=postgres.url).returncode == 0
        dev.stop()


def test_findings_and_failures_have_their_exit_codes(dev: Embedded) -> None:
    dev.start()
    provision(dev)
    dev.deliver([ADDRESS], message("one"))
    assert tool(dev, "fsck", "--deep", "--tenant", "acme").returncode == 0
    assert tool(dev, "fsck", "--tenant", "nobody").returncode == 2
    dev.sql("UPDATE restante.maildrops SET live_messages = 9")
    found = tool(dev, "fsck")
    assert found.returncode == 1 and found.stdout.startswith("counters: "), found.stdout
    assert tool(dev, "fsck", "--repair").returncode == 0
    assert tool(dev, "fsck").returncode == 0


def test_keys_are_listed_rotated_and_erased(dev: Embedded) -> None:
    dev.start()
    provision(dev)
    dev.deliver([ADDRESS], message("one"))
    listed = tool(dev, "keys", "list")
    assert listed.returncode == 0 and "needed by 1 data keys, 0 app passwords" in listed.stdout, listed.stdout
    assert "1 data keys made" in tool(dev, "keys", "rotate", "--data", "--tenant", "acme").stdout
    assert listing(dev)[1]
    refused = tool(dev, "keys", "erase", "--tenant", "acme", "--yes")
    assert refused.returncode == 1 and "is active" in refused.stderr
    dev.api.call("PATCH", "/v1/tenants/acme", {"status": "suspended"})
    assert tool(dev, "keys", "erase", "--tenant", "acme").returncode == 1, "nobody said yes"
    assert (
        "2 data keys of acme erased, 2 objects removed"
        in tool(dev, "keys", "erase", "--tenant", "acme", "--yes").stdout
    )
    events = dev.sql("SELECT action FROM restante.audit_events WHERE actor = 'command:keys' ORDER BY event_id")
    assert events == [["keys.rotate"], ["keys.erase"]]
