"""Dovecot on loopback over maildirs, as Debian packages it.

It runs as one ordinary user with a private configuration in a fresh directory; STARTTLS and STLS are offered, and TLS is required on
127.0.0.2 (for Dovecot, 127.0.0.1 to 127.0.0.1 is protected as it is).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from . import ports
from .lmtp import Lmtp
from .pop3 import Pop3
from .process import Process, ordinary_user, wait_until

PASSWORD = 'old "password" \\ with blanks'

CONFIGURATION = """\
protocols = {protocols}
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
disable_plaintext_auth = yes
mail_max_userip_connections = 100
ssl = yes
ssl_cert = <{root}/cert.pem
ssl_key = <{root}/key.pem
lda_mailbox_autocreate = yes
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
{more}"""


class Dovecot:
    """A private Dovecot with LMTP and whatever else `more` configures on the further `ports`, by their names there."""

    def __init__(self, root: Path, protocols: str, more: str, names: Sequence[str], **values: object) -> None:
        self.root = root
        self.process: Process | None = None
        self.ports = dict(zip(["lmtp", *names], ports.free(len(names) + 1), strict=True))
        self.certificate = root / "cert.pem"
        # Its sockets: a path of their own, since one of a socket has room for about a hundred octets.
        self._run = Path(tempfile.mkdtemp(prefix="restante-dovecot-"))
        self._protocols, self._more, self._values = protocols, more, values

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        user = ordinary_user() or pwd.getpwuid(os.getuid()).pw_name
        entry = pwd.getpwnam(user)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", self.root / "key.pem", "-out", self.certificate, "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.2,IP:::1"],
            check=True, capture_output=True,
        )  # fmt: skip
        values = {"root": self.root, "run": self._run, **self._values, **self.ports}
        configuration = self.root / "dovecot.conf"
        configuration.write_text(
            CONFIGURATION.format(
                protocols=self._protocols, more=self._more.format(**values), user=user,
                group=grp.getgrgid(entry.pw_gid).gr_name, uid=entry.pw_uid, gid=entry.pw_gid, **values,
            )
        )  # fmt: skip
        (self.root / "home").mkdir()
        self.prepare()
        for path in [self._run, self.root, *self.root.rglob("*")]:
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
                self.process.check_alive()
            except Exception as error:
                raise RuntimeError(f"{error}\n{self.log()}") from None
            return all(map(ports.open_port, self.ports.values()))

        wait_until("dovecot is ready", ready, 30)
        return self

    def prepare(self) -> None:
        """Writes what else the configuration names, below the root."""

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.stop()
            self.process = None
        shutil.rmtree(self._run, ignore_errors=True)

    def log(self) -> str:
        path = self.root / "dovecot.log"
        return path.read_text()[-3000:] if path.exists() else ""


# One password for every address.
OLD_SERVER = """\
pop3_uidl_format = {uidl_format}
auth_mechanisms = plain
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=all {root}/passwd
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
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
"""


class OldServer(Dovecot):
    """The server that mail is moved from: POP3, IMAP and LMTP over maildirs."""

    def __init__(self, root: Path, uidl_format: str) -> None:
        names = ("pop3", "pop3s", "imap", "imaps")
        super().__init__(root, "pop3 imap lmtp", OLD_SERVER, names, uidl_format=uidl_format)
        self.uidl_format = uidl_format
        self.lmtp, self.pop3, self.pop3s, self.imap, self.imaps = self.ports.values()

    def prepare(self) -> None:
        (self.root / "passwd").write_text(f"all:{{PLAIN}}{PASSWORD}\n")

    def deliver(self, user: str, messages: list[bytes]) -> None:
        with Lmtp(("127.0.0.1", self.lmtp)) as session:
            for message in messages:
                (reply,) = session.deliver("sender@sender.test", [f"{user}@old.test"], message)
                if reply.code != 250:
                    raise AssertionError(f"{user}: {reply}\n{self.log()}")

    def seen_over_pop3(self, user: str) -> list[tuple[str, bytes]]:
        """What a POP3 client sees: unique-ids and messages, in order."""
        with Pop3(("127.0.0.1", self.pop3)) as session:
            session.login(f"{user}@old.test", PASSWORD)
            unique_ids = session.uidl()
            messages = session.retr_all()
            session.quit()
        return list(zip(unique_ids.values(), messages, strict=True))

    def maildir(self, user: str) -> Path:
        return self.root / "home" / user / "Maildir"

    def copy_maildir(self, user: str, to: Path) -> Path:
        """As an operator copies it, with times and all."""
        return Path(shutil.copytree(self.maildir(user), to))
