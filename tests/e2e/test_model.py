"""The mailstore against its model, for long: services/mailstore/tests/it/model.rs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import report

ROOT = Path(__file__).resolve().parents[2]
STEPS = 10_000
SEED = 20261124


@pytest.mark.soak
@pytest.mark.only_soak
@pytest.mark.timeout(3600)
def test_ten_thousand_random_steps_agree_with_the_model() -> None:
    began = time.monotonic()
    run = subprocess.run(
        [
            *(ROOT / "tests/with-postgres", "cargo", "nextest", "run", "--locked", "--workspace", "--no-capture"),
            *("-E", "package(mailstore) & test(model::)"),
        ],
        cwd=ROOT,
        env={**os.environ, "RUST_BACKTRACE": "0", "RESTANTE_MODEL_STEPS": str(STEPS), "RESTANTE_MODEL_SEED": str(SEED)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3500,
        check=False,
    )
    found = re.search(r"^model: (\d+) steps, (\d+) stops, seed (\d+)$", run.stdout, re.MULTILINE)
    assert run.returncode == 0 and found, run.stdout[-8000:]
    steps, stops, seed = found.groups()
    rows = {
        "random steps of two processes": steps,
        "stops of both at a random fail point": stops,
        "seed": seed,
        "steps whose outcome was not the model's": "0",
        "seconds": f"{time.monotonic() - began:.0f}",
    }
    report.write(ROOT / "docs" / "soak.md", "the mailstore against a model of it", rows)
