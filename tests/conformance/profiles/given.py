"""A server that runs already: a TOML file says where, and which accounts may be emptied and used.

    name = "Example"
    host = "127.0.0.1"
    pop3 = 110
    pop3s = 995
    lmtp = 24                     # where mail for the accounts is taken
    certificate = "ca.pem"        # the one to trust; it must name localhost
    passwords_in_clear = false    # whether USER and PASS are taken without TLS
    inactivity_seconds = 600
    [[account]]
    login = "a@example.test"
    password = "..."
    scram = "..."                 # the secrets that SCRAM and that APOP, CRAM-MD5 and NTLM take; both may be left out
    legacy = "..."

Cases that need an account of their own, with a certain password or policy, do not apply. Each account is emptied before a case
gets it; as many cases run at a time as there are accounts.
"""

from __future__ import annotations

import itertools
import threading
import tomllib
from pathlib import Path

from harness.lmtp import Lmtp

from ..case import NotApplicable
from ..server import Account, Server
from ..wire import Session, Trace


class Given(Server):
    def __init__(self, path: Path) -> None:
        given = tomllib.loads(path.read_text())
        self.name = given["name"]
        self.plain, self.tls = (given["host"], given["pop3"]), (given["host"], given["pop3s"])
        self.lmtp = (given["host"], given["lmtp"])
        self.certificate = path.parent / given["certificate"]
        self.clear_passwords = given.get("passwords_in_clear", False)
        self.strict = None if self.clear_passwords else self.plain
        self.inactivity_seconds = given.get("inactivity_seconds")
        self.lock = threading.Lock()
        accounts = [
            Account(one["login"], one["password"], one.get("scram"), one.get("legacy")) for one in given["account"]
        ]
        self.next = itertools.cycle(accounts)

    def account(self, password: str | None = None, **wishes: object) -> Account:
        if password is not None or wishes.keys() & {"policy", "local_part"}:
            raise NotApplicable("the accounts are given")
        with self.lock:
            account = next(self.next)
        with Session(self.tls, Trace(), tls=self.context()) as session:
            session.expect_ok(f"USER {account.login}")
            session.expect_ok(f"PASS {account.password}")
            for number in range(1, session.stat()[0] + 1):
                session.expect_ok(f"DELE {number}")
            session.expect_ok("QUIT")
        return account

    def deliver(self, account: Account, messages: list[bytes]) -> None:
        with Lmtp(self.lmtp) as session:
            for message in messages:
                (reply,) = session.deliver("sender@sender.test", [account.login], message)
                if reply.code != 250:
                    raise AssertionError(f"{account.login}: {reply}")
