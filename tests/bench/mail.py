"""Mail to measure with, the same at every run."""

from __future__ import annotations

import base64
import itertools
import math
import random
from pathlib import Path

MEDIAN, MEAN = 15_000, 75_000
# Of a log-normal distribution: mean / median = exp(sigma² / 2).
SIGMA = math.sqrt(2 * math.log(MEAN / MEDIAN))
LARGEST = 20_000_000
# Text makes up a message's beginning, what is longer is an attachment that is compressed already.
TEXT = 20_000

_SYLLABLES = [a + b for a in ("b", "d", "f", "k", "l", "m", "n", "r", "s", "t", "v", "st", "tr") for b in "aeiou"]


def _words(chance: random.Random) -> tuple[list[str], list[float]]:
    """Two thousand made-up words, of which few are frequent, as in languages (Zipf)."""
    words = ["".join(chance.choices(_SYLLABLES, k=chance.choice((1, 2, 2, 3, 4)))) for _ in range(2000)]
    return words, list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))


def synthetic(count: int, seed: int = 1) -> list[bytes]:
    """Messages whose sizes are log-normal (median 15 KB, mean 75 KB): words, and base64 of random octets beyond 20 KB."""
    chance = random.Random(seed)
    words, weights = _words(chance)
    return [_message(chance, number, words, weights) for number in range(count)]


def _message(chance: random.Random, number: int, words: list[str], weights: list[float]) -> bytes:
    octets = min(LARGEST, int(chance.lognormvariate(math.log(MEDIAN), SIGMA)))
    head = (
        f"From: Ada <ada{number}@sender.test>\r\nTo: Ben <ben@reader.test>\r\n"
        f"Subject: {' '.join(chance.choices(words, cum_weights=weights, k=5))}\r\nDate: Tue, 24 Nov 2026 06:35:16 +0000\r\n"
        f"Message-ID: <{chance.randbytes(12).hex()}@sender.test>\r\nMIME-Version: 1.0\r\n"
        f"X-Trace: {chance.randbytes(100).hex()}\r\nContent-Type: multipart/mixed; boundary=part\r\n\r\n--part\r\n\r\n"
    ).encode()
    parts, left = [head], max(100, min(octets, TEXT) - len(head))
    while left > 0:
        line = " ".join(chance.choices(words, cum_weights=weights, k=12)).encode() + b"\r\n"
        parts.append(line)
        left -= len(line)
    if octets > TEXT:
        parts.append(b"--part\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        noise = base64.b64encode(chance.randbytes((octets - TEXT) * 74 // 100))
        parts += [noise[at : at + 76] + b"\r\n" for at in range(0, len(noise), 76)]
    parts.append(b"--part--\r\n")
    return b"".join(parts)


def of_directory(directory: Path) -> list[bytes]:
    """Every message below a directory of .eml files."""
    return [path.read_bytes() for path in sorted(directory.rglob("*.eml"))]
