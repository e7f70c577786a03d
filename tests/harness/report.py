"""docs/soak.md: the last full result of every campaign, one section each."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

TITLE = "# Soak\n\nThe last full results of `make soak`, written by it. Two cores, debug build, everything on one machine.\n"


def write(path: Path, section: str, results: Mapping[str, object]) -> None:
    """Replaces one section, keeping the others."""
    text = path.read_text() if path.exists() else TITLE
    head, *sections = text.split("\n## ")
    kept = [each for each in sections if each.splitlines()[0] != section]
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    rows = "\n".join(f"| {name} | {value} |" for name, value in results.items())
    kept.append(f"{section}\n\n| what | {today} |\n| --- | --- |\n{rows}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n## ".join([head, *(f"{each.rstrip()}\n" for each in sorted(kept))]))
