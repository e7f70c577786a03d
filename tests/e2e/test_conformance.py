"""POP3 against the standards: every requirement passes, and what docs/pop3-conformance.md says is what a run finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import report

ROOT = Path(__file__).resolve().parents[2]


def suite(*words: str | Path, seconds: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "conformance", *words],
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12000:]
    return done.stdout


@pytest.mark.timeout(600)
def test_every_requirement_passes() -> None:
    table = ROOT / "docs" / "pop3-conformance.md"
    print(suite("--profile", "restante", "--profile", "dovecot", "--check", table, seconds=590))


@pytest.mark.soak
@pytest.mark.only_soak
@pytest.mark.timeout(3600)
def test_every_deliberate_fault_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTANTE_BINARY", os.environ["RESTANTE_FAULTS_BINARY"])
    noticed = suite("--faults", seconds=3590)
    print(noticed)
    rows = [line.strip("| ").split(" | ") for line in noticed.splitlines() if line.startswith("| ")]
    report.write(ROOT / "docs" / "soak.md", "deliberate faults of POP3 and the cases that notice them", dict(rows[2:]))
