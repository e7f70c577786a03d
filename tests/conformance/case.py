"""What a case is, and what its result can be."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import World


class Level(enum.Enum):
    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class NotOffered(Exception):
    """The server does not say that it has this, and need not have it."""


class NotApplicable(Exception):
    """The requirement does not bind this server, or the profile has no way to bring the situation about."""


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    NOT_OFFERED = "not offered"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Case:
    """A requirement and how it is tried."""

    name: str
    rfc: int
    section: str
    level: Level
    requirement: str
    run: Callable[[World], None]
    alone: bool = False  # it disturbs others: run when no other case runs

    @property
    def order(self) -> tuple[int, int, list[int], str]:
        """By RFC, then by section."""
        parts = [int(part) if part.isdigit() else 99 for part in self.section.split(".")]
        return (_ORDER.index(self.rfc) if self.rfc in _ORDER else 99, self.rfc, parts, self.name)


_ORDER = [1939, 2449, 2595, 8314, 3206, 5034, 4422, 4616, 5802, 7677, 5929, 9266, 7628, 2195, 6856]


@dataclass
class Result:
    case: Case
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0
    lines: list[str] = field(default_factory=list)


CASES: list[Case] = []


def case(
    rfc: int, section: str, level: Level, requirement: str, *, alone: bool = False
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Registers a function as a case; its name is the case's."""

    def register(run: Callable[[World], None]) -> Callable[[World], None]:
        add(run.__name__, rfc, section, level, requirement, run, alone=alone)
        return run

    return register


def add(
    name: str,
    rfc: int,
    section: str,
    level: Level,
    requirement: str,
    run: Callable[[World], None],
    *,
    alone: bool = False,
) -> None:
    """Registers a case that is made in a loop."""
    if any(known.name == name for known in CASES):
        raise ValueError(f"two cases are named {name}")
    CASES.append(Case(name, rfc, section, level, requirement, run, alone))
