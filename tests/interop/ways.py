"""What every way of fetching is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance.case import NotApplicable
from conformance.server import Account, Server


@dataclass(frozen=True)
class Job:
    """Where, as whom, and a directory for the client's files."""

    server: Server
    account: Account
    mechanism: str
    directory: Path

    @property
    def pop3(self) -> int:
        return self.server.plain[1]

    @property
    def pop3s(self) -> int:
        return self.server.tls[1]

    @property
    def user(self) -> str:
        return self.account.login

    @property
    def certificate(self) -> Path:
        return self.server.certificate

    @property
    def secret(self) -> str:
        """What the mechanism takes: the password, an app password, a token."""
        if self.mechanism in ("OAUTHBEARER", "XOAUTH2"):
            return self.server.token(self.account)
        if self.mechanism.startswith("SCRAM"):
            found = self.account.scram
        elif self.mechanism in ("APOP", "CRAM-MD5", "NTLM"):
            found = self.account.legacy
        else:
            found = self.account.password
        if found is None:
            raise NotApplicable(f"the profile has no secret for {self.mechanism}")
        return found


# Fetches every message and deletes it; gives back what the client stored, in any order.
Fetch = Callable[[Job], list[bytes]]


@dataclass(frozen=True)
class Way:
    client: str
    mechanism: str
    fetch: Fetch
    tls: str = "implicit"
    # The client speaks only a form of the mechanism that is too weak to be taken: it is refused, and nothing is deleted.
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.client}-{self.mechanism}-{self.tls}".lower()
