"""The servers that the suite knows how to start, by name; and any other, described by a file."""

from __future__ import annotations

from collections.abc import Callable

from ..server import Server, Started
from .dovecot import Dovecot
from .restante import Restante

PROFILES: dict[str, Callable[[Started], Server]] = {"restante": Restante, "dovecot": Dovecot}
