"""Does the suite notice? Runs it against binaries with one deliberate fault each, and wants every one to fail.

The binary is built with the cargo feature `faults`; `RESTANTE_FAULT=NAME` switches one on. Their names are the variants of the
enumeration in services/pop3-proto/src/faults.rs.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from . import runner, wire
from .case import Case, Result, Verdict
from .profiles import PROFILES
from .server import Started

SOURCE = Path(__file__).resolve().parents[2] / "services/pop3-proto/src/faults.rs"
ENOUGH = 3  # with so many cases that fail, a fault is seen well enough
PATIENCE = 5.0  # seconds for an answer: a fault may be that there is none


def names() -> list[str]:
    body = SOURCE.read_text().partition("pub enum Fault {")[2].partition("\n}")[0]
    return re.findall(r"^    ([A-Z][A-Za-z0-9]*),", body, re.MULTILINE)


def _failing(binary: Path, chosen: list[Case], fault: str | None, known: set[str]) -> list[str]:
    """The cases beside the `known` ones that fail; with a fault, the first few."""
    found: list[str] = []

    def enough(result: Result) -> bool:
        if result.verdict is Verdict.FAIL and result.case.name not in known:
            found.append(result.case.name)
        return fault is not None and len(found) >= ENOUGH

    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        environment = {"RESTANTE_FAULT": fault} if fault else {}
        with PROFILES["restante"](Started(binary, Path(directory), environment)) as server:
            runner.run(server, chosen, enough=enough)
    return found


def run(binary: Path, chosen: list[Case], only: list[str]) -> int:
    """Prints a table, fault and cases that fail with it; returns how many faults went unnoticed, and fails without any too."""
    wire.SECONDS = PATIENCE
    known = set(_failing(binary, chosen, None, set()))
    if known:
        print(f"These fail without any fault, and count for nothing: {', '.join(sorted(known))}", flush=True)
    unnoticed = []
    print("| fault | cases that fail |\n| --- | --- |", flush=True)
    faults = only or names()
    begin = time.monotonic()
    for fault in faults:
        try:
            found = _failing(binary, chosen, fault, known)
        except Exception as error:  # a service that cannot be set up is noticed, too
            found = [f"(the service cannot be set up: {str(error).splitlines()[0][:100]})"]
        if not found:
            unnoticed.append(fault)
        print(f"| {fault} | {', '.join(found) or '**none**'} |", flush=True)
    print(f"\n{len(faults)} faults, {len(unnoticed)} unnoticed, {time.monotonic() - begin:.0f} s", flush=True)
    return len(unnoticed)
