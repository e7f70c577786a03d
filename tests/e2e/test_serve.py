"""`restante serve`: configuration, listeners, health, and what a lost part does to the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import ports
from harness.api import Api, Problem
from harness.process import Process, wait_until
from harness.service import Cluster, binary
from harness.tenants import new_tenant

MESSAGE = b"Subject: a test\r\n\r\nHello.\r\n"


def check(
    cluster: Cluster, tmp_path: Path, text: str, *more: str, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """`restante config check` on a file; exit code and all that was said."""
    path = tmp_path / "restante.toml"
    path.write_text(text)
    done = subprocess.run(
        [binary(), "config", "check", "--config", path, *more],
        env=cluster.environment() if env is None else env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_config_check_proves_a_configuration(cluster: Cluster, tmp_path: Path) -> None:
    text = cluster.configuration("lmtp").read_text()
    code, said = check(cluster, tmp_path, text)
    assert code == 0, said
    code, said = check(cluster, tmp_path, text, "--connect")
    assert code == 0, said
    for secret in (cluster.master_key.partition(":")[2], cluster.store.environment["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in said


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ('[lmtp]\nlisten = ["0.0.0.0:2424"]\n', "lmtp.peers"),
        ('[lmtp]\nlisten = ["127.0.0.1:24"]\npeers = ["0.0.0.0/0"]\n', "lmtp.peers"),
        ("[pop3]\nno_such_key = 1\n", "no_such_key"),
        ("[no_such_section]\n", "no_such_section"),
        ('[pop3]\nidle_seconds = "soon"\n', "idle_seconds"),
        ('[tls]\ncertificate = "/nowhere/cert.pem"\n', "tls.key"),
        ('[tls]\ncertificate = "/nowhere/cert.pem"\nkey = "/nowhere/key.pem"\n', "/nowhere/"),
        ("[lmtp\n", "restante.toml"),
    ],
)
def test_config_check_names_what_is_wrong(cluster: Cluster, tmp_path: Path, wrong: str, named: str) -> None:
    code, said = check(cluster, tmp_path, wrong)
    assert code not in (0, 101), said
    assert named in said, said


def test_without_a_master_key_nothing_starts(cluster: Cluster, tmp_path: Path) -> None:
    env = {name: value for name, value in cluster.environment().items() if name != "RESTANTE_MASTER_KEY"}
    code, said = check(cluster, tmp_path, cluster.configuration("lmtp").read_text(), env=env)
    assert code != 0 and "RESTANTE_MASTER_KEY" in said
    done = subprocess.run(
        [binary(), "serve", "--config", cluster.configuration("lmtp"), "--role", "lmtp"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode not in (0, 101) and "RESTANTE_MASTER_KEY" in done.stderr


def test_serve_refuses_an_open_lmtp_listener(cluster: Cluster) -> None:
    env = {**cluster.environment(), "RESTANTE_LMTP__LISTEN": f'["0.0.0.0:{ports.free(1)[0]}"]'}
    done = subprocess.run(
        [binary(), "serve", "--config", cluster.configuration("lmtp"), "--role", "lmtp"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode not in (0, 101)
    assert "lmtp.peers" in done.stderr


def test_passwords_in_clear_are_refused(cluster: Cluster) -> None:
    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    with pytest.raises(Exception, match="-ERR") as refused, cluster.open(address, tenant.password, tls=None):
        pass
    assert tenant.password not in str(refused.value)


def test_migrate_runs_again_and_does_nothing(cluster: Cluster) -> None:
    before = cluster.sql("SELECT count(*) FROM pg_class")
    cluster.run("migrate")
    assert cluster.sql("SELECT count(*) FROM pg_class") == before


def test_health_and_metrics(cluster: Cluster) -> None:
    for name in cluster.NAMES:
        ops = Api(f"http://127.0.0.1:{cluster.ports[name]['ops']}", None)
        ops.get("/healthz")
        ops.get("/readyz")
        metrics = ops.get("/metrics")
        text = metrics.decode() if isinstance(metrics, bytes) else str(metrics)
        assert "restante_" in text
        assert ".test" not in text, "an address or a domain in a metric"


def test_a_store_that_is_away_is_a_temporary_error(cluster: Cluster) -> None:
    """451 to LMTP while it is away, 250 again afterwards; POP3 still lists; nothing is half delivered."""
    from harness.lmtp import Lmtp

    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    cluster.deliver([address], MESSAGE)
    cluster.store.kill()
    try:
        with Lmtp(cluster.lmtp, seconds=120) as session:
            reply = session.deliver("s@sender.test", [address], MESSAGE)[0]
        assert reply.code // 100 == 4 and reply.enhanced.startswith("4."), reply
        with cluster.open(address, tenant.password) as session:
            assert session.stat()[0] == 1
            session.quit()
    finally:
        cluster.store.start()
    cluster.deliver([address], MESSAGE)
    with cluster.open(address, tenant.password, frontend=1) as session:
        assert session.stat()[0] in (2, 3)
        assert all(session.retr_all())
        session.quit()


def test_a_database_that_is_away_is_a_temporary_error(cluster: Cluster) -> None:
    """Every protocol says so in its own words, and serves again when it is back, without a restart."""
    from harness.lmtp import Lmtp

    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    cluster.deliver([address], MESSAGE)
    cluster.postgres.kill()
    try:
        with Lmtp(cluster.lmtp, seconds=120) as session:
            reply = session.deliver("s@sender.test", [address], MESSAGE)[0]
            assert reply.code == 451 and reply.enhanced.startswith("4."), reply
        with pytest.raises(Exception, match=r"-ERR \[SYS/TEMP\]"):
            cluster.open(address, tenant.password)
        with pytest.raises(Problem) as refused:
            cluster.api.account(address)
        assert refused.value.status == 503
        wait_until("the processes say that they are not ready", lambda: not cluster.is_ready("lmtp"), 20)
    finally:
        cluster.postgres.start()
    wait_until("all are ready again", lambda: all(map(cluster.is_ready, cluster.NAMES)), 30)
    cluster.deliver([address], MESSAGE)
    with cluster.open(address, tenant.password) as session:
        assert session.stat()[0] in (2, 3)
        session.quit()


def test_a_drained_frontend_finishes_what_it_began(cluster: Cluster, tmp_path: Path) -> None:
    """SIGTERM: the next command of a session is told to come again, QUIT still counts, the exit code is 0."""
    tenant = new_tenant(cluster)
    address = tenant.add("ada")
    for _ in range(3):
        cluster.deliver([address], MESSAGE)
    one_more = dict(zip(("pop3", "pop3s", "lmtp", "admin", "ops"), ports.free(5), strict=True))
    cluster.ports["pop3-9"] = one_more
    process = Process(
        "pop3-9",
        [binary(), "serve", "--config", cluster.configuration("pop3-9"), "--role", "pop3"],
        tmp_path / "log",
        env=cluster.environment(),
    )
    wait_until("the frontend is ready", lambda: process.check_alive() and cluster.is_ready("pop3-9"), 30)
    from harness.pop3 import Pop3, Refused

    context = cluster.login("", "").context()
    quits, goes_on = (
        Pop3(("127.0.0.1", one_more["pop3s"]), tls="implicit", context=context).login(address, tenant.password)
        for _ in range(2)
    )
    quits.dele(1)
    process.send(15)
    wait_until("it drains", lambda: not cluster.is_ready("pop3-9"), 10)
    quits.quit()
    with pytest.raises(Refused, match=r"\[SYS/TEMP\]"):
        goes_on.command("STAT")
    assert process.wait(20) == 0
    with cluster.open(address, tenant.password) as session:
        assert session.stat()[0] == 2
        session.quit()


def test_an_environment_variable_overrides_the_file(cluster: Cluster, tmp_path: Path) -> None:
    env = {**cluster.environment(), "RESTANTE_LMTP__MAX_MESSAGE_OCTETS": "0"}
    code, said = check(cluster, tmp_path, cluster.configuration("lmtp").read_text(), env=env)
    assert code != 0 and "max_message_octets" in said, said
