"""The command line: `python -m conformance --profile restante --profile dovecot --write ../docs/pop3-conformance.md`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from . import faults, report, runner
from .profiles import PROFILES
from .profiles.given import Given
from .server import Server, Started


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("conformance", description="Tries POP3 servers against the standards.")
    parser.add_argument(
        "--profile", action="append", choices=sorted(PROFILES), help="a server that the suite starts; repeatable"
    )
    parser.add_argument(
        "--server",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="a server that runs already (profiles/given.py says how)",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="writes the table there")
    parser.add_argument(
        "--check", type=Path, metavar="FILE", help="fails unless the first server's results are what the file has"
    )
    parser.add_argument("--faults", action="store_true", help="runs with each deliberate fault, and wants each noticed")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="with --faults: only this one; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="names the cases and runs nothing")
    parser.add_argument(
        "-k",
        action="append",
        default=[],
        metavar="WORD",
        help="only cases with the word in their name, or of the RFC; repeatable",
    )
    parser.add_argument("-v", action="store_true", help="prints every case, with what was said where it failed")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    chosen = runner.selected(given.k)
    if given.list:
        for case in chosen:
            print(f"{case.name}  RFC {case.rfc} section {case.section}, {case.level.value}: {case.requirement}")
        print(f"{len(chosen)} cases")
        return 0
    if given.faults:
        return faults.run(Path(os.environ["RESTANTE_BINARY"]), chosen, given.fault) != 0
    runs: list[report.Run] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        started = Started(None, Path(directory), {})
        servers: list[Server] = [
            PROFILES[name](started) for name in given.profile or ([] if given.server else ["restante"])
        ]
        for server in [*servers, *(Given(path) for path in given.server)]:
            begin = time.monotonic()
            with server:
                results = runner.run(server, chosen)
            runs.append((server, results))
            for result in results:
                if given.v and result.verdict is not report.Verdict.FAIL:
                    print(f"{result.case.name}: {result.verdict.value} {result.detail} ({result.seconds:.2f} s)")
            for result in report.failures(results):
                print(report.described(result))
            print(
                f"{server.name} {server.version}: {report.counts(results)}; {time.monotonic() - begin:.0f} s",
                flush=True,
            )
    table = report.markdown(runs)
    if given.write:
        given.write.parent.mkdir(parents=True, exist_ok=True)
        given.write.write_text(table)
    stale = False
    if given.check:
        kept = given.check.read_text()
        stale = report.column(kept, 0) != report.column(table, 0)
        if stale:
            print(f"{given.check} is not what this run found: write it anew", file=sys.stderr)
        elif kept != table:
            # A peer that is at odds with itself from run to run is no fault of ours.
            print(f"{given.check}: another server's results differ in this run", file=sys.stderr)
    ours = runs[0][1]
    return 1 if report.failures(ours) or stale else 0


if __name__ == "__main__":
    sys.exit(main())
