"""Dovecot as Debian packages it (dovecot-pop3d, dovecot-lmtpd), with a private configuration in a fresh directory.

Everything runs as one ordinary user and listens on loopback. Connections from 127.0.0.1 to 127.0.0.1 count as protected for
Dovecot, those to 127.0.0.2 do not: there passwords in clear are refused.
"""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import subprocess

from harness import ports
from harness.lmtp import Lmtp
from harness.process import Process, ordinary_user, wait_until

from ..case import NotApplicable
from ..issuer import AUDIENCE, ISSUER, KEY_ID, Issuer
from ..server import Account, Server, Started

DOMAIN = "conformance.test"

CONFIGURATION = """\
protocols = pop3 lmtp
listen = 127.0.0.1, 127.0.0.2
base_dir = {run}
state_dir = {run}
log_path = {root}/dovecot.log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
auth_mechanisms = plain login apop cram-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2
auth_failure_delay = 0
auth_default_realm = {domain}
auth_username_chars = abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@=
disable_plaintext_auth = yes
mail_max_userip_connections = 100
ssl = yes
ssl_cert = <{root}/cert.pem
ssl_key = <{root}/key.pem
lda_mailbox_autocreate = yes
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {root}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/accounts/%u
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/home/%n
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
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
service auth {{
  unix_listener auth-userdb {{
    mode = 0600
  }}
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""

OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={root}/keys/
username_attribute = email
client_id = {audience}
issuers = {issuer}
"""


class Dovecot(Server):
    name = "Dovecot"
    clear_passwords = True
    inactivity_seconds = 600  # CLIENT_IDLE_TIMEOUT_MSECS in its source; no setting
    login_domain = DOMAIN

    def __init__(self, started: Started) -> None:
        self.root = started.directory / "dovecot"
        self.process: Process | None = None
        self.numbers = itertools.count(1)

    def __enter__(self) -> Server:
        self.root.mkdir(parents=True)
        said = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.split()[0]
        user = ordinary_user() or pwd.getpwuid(os.getuid()).pw_name
        entry = pwd.getpwnam(user)
        pop3, pop3s, self.lmtp_port = ports.free(3)
        self.plain, self.tls = ("127.0.0.1", pop3), ("127.0.0.1", pop3s)
        self.strict = ("127.0.0.2", pop3)
        self.certificate = self.root / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", self.root / "key.pem", "-out", self.certificate, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"],
            check=True, capture_output=True,
        )  # fmt: skip
        values = {
            "root": self.root, "run": self.root / "run", "user": user, "group": grp.getgrgid(entry.pw_gid).gr_name,
            "uid": entry.pw_uid, "gid": entry.pw_gid, "pop3": pop3, "pop3s": pop3s, "lmtp": self.lmtp_port, "domain": DOMAIN,
            "issuer": ISSUER, "audience": AUDIENCE,
        }  # fmt: skip
        configuration = self.root / "dovecot.conf"
        configuration.write_text(CONFIGURATION.format(**values))
        (self.root / "oauth2.conf").write_text(OAUTH2.format(**values))
        for part in ("home", "run", "accounts", "keys/default/RS256"):
            (self.root / part).mkdir(parents=True)
        self.issuer = Issuer(self.root / "issuer")
        (self.root / "keys/default/RS256" / KEY_ID).write_text(self.issuer.public_key.read_text())
        for path in [self.root, *self.root.rglob("*")]:
            os.chown(path, entry.pw_uid, entry.pw_gid)
        for path in self.root.parents:
            # The server must be able to come to its directory.
            if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o011)
        self.process = Process(
            "dovecot", ["dovecot", "-F", "-c", configuration], self.root / "stderr.log",
            user=user if os.geteuid() == 0 else None, death_signal="TERM",
        )  # fmt: skip

        def ready() -> bool:
            assert self.process is not None
            try:
                return self.process.check_alive() and ports.open_port(pop3) and ports.open_port(self.lmtp_port)
            except Exception as error:
                raise RuntimeError(f"{error}\n{self._log()}") from None

        wait_until("dovecot is ready", ready, 30)
        return self

    def _log(self) -> str:
        path = self.root / "dovecot.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.stop()
            self.process = None

    def account(self, password: str | None = None, **wishes: object) -> Account:
        if "policy" in wishes:
            raise NotApplicable("the profile has no policies per account")
        local = str(wishes.get("local_part") or f"user{next(self.numbers)}")
        password = password or "correct horse battery staple"
        login = f"{local}@{DOMAIN}"
        # A file each: one for all would be read again only when a second has passed.
        (self.root / "accounts" / login).write_text(f"{login}:{{PLAIN}}{password}\n")
        return Account(login, password, scram=password, legacy=password)

    def deliver(self, account: Account, messages: list[bytes]) -> None:
        with Lmtp(("127.0.0.1", self.lmtp_port)) as session:
            for message in messages:
                if b"\n." in message.replace(b"\r\n", b""):
                    # Its LMTP takes a dot after a bare line feed for a stuffed one, or for the end: not what is tried here.
                    raise NotApplicable("the message cannot be delivered as it is")
                (reply,) = session.deliver("sender@sender.test", [account.login], message)
                if reply.code != 250:
                    raise AssertionError(f"{account.login}: {reply}")

    def token(self, account: Account, **claims: object) -> str:
        return self.issuer.token(account.login, **claims)
