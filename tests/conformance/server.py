"""A server under test, as a profile describes it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .case import NotApplicable

Address = tuple[str, int]


@dataclass(frozen=True)
class Account:
    """An account with an empty maildrop, or with what a case put into it."""

    login: str
    password: str
    scram: str | None = None  # the secret that SCRAM takes, where it is not the password
    legacy: str | None = None  # the secret that APOP, CRAM-MD5 and NTLM take

    @property
    def local_part(self) -> str:
        return self.login.partition("@")[0]


class Server:
    """What cases may use. A profile sets the attributes and overrides what it can do; the rest is not applicable."""

    name = "unnamed"
    version = ""
    plain: Address  # POP3 with STLS
    tls: Address  # POP3 over TLS
    certificate: Path  # the one to trust, for localhost
    clear_passwords = False  # passwords are taken on `plain` without TLS
    strict: Address | None = None  # POP3 with STLS where they are not; may be `plain`
    short: Address | None = None  # POP3 with a short inactivity timer, of `short_seconds`
    short_seconds = 0.0
    inactivity_seconds: int | None = None  # the default of the inactivity timer, as the server's configuration says
    refusal_seconds: float | None = None  # when a failed login is answered, whatever the reason
    login_domain = ""  # what completes a bare local part

    def account(self, password: str | None = None, **wishes: object) -> Account:
        """A new account with an empty maildrop. Wishes: `scram` and `legacy` (secrets for such mechanisms), `local_part`,
        `policy` (in Restante's words; NotApplicable where the profile cannot set it)."""
        raise NotApplicable("the profile makes no accounts")

    def deliver(self, account: Account, messages: list[bytes]) -> None:
        """Puts messages, each text with CRLF line ends, into the maildrop, in order; the server may put lines before them."""
        raise NotApplicable("the profile delivers no mail")

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def token(self, account: Account, **claims: object) -> str:
        """A bearer token that the server accepts for the account, unless `claims` change it."""
        raise NotApplicable("the profile issues no tokens")

    def device(self, account: Account) -> Account:
        """The same account with another secret, which has a view of its own where the policy says so."""
        raise NotApplicable("the profile makes no secrets for devices")

    def client_certificate(self, account: Account) -> tuple[Path, Path]:
        """A certificate that names the account, and its key."""
        raise NotApplicable("the profile makes no client certificates")

    @contextlib.contextmanager
    def held_updates(self, account: Account) -> Iterator[None]:
        """While open, the UPDATE of this account cannot finish."""
        raise NotApplicable("the profile cannot hold an update back")
        yield

    @contextlib.contextmanager
    def broken_updates(self) -> Iterator[None]:
        """While open, every UPDATE fails."""
        raise NotApplicable("the profile cannot make an update fail")
        yield

    @contextlib.contextmanager
    def broken_logins(self) -> Iterator[None]:
        """While open, what logins need is away."""
        raise NotApplicable("the profile cannot take the directory away")
        yield

    @contextlib.contextmanager
    def broken_bodies(self, account: Account) -> Iterator[None]:
        """While open, the bodies of messages cannot be read."""
        raise NotApplicable("the profile cannot take the bodies away")
        yield

    def suspend(self, account: Account) -> None:
        """From now on the account may not log in."""
        raise NotApplicable("the profile cannot suspend an account")

    def restart(self) -> None:
        """Stops the server and starts it again on the same data."""
        raise NotApplicable("the profile cannot restart the server")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Started:
    """How a profile is started."""

    binary: Path | None
    directory: Path
    environment: Mapping[str, str]
