"""What a case is given: the server, sessions that write down what was said, and accounts."""

from __future__ import annotations

import ssl
import threading

from . import mail
from .case import NotOffered
from .server import Account, Address, Server
from .wire import Session, Trace, Violation


class Shared:
    """What all cases of a run use together."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lock = threading.Lock()
        self._standard: Account | None = None

    def standard(self) -> Account:
        with self.lock:
            if self._standard is None:
                self._standard = self.server.account()
                self.server.deliver(self._standard, mail.STANDARD)
            return self._standard


class World:
    """One case's view."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.server = shared.server
        self.trace = Trace()
        self.sessions: list[Session] = []

    def close(self) -> None:
        for session in self.sessions:
            session.close()

    def _open(self, address: Address, tls: ssl.SSLContext | None = None, **more: object) -> Session:
        session = Session(address, self.trace, tls=tls, **more)  # type: ignore[arg-type]
        self.sessions.append(session)
        return session

    def plain(self, **more: object) -> Session:
        """The listener in clear, in AUTHORIZATION."""
        return self._open(self.server.plain, **more)

    def tls(self, context: ssl.SSLContext | None = None, **more: object) -> Session:
        """The listener of implicit TLS, in AUTHORIZATION."""
        return self._open(self.server.tls, context or self.server.context(), **more)

    def at(self, address: Address) -> Session:
        return self._open(address)

    def session(self, **more: object) -> Session:
        """A connection on which passwords are taken, in AUTHORIZATION."""
        return self.plain(**more) if self.server.clear_passwords else self.tls(**more)

    def login(self, account: Account, session: Session | None = None, **more: object) -> Session:
        """A session in TRANSACTION."""
        session = session or self.session(**more)
        session.expect_ok(f"USER {account.login}")
        session.expect_ok(f"PASS {account.password}")
        return session

    def standard(self) -> Account:
        """The account with the standard maildrop: to be read, never changed."""
        return self.shared.standard()

    def account(self, messages: int | list[bytes] = 0, **wishes: object) -> Account:
        """A new account; with a number, that many small messages are in it."""
        account = self.server.account(**wishes)  # type: ignore[arg-type]
        if isinstance(messages, int):
            messages = [mail.message(f"number {number}", b"text %d\r\n" % number) for number in range(1, messages + 1)]
        if messages:
            self.server.deliver(account, messages)
        return account

    def offered(self, name: str, session: Session | None = None) -> list[str]:
        """The arguments of a capability of AUTHORIZATION over TLS; NotOffered where it is missing."""
        with session or self.tls() as asked:
            capabilities = asked.capabilities()
        if name not in capabilities:
            raise NotOffered(f"CAPA does not list {name}")
        return capabilities[name]

    def mechanism(self, name: str, *, clear: bool = False) -> None:
        """NotOffered where SASL does not list the mechanism."""
        mechanisms = self.offered("SASL", self.session() if clear else self.tls())
        if name not in mechanisms:
            raise NotOffered(f"SASL does not list {name}")

    def count(self, account: Account) -> int:
        """How many messages a new session sees."""
        session = self.login(account)
        count = session.stat()[0]
        session.quit()
        return count


def check(condition: object, text: str) -> None:
    """Raises Violation with the text unless the condition holds."""
    if not condition:
        raise Violation(text)
