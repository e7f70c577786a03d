"""Thunderbird, without a screen, driven over Marionette: an account is made as a person would make it, and its mail fetched.

With "leave messages on server" off it deletes what it fetched. It may speak to this machine only: everything else goes to a proxy
that is not there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mailbox
import os
import socket
import ssl
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from harness import ports
from harness.process import Process, wait_until

from .ways import Job, Way

_SETTINGS: dict[str, object] = {
    "network.proxy.type": 1,
    "network.proxy.no_proxies_on": "localhost, 127.0.0.1",
    **{f"network.proxy.{kind}": "127.0.0.1" for kind in ("http", "ssl", "socks")},
    **{f"network.proxy.{kind}_port": 9 for kind in ("http", "ssl", "socks")},
    "services.settings.server": "data:,#none",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.update.auto": False,
    "extensions.update.enabled": False,
    "mailnews.start_page.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
}

# Its numbers for the connection and for how to log in.
_SOCKET = {"stls": 2, "implicit": 3}
_METHOD = {"PLAIN": 3, "CRAM-MD5": 4}

_FETCH = """
const [user, password, port, socketType, authMethod, certificate] = arguments;
const resolve = arguments[arguments.length - 1];
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
try {
  const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
  Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
    .rememberValidityOverride("localhost", port, {}, database.constructX509FromBase64(certificate), true);
  const server = MailServices.accounts.createIncomingServer(user, "localhost", "pop3");
  Object.assign(server, { port, socketType, authMethod, password, doBiff: false });
  server.QueryInterface(Ci.nsIPop3IncomingServer).leaveMessagesOnServer = false;
  const account = MailServices.accounts.createAccount();
  const identity = MailServices.accounts.createIdentity();
  identity.email = user;
  account.addIdentity(identity);
  account.incomingServer = server;
  const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
  const listener = { OnStartRunningUrl() {}, OnStopRunningUrl(url, status) { resolve([status, inbox.filePath.path]); } };
  MailServices.pop3.GetNewMail(null, listener, inbox, server);
} catch (error) {
  resolve([String(error), ""]);
}
"""


class _Marionette:
    """The protocol by which Mozilla's programs are driven: `LENGTH:JSON`, one answer for each command."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.file = self.socket.makefile("rb")
        self.commands = 0
        self._packet()

    def _packet(self) -> Any:
        digits = b""
        while not digits.endswith(b":"):
            octet = self.file.read(1)
            if not octet:
                raise ConnectionResetError("Thunderbird has closed the connection")
            digits += octet
        return json.loads(self.file.read(int(digits[:-1])))

    def call(self, name: str, **parameters: object) -> Any:
        self.commands += 1
        command = json.dumps([0, self.commands, name, parameters]).encode()
        self.socket.sendall(b"%d:%b" % (len(command), command))
        _, _, error, result = self._packet()
        if error:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def _connect(process: Process, port: int) -> _Marionette | None:
    process.check_alive()
    try:
        return _Marionette(port)
    except OSError:
        return None


def thunderbird(job: Job, tls: str) -> list[bytes]:
    profile = job.directory / "profile"
    profile.mkdir()
    (port,) = ports.free(1)
    settings = {**_SETTINGS, "marionette.port": port}
    (profile / "user.js").write_text(
        "".join(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in settings.items())
    )
    certificate = base64.b64encode(ssl.PEM_cert_to_DER_cert(job.certificate.read_text())).decode()
    process = Process(
        "thunderbird",
        [
            "thunderbird",
            "--headless",
            "--no-remote",
            "--marionette",
            "--remote-allow-system-access",
            "--profile",
            profile,
        ],
        job.directory / "thunderbird.log",
        env={"PATH": os.environ["PATH"], "HOME": str(job.directory), "LC_ALL": "C.UTF-8"},
    )
    try:
        driver = wait_until("Thunderbird listens", lambda: _connect(process, port), 60)
        driver.call("WebDriver:NewSession", capabilities={})
        driver.call("WebDriver:SetTimeouts", script=60_000)
        driver.call("Marionette:SetContext", value="chrome")
        arguments = [
            job.user,
            job.secret,
            job.pop3s if tls == "implicit" else job.pop3,
            _SOCKET[tls],
            _METHOD[job.mechanism],
            certificate,
        ]
        status, inbox = driver.call("WebDriver:ExecuteAsyncScript", script=_FETCH, args=arguments)["value"]
        driver.close()
    finally:
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # then it was killed: what it fetched is stored all the same
            process.stop(seconds=30)
    if status != 0:
        raise RuntimeError(f"Thunderbird: {status}\n{process.log_tail()}")
    return _messages(Path(inbox))


def _messages(path: Path) -> list[bytes]:
    box = mailbox.mbox(path, create=False)
    try:
        return [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118 (a mailbox is no mapping)
    finally:
        box.close()


# Of mechanisms with a challenge it takes CRAM-MD5 where there is APOP too. Its NTLM (153) answers in the form of version 2 with a
# proof that the account's secret does not give, under any spelling of the names, and then asks a person for another password.
WAYS = [
    Way("thunderbird", mechanism, partial(thunderbird, tls=tls), tls)
    for mechanism, tls in (("PLAIN", "implicit"), ("PLAIN", "stls"), ("CRAM-MD5", "implicit"))
]
