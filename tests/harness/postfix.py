"""A private Postfix: own configuration, queue and port on loopback; everything it takes it hands to one LMTP server."""

from __future__ import annotations

import shutil
import signal
import smtplib
import subprocess
import tempfile
from pathlib import Path

from . import ports
from .process import Process, wait_until

SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
lmtp      unix - - n - - lmtp
showq     unix n - n - - showq
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Needs root, as Postfix itself does. `lmtp` is where it delivers; `domains` are those it takes mail for."""

    def __init__(self, lmtp: tuple[str, int], domains: list[str]) -> None:
        # Its daemons run as the user postfix: a directory that everybody may enter.
        self.directory = Path(tempfile.mkdtemp(prefix="restante-postfix-"))
        self.directory.chmod(0o755)
        self.port = ports.free(1)[0]
        self.process: Process | None = None
        self.configuration = self.directory / "etc"
        self.configuration.mkdir()
        (self.directory / "queue").mkdir()
        (self.directory / "data").mkdir()
        shutil.chown(self.directory / "data", "postfix")
        daemons = subprocess.run(
            ["postconf", "-dh", "daemon_directory"], check=True, capture_output=True, text=True
        ).stdout.strip()
        self.daemons = Path(daemons)
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": self.directory / "queue",
            "data_directory": self.directory / "data",
            "daemon_directory": daemons,
            "maillog_file": self.directory / "log",
            "maillog_file_prefixes": self.directory,
            "myhostname": "mta.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "disable_dns_lookups": "yes",
            "virtual_mailbox_domains": ", ".join(domains),
            "virtual_transport": f"lmtp:inet:[{lmtp[0]}]:{lmtp[1]}",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_forbid_bare_newline": "normalize",  # taken, but only CRLF.CRLF ends a message
            "smtpd_forbid_bare_newline_exclusions": "",
            "smtpd_discard_ehlo_keywords": "chunking",
            "local_header_rewrite_clients": "",  # no headers of its own but Received
            "alias_maps": "",
            "notify_classes": "",
            "message_size_limit": "0",
            "mailbox_size_limit": "0",
            "header_size_limit": "1000000",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "queue_run_delay": "1s",
            "lmtp_line_length_limit": "0",  # long lines as they are
            "default_process_limit": "10",
        }
        (self.configuration / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.configuration / "master.cf").write_text(SERVICES.format(port=self.port))

    def start(self) -> None:
        subprocess.run(["postfix", "-c", self.configuration, "check"], check=True, capture_output=True)
        self.process = Process(
            "postfix",
            [self.daemons / "master", "-c", self.configuration, "-s"],
            self.directory / "master-log",
            death_signal="TERM",
        )
        wait_until(
            "Postfix answers", lambda: self.process and self.process.check_alive() and ports.open_port(self.port), 30
        )

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="sender.test", timeout=60)

    def queue_is_empty(self) -> bool:
        done = subprocess.run(["postqueue", "-c", self.configuration, "-j"], check=True, capture_output=True, text=True)
        return not done.stdout.strip()

    def log_tail(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def wait_delivered(self, seconds: float) -> None:
        try:
            wait_until("Postfix's queue is empty", self.queue_is_empty, seconds, pause=0.2)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_tail()}") from None

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(signal.SIGTERM, seconds=15)
            self.process = None

    def __enter__(self) -> Postfix:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
