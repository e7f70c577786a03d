"""The messages that travel: our own corpus always, and every file below the directories in RESTANTE_TEST_CORPUS."""

from __future__ import annotations

import os
from pathlib import Path

import corpus
from corpus import Message

BIGGEST = "25-mb"


def further() -> list[Message]:
    """What RESTANTE_TEST_CORPUS (directories, separated as in PATH) adds; raises when a directory is not there."""
    found: list[Message] = []
    for name in filter(None, os.environ.get("RESTANTE_TEST_CORPUS", "").split(os.pathsep)):
        directory = Path(name)
        if not directory.is_dir():
            raise FileNotFoundError(f"RESTANTE_TEST_CORPUS: {name}")
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        found += [Message(str(path.relative_to(directory)), "a real message", path.read_bytes()) for path in files]
    return found


def messages() -> list[Message]:
    return [*corpus.messages(), *further()]
