"""Five POP3 clients that people use, each fetching a whole maildrop over STLS or implicit TLS.

`fetch` functions return the messages as the client stored them. curl and poplib store the octets themselves; fetchmail,
mpop and getmail store text with line feeds, with every header line of their own switched off.
"""

from __future__ import annotations

import contextlib
import os
import poplib
import select
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Login:
    """Where and as whom: the ports of both listeners, and the certificate to trust."""

    pop3_port: int
    pop3s_port: int
    user: str
    password: str
    certificate: Path

    def port(self, tls: str) -> int:
        return self.pop3s_port if tls == "implicit" else self.pop3_port

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


Fetch = Callable[[Login, str, Path, bool], list[bytes]]


def run(argv: list[str | Path], directory: Path, *, accept: tuple[int, ...] = (0,), seconds: float = 240) -> str:
    """Runs a client with HOME in `directory`; raises with all it said when it fails. Returns what it said."""
    done = subprocess.run(
        argv,
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "FETCHMAILHOME": str(directory), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode not in accept:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}:\n{said[-4000:]}")
    return said


def private(path: Path, text: str) -> Path:
    """A file only we can read: the clients refuse others."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def stored(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(directory.iterdir())]


# getmail 6 takes a child that ends before it waits for one that never does, and gives up after a minute: the agent first lets
# it fall asleep (a bounded number of looks).
_UNTIL_PARENT_SLEEPS = """\
looks=0
while [ $looks -lt 100000 ]; do
    while read -r key state rest; do [ "$key" = State: ] && break; done </proc/$PPID/status
    [ "$state" = S ] && break
    looks=$((looks + 1))
done
"""


def delivery_agent(directory: Path, before: str = "") -> tuple[Path, Path]:
    """A command that stores its standard input as a new file of a directory, and that directory."""
    out = directory / "stored"
    out.mkdir()
    command = directory / "deliver"
    command.write_text(f'#!/bin/sh\n{before}exec cat >"$(mktemp -p {shlex.quote(str(out))} XXXXXXXX)"\n')
    command.chmod(0o700)
    return command, out


def curl(login: Login, tls: str, directory: Path, delete: bool) -> list[bytes]:
    scheme = "pop3s" if tls == "implicit" else "pop3"
    base = f"{scheme}://localhost:{login.port(tls)}"
    common = ["curl", "-sS", "--ssl-reqd", "--cacert", login.certificate, "--user", f"{login.user}:{login.password}"]
    listing = run([*common, f"{base}/"], directory)
    numbers = [int(line.split()[0]) for line in listing.splitlines()]
    out = directory / "curl"
    out.mkdir()
    if numbers:
        wanted = "".join(f'url = "{base}/{number}"\noutput = "{out}/{number:06}"\n' for number in numbers)
        run([*common, "--config", private(directory / "curl.conf", wanted)], directory)
    if delete:
        # One session, so that the numbers stay; curl ends it with QUIT.
        words: list[str | Path] = []
        for number in numbers:
            words += [
                *(["--next"] if words else []),
                *common[1:],
                "--head",
                "--request",
                f"DELE {number}",
                f"{base}/",
            ]
        run(["curl", *words], directory)
    return stored(out)


def python(login: Login, tls: str, directory: Path, delete: bool) -> list[bytes]:
    if tls == "implicit":
        session: poplib.POP3 = poplib.POP3_SSL("localhost", login.pop3s_port, context=login.context(), timeout=60)
    else:
        session = poplib.POP3("localhost", login.pop3_port, timeout=60)
        session.stls(login.context())
    # poplib refuses lines over 2 048 octets, its own limit; the messages have longer ones.
    poplib._MAXLINE = 1 << 20  # type: ignore[attr-defined]
    session.user(login.user)
    session.pass_(login.password)
    count = session.stat()[0]
    messages = [b"".join(line + b"\r\n" for line in session.retr(number)[1]) for number in range(1, count + 1)]
    if delete:
        for number in range(1, count + 1):
            session.dele(number)
    session.quit()
    return messages


def fetchmail(login: Login, tls: str, directory: Path, delete: bool) -> list[bytes]:
    mda, out = delivery_agent(directory)
    how = "ssl" if tls == "implicit" else "sslproto TLS1.2+"
    rc = private(
        directory / "fetchmailrc",
        f"set invisible\nset no bouncemail\nset no spambounce\n"
        f"poll localhost protocol POP3 port {login.port(tls)} no dns bad-header accept\n"
        f'user "{login.user}" password "{login.password}" {how} sslcertck sslcertfile "{login.certificate}"\n'
        f'{"nokeep" if delete else "keep"} fetchall no rewrite stripcr pass8bits mda "{mda}"\n',
    )
    # 1: there was no mail.
    # A pid file of its own: without one, root's fetchmails exclude each other.
    run(["fetchmail", "--nodetach", "--nosyslog", "--pidfile", directory / "pid", "-f", rc], directory, accept=(0, 1))
    return stored(out)


def mpop(login: Login, tls: str, directory: Path, delete: bool) -> list[bytes]:
    out = directory / "mpop"
    for name in ("new", "cur", "tmp"):
        (out / name).mkdir(parents=True)
    rc = private(
        directory / "mpoprc",
        f"account one\nhost localhost\nport {login.port(tls)}\nuser {login.user}\npassword {login.password}\n"
        f"tls on\ntls_starttls {'off' if tls == 'implicit' else 'on'}\ntls_trust_file {login.certificate}\n"
        f"received_header off\nkeep {'off' if delete else 'on'}\nuidls_file {directory}/uidls\ndelivery maildir {out}\n",
    )
    run(["mpop", "-q", "-C", rc, "one"], directory)
    return stored(out / "new")


def getmail(login: Login, tls: str, directory: Path, delete: bool) -> list[bytes]:
    # Its own Maildir delivery refuses root.
    mda, out = delivery_agent(directory, _UNTIL_PARENT_SLEEPS)
    with contextlib.ExitStack() as stack:
        if tls == "implicit":
            where = f"type = SimplePOP3SSLRetriever\nport = {login.pop3s_port}\nca_certs = {login.certificate}\n"
        else:
            # getmail6 has no STLS for POP3: what it cannot say itself the bridge says for it.
            bridge = stack.enter_context(StlsBridge(login))
            where = f"type = SimplePOP3Retriever\nport = {bridge.port}\n"
        rc = private(
            directory / "getmailrc",
            f"[retriever]\n{where}server = localhost\nusername = {login.user}\npassword = {login.password}\n"
            f"[destination]\ntype = MDA_external\npath = {mda}\nallow_root_commands = true\nunixfrom = false\n"
            f"[options]\nread_all = true\ndelete = {'true' if delete else 'false'}\nverbose = 0\n"
            f"delivered_to = false\nreceived = false\nto_oldmail_on_each_mail = false\n",
        )
        run(["getmail", "--getmaildir", directory, "--rcfile", rc], directory)
    return stored(out)


class StlsBridge:
    """Takes plain connections on loopback and carries them over STLS to the server."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]

    def __enter__(self) -> StlsBridge:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.login.pop3_port), timeout=60) as plain:
            greeting = _line(plain)
            plain.sendall(b"STLS\r\n")
            if not _line(plain).startswith(b"+OK"):
                return
            with self.login.context().wrap_socket(plain, server_hostname="localhost") as server:
                client.sendall(greeting)
                # One thread for both directions: a TLS socket must not be read and written at once.
                while True:
                    ready = [server] if server.pending() else select.select([client, server], [], [], 60)[0]
                    for source in ready:
                        # What is readable may be half a TLS record, or one that holds no data.
                        source.settimeout(0)
                        try:
                            data = source.recv(65536)
                        except (ssl.SSLWantReadError, BlockingIOError):
                            continue
                        finally:
                            source.settimeout(60)
                        if not data:
                            return
                        (server if source is client else client).sendall(data)


def _line(peer: socket.socket) -> bytes:
    """One line, octet by octet: nothing after it may be read before TLS begins."""
    line = b""
    while not line.endswith(b"\n"):
        octet = peer.recv(1)
        if not octet:
            raise OSError("closed")
        line += octet
    return line


CLIENTS: dict[str, Fetch] = {
    "curl": curl,
    "poplib": python,
    "fetchmail": fetchmail,
    "mpop": mpop,
    "getmail": getmail,
}
# These two store the octets themselves, the others text with line feeds.
EXACT = {"curl", "poplib"}
