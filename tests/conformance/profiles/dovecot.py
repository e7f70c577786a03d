"""Dovecot as Debian packages it (dovecot-pop3d, dovecot-lmtpd), with a private configuration in a fresh directory.

Everything runs as one ordinary user and listens on loopback. Connections from 127.0.0.1 to 127.0.0.1 count as protected for
Dovecot, those to 127.0.0.2 do not: there passwords in clear are refused.
"""

from __future__ import annotations

import itertools
import subprocess

import harness.dovecot
from harness.lmtp import Lmtp

from ..case import NotApplicable
from ..issuer import AUDIENCE, ISSUER, KEY_ID, Issuer
from ..server import Account, Server, Started

DOMAIN = "conformance.test"

CONFIGURATION = """\
auth_mechanisms = plain login apop cram-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2
auth_failure_delay = 0
auth_default_realm = {domain}
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@=
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {root}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/accounts/%u
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
  service_count = 0
  process_min_avail = 2
}}
service pop3 {{
  process_min_avail = 4
}}
"""

OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={root}/keys/
username_attribute = email
client_id = {audience}
issuers = {issuer}
"""


class Private(harness.dovecot.Dovecot):
    def prepare(self) -> None:
        (self.root / "oauth2.conf").write_text(OAUTH2.format(root=self.root, issuer=ISSUER, audience=AUDIENCE))
        for part in ("accounts", "keys/default/RS256"):
            (self.root / part).mkdir(parents=True)
        self.issuer = Issuer(self.root / "issuer")
        (self.root / "keys/default/RS256" / KEY_ID).write_text(self.issuer.public_key.read_text())


class Dovecot(Server):
    name = "Dovecot"
    clear_passwords = True
    inactivity_seconds = 600  # CLIENT_IDLE_TIMEOUT_MSECS in its source; no setting
    login_domain = DOMAIN

    def __init__(self, started: Started) -> None:
        self.private = Private(
            started.directory / "dovecot", "pop3 lmtp", CONFIGURATION, ("pop3", "pop3s"), domain=DOMAIN
        )
        self.numbers = itertools.count(1)

    def __enter__(self) -> Server:
        said = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.split()[0]
        pop3, pop3s = self.private.ports["pop3"], self.private.ports["pop3s"]
        self.plain, self.tls = ("127.0.0.1", pop3), ("127.0.0.1", pop3s)
        self.strict = ("127.0.0.2", pop3)
        self.certificate = self.private.certificate
        self.private.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.private.__exit__()

    def account(self, password: str | None = None, **wishes: object) -> Account:
        if "policy" in wishes:
            raise NotApplicable("the profile has no policies per account")
        local = str(wishes.get("local_part") or f"user{next(self.numbers)}")
        password = password or "correct horse battery staple"
        login = f"{local}@{DOMAIN}"
        # A file each: one for all would be read again only when a second has passed.
        (self.private.root / "accounts" / login).write_text(f"{login}:{{PLAIN}}{password}\n")
        return Account(login, password, scram=password, legacy=password)

    def deliver(self, account: Account, messages: list[bytes]) -> None:
        with Lmtp(("127.0.0.1", self.private.ports["lmtp"])) as session:
            for message in messages:
                if b"\n." in message.replace(b"\r\n", b""):
                    # Its LMTP takes a dot after a bare line feed for a stuffed one, or for the end: not what is tried here.
                    raise NotApplicable("the message cannot be delivered as it is")
                (reply,) = session.deliver("sender@sender.test", [account.login], message)
                if reply.code != 250:
                    raise AssertionError(f"{account.login}: {reply}")

    def token(self, account: Account, **claims: object) -> str:
        return self.private.issuer.token(account.login, **claims)
