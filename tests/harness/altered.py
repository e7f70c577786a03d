"""What mail clients themselves do to a message, so that a difference can be told from one that Restante made.

fetchmail: three reasons, each seen with fetchmail 6.4.37 against a server that sends the right octets. getmail parses every
message and writes it anew (it refolds header lines and moves Return-Path), so what it stores is compared with what its own
message writer makes of the octets on the wire.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def fetchmail_reason(octets: bytes) -> str | None:
    """Why fetchmail does not store these octets as they are; None when it has to."""
    header = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if any(line.startswith(b"From ") for line in header):
        return "drops header lines that begin with the mbox separator"
    if any(line.startswith(b".") for line in header):
        return "does not unstuff dots in the header"
    if any(len(line) >= 8190 for line in octets.split(b"\r\n")):
        return "cuts lines at its buffer of 8 192 octets and writes a NUL there"
    return None


_WRITER = """
import sys
from pathlib import Path
from getmailcore.message import Message
for path in Path(sys.argv[1]).iterdir():
    lines = path.read_bytes().split(b"\\r\\n")  # ends in an empty one, as getmail adds it
    path.write_bytes(Message(fromlines=lines).flatten(False, False))
"""


def as_getmail_stores(messages: Sequence[bytes]) -> list[bytes]:
    """The messages as getmail's own writer puts them on disk, run by getmail's own interpreter."""
    interpreter = Path("/usr/bin/getmail").read_text().splitlines()[0].removeprefix("#!").split()
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number:06}" for number in range(len(messages))]
        for path, message in zip(paths, messages, strict=True):
            path.write_bytes(message)
        subprocess.run([*interpreter, "-c", _WRITER, directory], check=True, capture_output=True, timeout=120)
        return [path.read_bytes() for path in paths]


def delivery_id(message: bytes) -> bytes:
    """The id in our own Received line, folded or not: what a stored copy is recognised by."""
    match = re.search(
        rb"Received: from [^;]*?\sby\s[^;]*?\swith\s+(?:LMTPS?|HTTP)\s+id\s+([A-Za-z0-9.-]+);", message[:4096]
    )
    return match.group(1) if match else message[:200]
