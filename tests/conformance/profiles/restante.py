"""Restante: `restante dev` in a fresh directory, and two more frontends of the same data with other settings.

Tokens are of an issuer of the suite's own, whose keys Restante fetches over HTTPS from loopback, as an operator can allow it.

The other frontends are `restante serve --role pop3` on the embedded database: one refuses passwords without TLS, one has a
short inactivity timer.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from harness import ports
from harness.api import Api, Problem, segment
from harness.lmtp import Lmtp
from harness.process import Process, wait_until
from harness.service import Embedded, environment

from ..case import NotApplicable
from ..issuer import AUDIENCE, ISSUER, Authority, Issuer, KeySetServer
from ..mechanisms import begin, oauthbearer
from ..server import Account, Server, Started
from ..wire import Session, Trace

DOMAIN = "conformance.test"
SHORT_SECONDS = 4

FRONTEND = """\
[tls]
certificate = "{directory}/tls/cert.pem"
key = "{directory}/tls/key.pem"

[ops]
listen = "127.0.0.1:{ops}"

[shutdown]
grace_seconds = 1

[directory]
argon2_wait_ms = 30000

[pop3]
listen = ["127.0.0.1:{pop3}"]
listen_tls = []
refusal_milliseconds = {refusal}
{more}
"""

# What an operator would set for all that is tried here, and what keeps the run short: everything comes from one address, and
# much of it is wrong on purpose.
REFUSAL_MILLISECONDS = 100
SETTINGS = {
    "RESTANTE_POP3__REFUSAL_MILLISECONDS": str(REFUSAL_MILLISECONDS),
    "RESTANTE_POP3__MAX_CONNECTIONS_PER_ADDRESS": "500",
    "RESTANTE_POP3__MAX_SESSIONS_PER_ADDRESS": "5000",
    "RESTANTE_POP3__MAX_SESSIONS_PER_ACCOUNT": "500",
    "RESTANTE_POP3__LEGACY_MECHANISMS": "true",
    "RESTANTE_POP3__CLIENT_CERTIFICATES": "true",
    "RESTANTE_POP3__ANNOUNCED_LOGIN_DELAY_SECONDS": "60",
    "RESTANTE_POP3__ANNOUNCED_EXPIRE_DAYS": "30",
    # Messages come from the store: what happens when it is away is tried, too.
    "RESTANTE_MAILSTORE__FRAMES_OCTETS": "0",
    # Built without optimisation, a password hash takes long, and many come at once.
    "RESTANTE_DIRECTORY__ARGON2_WAIT_MS": "30000",
    "RESTANTE_DIRECTORY__SLOW_DOWN__NETWORK_FAILURES": "1000000",
    "RESTANTE_DIRECTORY__SLOW_DOWN__ACCOUNT_FAILURES": "1000000",
}


class Restante(Server):
    name = "Restante"
    clear_passwords = True
    short_seconds = SHORT_SECONDS
    refusal_seconds = REFUSAL_MILLISECONDS / 1000
    login_domain = DOMAIN

    def __init__(self, started: Started) -> None:
        self.started = started
        self.directory = started.directory
        self.embedded = Embedded(started.directory / "restante")
        self.frontends: list[Process] = []
        self.key_sets: KeySetServer | None = None
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()

    def __enter__(self) -> Server:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self._start_dev()
        self.certificate = self.embedded.certificate
        said = subprocess.run([self._binary(), "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.split()[-1]
        api = self.embedded.api
        api.create_tenant("conformance")
        api.create_domain(DOMAIN, "conformance")
        self._set_policies()
        self._show_a_token()
        self.strict = self._frontend("strict", "")
        self.short = self._frontend("short", f"passwords_in_clear = true\nidle_seconds = {SHORT_SECONDS}")
        self.inactivity_seconds = self._default_inactivity()

    def _start_dev(self) -> None:
        self.issuer = Issuer(self.directory / "issuer")
        self.key_sets = KeySetServer(self.issuer.key_set(), self.directory / "key-sets")
        way_out = {
            "RESTANTE_EGRESS__ALLOW": '["127.0.0.1/32"]',
            "SSL_CERT_FILE": str(self.key_sets.certificate),
        }
        self.embedded.start(env={**SETTINGS, **way_out, **self.started.environment})
        self.plain = self.embedded.pop3[0]
        self.tls = self.embedded.pop3s[0]

    def __exit__(self, *_: object) -> None:
        for process in self.frontends:
            process.send(15)
        for process in self.frontends:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.alive():
                process.kill()
        self.frontends = []
        if self.embedded.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.embedded.stop()
        if self.key_sets is not None:
            self.key_sets.close()
            self.key_sets = None

    def _binary(self) -> Path:
        return Path(self.embedded.command()[0])

    def _frontend(self, name: str, more: str) -> tuple[str, int]:
        """A further POP3 frontend of the same database and store."""
        pop3, ops = ports.free(2)
        path = self.directory / f"{name}.toml"
        data = self.embedded.directory
        path.write_text(FRONTEND.format(directory=data, pop3=pop3, ops=ops, more=more, refusal=REFUSAL_MILLISECONDS))
        socket = urllib.parse.quote(self.embedded.postmaster()[4], safe="")
        env = environment(
            {
                **self.started.environment,
                "RESTANTE_DATABASE_URL": f"postgres://postgres@{socket}/restante",
                "RESTANTE_OBJECT_STORE_URL": f"file://{data}/segments",
                "RESTANTE_MASTER_KEY_FILE": str(data / "master-key"),
            }
        )
        process = Process(
            name,
            [self._binary(), "serve", "--config", path, "--role", "pop3"],
            self.directory / f"{name}.log",
            env=env,
            death_signal="TERM",
        )
        self.frontends.append(process)

        def ready() -> bool:
            process.check_alive()
            with contextlib.suppress(OSError, Problem):
                return Api(f"http://127.0.0.1:{ops}", None).get("/readyz") is not None
            return False

        wait_until(f"the frontend {name} is ready", ready, 30)
        return ("127.0.0.1", pop3)

    def _default_inactivity(self) -> int | None:
        """The default as the source has it, where that is at hand."""
        source = Path(__file__).resolve().parents[3] / "services/pop3d/src/config.rs"
        match = re.search(r"^ *idle_seconds: ([0-9_]+),", source.read_text(), re.MULTILINE) if source.exists() else None
        return int(match.group(1)) if match else None

    # --- accounts and mail

    def _set_policies(self) -> None:
        """Of the domain: old clients' mechanisms. Of the tenant: whose certificates and whose tokens are good."""
        assert self.key_sets is not None
        self.authority = Authority(self.directory / "authority")
        oauth = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_uri": self.key_sets.url}
        policies = {
            f"/v1/domains/{DOMAIN}": {"legacy_mechanisms": True},
            "/v1/tenants/conformance": {"client_ca": self.authority.certificate.read_text(), "oauth": oauth},
        }
        for path, policy in policies.items():
            self.embedded.api.call("PATCH", path, {"policy": policy}, content_type="application/merge-patch+json")

    def _show_a_token(self) -> None:
        """Has the keys of the issuer fetched before anything else runs: a fetch that takes too long is tried again only after
        half a minute, and until then no token is good. Whatever else may be wrong is for the cases to see."""
        account = self.account()

        def looked_at() -> bool:
            try:
                with Session(self.tls, Trace(), tls=self.context()) as session:
                    reply = begin(session, "OAUTHBEARER", oauthbearer(account.login, self.token(account)))
                return reply.code != "SYS/TEMP"
            except Exception:
                return True

        with contextlib.suppress(TimeoutError):
            wait_until("the issuer's keys are fetched", looked_at, 45, pause=1)

    def account(self, password: str | None = None, **wishes: object) -> Account:
        local = str(wishes.get("local_part") or f"user{next(self.numbers)}")
        login = f"{local}@{DOMAIN}"
        password = password or "correct horse battery staple"
        self.embedded.api.create_account(login, password)
        if "policy" in wishes:
            path = f"/v1/accounts/{segment(login)}"
            patch = {"policy": wishes["policy"]}
            self.embedded.api.call("PATCH", path, patch, content_type="application/merge-patch+json")
        scram = self._app_password(login) if wishes.get("scram") else None
        legacy = self._app_password(login, legacy=True) if wishes.get("legacy") else None
        return Account(login, password, scram, legacy)

    def _app_password(self, login: str, **more: object) -> str:
        issued = self.embedded.api.post(
            f"/v1/accounts/{segment(login)}/app-passwords", {"name": f"device {next(self.numbers)}", **more}
        )
        return issued["secret"]

    def token(self, account: Account, **claims: object) -> str:
        return self.issuer.token(account.login, **claims)

    def client_certificate(self, account: Account) -> tuple[Path, Path]:
        return self.authority.issue(account.login)

    def device(self, account: Account) -> Account:
        return Account(account.login, self._app_password(account.login))

    def deliver(self, account: Account, messages: list[bytes]) -> None:
        with Lmtp(self.embedded.lmtp) as session:
            for message in messages:
                parameters = "" if account.login.isascii() and message.isascii() else " BODY=8BITMIME SMTPUTF8"
                (reply,) = session.deliver("sender@sender.test", [account.login], message, parameters=parameters)
                if reply.code != 250:
                    raise AssertionError(f"{account.login}: {reply}")

    def suspend(self, account: Account) -> None:
        self.embedded.api.call(
            "PATCH",
            f"/v1/accounts/{segment(account.login)}",
            {"status": "suspended"},
            content_type="application/merge-patch+json",
        )

    def restart(self) -> None:
        """A further frontend is enough to see what another process says; this one goes on."""
        raise NotApplicable("another frontend shows the same")

    # --- faults

    def _psql(self) -> list[str]:
        return [
            "psql",
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-h",
            self.embedded.postmaster()[4],
            "-d",
            "restante",
        ]

    @contextlib.contextmanager
    def held_updates(self, account: Account) -> Iterator[None]:
        """Another transaction holds the maildrop's row."""
        psql = subprocess.Popen(self._psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert psql.stdin is not None and psql.stdout is not None
        try:
            psql.stdin.write(
                "BEGIN; SELECT 1 FROM restante.maildrops m JOIN restante.accounts a USING (tenant_id, account_id) "
                f"WHERE a.local_part = '{account.local_part}' FOR UPDATE OF m;\n\\echo held\n"
            )
            psql.stdin.flush()
            while (line := psql.stdout.readline()).strip() != "held":
                if not line:
                    raise AssertionError("psql ended")
            yield
        finally:
            psql.communicate("ROLLBACK;\n", timeout=10)

    @contextlib.contextmanager
    def _without(self, function: str) -> Iterator[None]:
        """The role of the frontends may not call a function of the database."""
        self.embedded.sql(
            f"DO $$ DECLARE f text; BEGIN FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE '{function}%' LOOP "
            "EXECUTE 'REVOKE EXECUTE ON FUNCTION ' || f || ' FROM restante_pop3'; END LOOP; END $$"
        )
        try:
            yield
        finally:
            self.embedded.sql(
                f"DO $$ DECLARE f text; BEGIN FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE '{function}%' LOOP "
                "EXECUTE 'GRANT EXECUTE ON FUNCTION ' || f || ' TO restante_pop3'; END LOOP; END $$"
            )

    def broken_updates(self) -> contextlib.AbstractContextManager[None]:
        return self._without("pop3_quit_")

    def broken_logins(self) -> contextlib.AbstractContextManager[None]:
        return self._without("pop3_login_2")

    @contextlib.contextmanager
    def broken_bodies(self, account: Account) -> Iterator[None]:
        """The segments' directory is away."""
        here = self.embedded.directory / "segments"
        away = here.with_name("segments-away")
        here.rename(away)
        try:
            yield
        finally:
            away.rename(here)
