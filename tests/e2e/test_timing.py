"""The reason why a login is refused cannot be told from how long that takes."""

from __future__ import annotations

import time
from pathlib import Path as File

import pytest

from harness import report
from harness.service import Embedded
from harness.tenants import new_tenant
from harness.timing import Path, compared, measure, medians

SAMPLES = 2000
ALPHA = 0.01
SEED = 20261124
# As it is by default: nothing here is made shorter for the test.
MOMENT_MS = 1000

SETTINGS = {
    # One hash at a time and a short queue: it is full all the time, and who does not fill it gets a turn all the same.
    "RESTANTE_DIRECTORY__ARGON2_PARALLEL": "1",
    "RESTANTE_DIRECTORY__ARGON2_QUEUE": "16",
    # Everything comes from this machine and is wrong on purpose: it would be slowed down, which is not the question here.
    "RESTANTE_DIRECTORY__SLOW_DOWN__NETWORK_FAILURES": "1000000000",
    "RESTANTE_DIRECTORY__SLOW_DOWN__ACCOUNT_FAILURES": "1000000000",
    "RESTANTE_POP3__MAX_CONNECTIONS_PER_ADDRESS": "500",
    "RESTANTE_POP3__LOGIN_SECONDS": "3600",
}


@pytest.mark.soak
@pytest.mark.only_soak
@pytest.mark.timeout(1800)
def test_reasons_cannot_be_told_apart_by_time(tmp_path: File) -> None:
    service = Embedded(tmp_path / "data")
    service.start(env=SETTINGS)
    try:
        tenant, flooded = new_tenant(service), new_tenant(service)
        alice, suspended, expired = (tenant.add(name) for name in ("alice", "suspended", "expired"))
        service.api.call("PATCH", f"/v1/accounts/{suspended}", {"status": "suspended"})
        app_password = service.api.create_app_password(expired, "old")["secret"]
        service.sql("UPDATE restante.credentials SET expires_at = now() - interval '1 day' WHERE kind = 2")
        busy = flooded.add("busy")

        wrong = b"-ERR [AUTH] wrong"
        paths = [
            Path("unknown account", lambda n: f"nobody{n}@{tenant.domain}", lambda n: f"secret {n}", wrong),
            Path("wrong password", lambda _: alice, lambda n: f"secret {n}", wrong),
            Path("the same wrong password again", lambda _: alice, lambda _: "always the same", wrong),
            Path("suspended account", lambda _: suspended, lambda _: tenant.password, b"-ERR [SYS/PERM] the account"),
            Path("expired app password", lambda _: expired, lambda _: app_password, wrong),
        ]
        full = Path("full queue", lambda _: busy, lambda n: f"secret {n}", b"-ERR [SYS/TEMP] too many logins at")
        began = time.monotonic()
        login = service.login(alice, tenant.password)
        samples = measure(service.pop3s[0], login.context(), paths, full, SAMPLES, clients=40, flooders=80, seed=SEED)
        seconds = time.monotonic() - began
    finally:
        service.stop()

    pairs = compared(samples.times)
    middle = medians(samples.times)
    least = ALPHA / len(pairs)
    closest = min(pairs, key=lambda pair: pairs[pair][1])
    late = {name: sum(each > 1.5 * MOMENT_MS for each in times) for name, times in samples.times.items()}
    print({name: (round(middle[name], 3), late[name], samples.others[name]) for name in middle})
    print({pair: (round(distance, 4), round(chance, 4)) for pair, (distance, chance) in pairs.items()})
    report.write(
        File(__file__).parents[2] / "docs" / "soak.md",
        "refused logins by the time that they take",
        {
            "samples of each path": SAMPLES,
            **{
                f"{name}: median; later than one moment": f"{each:.2f} ms; {late[name]}"
                for name, each in middle.items()
            },
            "of these not tried, because there were too many": sum(samples.others[path.name] for path in paths),
            "medians differ by": f"{max(middle.values()) - min(middle.values()):.3f} ms",
            "least chance of a pair to be one distribution (Kolmogorov-Smirnov)": f"{pairs[closest][1]:.4f} ({' / '.join(closest)})",
            f"told apart below ({ALPHA} over {len(pairs)} pairs)": f"{least:.5f}",
            "seconds": round(seconds),
        },
    )
    told_apart = {pair: found for pair, found in pairs.items() if found[1] < least}
    assert not told_apart, told_apart
    assert max(middle.values()) - min(middle.values()) < 1, middle
    # The paths were those that they are called after.
    assert all(samples.others[path.name] < SAMPLES / 2 for path in paths), samples.others
