"""curl, fetchmail, mpop, getmail and neomutt."""

from __future__ import annotations

import mailbox
import shlex
from functools import partial

from harness.clients import _UNTIL_PARENT_SLEEPS, delivery_agent, private, run, stored

from .ways import Job, Way


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def curl(job: Job, tls: str) -> list[bytes]:
    base = f"{'pop3s' if tls == 'implicit' else 'pop3'}://localhost:{job.pop3s if tls == 'implicit' else job.pop3}"
    config = [f"cacert = {_quoted(str(job.certificate))}", "silent", "show-error"]
    if tls != "none":
        config.append("ssl-reqd")
    if job.mechanism in ("OAUTHBEARER", "XOAUTH2"):
        config += [f"user = {_quoted(job.user)}", f"oauth2-bearer = {_quoted(job.secret)}"]
    elif job.mechanism == "EXTERNAL":
        certificate, key = job.server.client_certificate(job.account)
        config += [
            f"user = {_quoted(job.user + ':')}",
            f"cert = {_quoted(str(certificate))}",
            f"key = {_quoted(str(key))}",
        ]
    else:
        config.append(f"user = {_quoted(f'{job.user}:{job.secret}')}")
    # It has no word for USER and PASS: it uses them where there is no mechanism.
    options = "AUTH=+APOP" if job.mechanism == "APOP" else f"AUTH={job.mechanism}"
    config.append(f"login-options = {_quoted(options)}")
    if tls == "stls":  # and the one-line form in one of the two
        config.append("sasl-ir")
    common = "\n".join(config) + "\n"
    listing = run(
        ["curl", "--config", private(job.directory / "list", f"{common}url = {_quoted(base + '/')}\n")], job.directory
    )
    numbers = [int(line.split()[0]) for line in listing.splitlines()]
    out = job.directory / "curl"
    out.mkdir()
    fetches = "".join(f'url = "{base}/{number}"\noutput = "{out}/{number:06}"\n' for number in numbers)
    run(["curl", "--config", private(job.directory / "fetch", common + fetches)], job.directory)
    deletions = "next\n".join(f'{common}list-only\nrequest = DELE\nurl = "{base}/{number}"\n' for number in numbers)
    run(["curl", "--config", private(job.directory / "delete", deletions)], job.directory)
    return stored(out)


def fetchmail(job: Job, tls: str) -> list[bytes]:
    mda, out = delivery_agent(job.directory)
    how = "ssl" if tls == "implicit" else "sslproto TLS1.2+"
    protocol = "APOP" if job.mechanism == "APOP" else "POP3"
    auth = {"APOP": "", "USER": "auth password"}.get(job.mechanism, f"auth {job.mechanism.lower()}")
    rc = private(
        job.directory / "fetchmailrc",
        f"set invisible\nset no bouncemail\nset no spambounce\n"
        f"poll localhost protocol {protocol} port {job.pop3s if tls == 'implicit' else job.pop3} no dns {auth} bad-header accept\n"
        f'user "{job.user}" password "{job.secret}" {how} sslcertck sslcertfile "{job.certificate}"\n'
        f'nokeep fetchall no rewrite stripcr pass8bits mda "{mda}"\n',
    )
    # A pid file of its own: without one, root's fetchmails exclude each other.
    run(["fetchmail", "--nodetach", "--nosyslog", "--pidfile", job.directory / "pid", "-f", rc], job.directory)
    return stored(out)


def mpop(job: Job, tls: str) -> list[bytes]:
    out = job.directory / "mpop"
    for name in ("new", "cur", "tmp"):
        (out / name).mkdir(parents=True)
    secret, more = job.secret if job.mechanism != "EXTERNAL" else "unused", ""
    if job.mechanism == "EXTERNAL":
        certificate, key = job.server.client_certificate(job.account)
        more = f"tls_cert_file {certificate}\ntls_key_file {private(job.directory / 'key.pem', key.read_text())}\n"
    # A token is longer than a line of its configuration may be.
    token = private(job.directory / "secret", secret)
    rc = private(
        job.directory / "mpoprc",
        f"account one\nhost localhost\nport {job.pop3s if tls == 'implicit' else job.pop3}\nuser {job.user}\n"
        f"passwordeval cat {token}\nauth {job.mechanism.lower()}\n{more}"
        f"tls on\ntls_starttls {'off' if tls == 'implicit' else 'on'}\ntls_trust_file {job.certificate}\n"
        f"received_header off\nkeep off\nuidls_file {job.directory}/uidls\ndelivery maildir {out}\n",
    )
    run(["mpop", "-q", "-C", rc, "one"], job.directory)
    return stored(out / "new")


def getmail(job: Job, tls: str) -> list[bytes]:
    mda, out = delivery_agent(job.directory, _UNTIL_PARENT_SLEEPS)
    how = "use_apop = true\n" if job.mechanism == "APOP" else ""
    if tls == "implicit":
        kind, where = "SimplePOP3SSLRetriever", f"port = {job.pop3s}\nca_certs = {job.certificate}\n"
    else:
        kind, where = "SimplePOP3Retriever", f"port = {job.pop3}\n"
    private(job.directory / "secret", job.secret)
    password = f'password_command = ("/bin/cat", "{job.directory / "secret"}")\n'
    rc = private(
        job.directory / "getmailrc",
        f"[retriever]\ntype = {kind}\nserver = localhost\nusername = {job.user}\n{password}{where}{how}"
        f"[destination]\ntype = MDA_external\npath = {mda}\nallow_root_commands = true\nunixfrom = false\n"
        f"[options]\nread_all = true\ndelete = true\nverbose = 0\n"
        f"delivered_to = false\nreceived = false\nto_oldmail_on_each_mail = false\n",
    )
    run(["getmail", "--getmaildir", job.directory, "--rcfile", rc], job.directory)
    return stored(out)


def neomutt(job: Job, tls: str) -> list[bytes]:
    spool = job.directory / "spool"
    spool.touch()
    scheme = "pops" if tls == "implicit" else "pop"
    secret = "token" if job.mechanism == "OAUTHBEARER" else "password"
    if secret == "token":
        private(job.directory / "token", job.secret)
        credential = f'set pop_oauth_refresh_command="cat {job.directory / "token"}"\n'
    else:
        credential = f'set pop_pass="{job.secret}"\n'
    rc = private(
        job.directory / "muttrc",
        f'set spoolfile="{spool}"\nset folder="{job.directory}"\nset mbox_type=mbox\n'
        f'set pop_host="{scheme}://{job.user.replace("@", "%40")}@localhost:{job.pop3s if tls == "implicit" else job.pop3}"\n'
        f'set pop_user="{job.user}"\n{credential}set pop_authenticators="{job.mechanism.lower()}"\n'
        f'set pop_delete=yes\nset pop_last=no\nset ssl_starttls=yes\nset ssl_force_tls=yes\nset certificate_file="{job.certificate}"\n'
        f'set ssl_ca_certificates_file="{job.certificate}"\nset ssl_usesystemcerts=no\nset confirmappend=no\nset abort_key="\\e"\nset wait_key=no\n'
        f'set sleep_time=0\nset header_cache=""\n',
    )
    command = shlex.join(
        ["neomutt", "-n", "-F", str(rc), "-f", str(spool), "-e", 'push "<fetch-mail><sync-mailbox><exit>"']
    )
    run(["script", "-qec", f"stty rows 40 cols 120; TERM=xterm {command}", "/dev/null"], job.directory, seconds=60)
    box = mailbox.mbox(spool, create=False)
    try:
        return [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118 (a mailbox is no mapping)
    finally:
        box.close()


def _ways(client: str, fetch, mechanisms: str, tls: str) -> list[Way]:
    return [Way(client, mechanism, partial(fetch, tls=tls), tls) for mechanism in mechanisms.split()]


WAYS = [
    *_ways("curl", curl, "PLAIN LOGIN OAUTHBEARER XOAUTH2 EXTERNAL APOP CRAM-MD5 NTLM", "implicit"),
    *_ways("curl", curl, "PLAIN LOGIN OAUTHBEARER XOAUTH2 EXTERNAL CRAM-MD5 NTLM", "stls"),
    *_ways("fetchmail", fetchmail, "USER APOP CRAM-MD5", "implicit"),
    # Version 1 of NTLM is all that it has, and all that mpop has.
    Way("fetchmail", "NTLM", partial(fetchmail, tls="implicit"), refused=True),
    Way("mpop", "NTLM", partial(mpop, tls="implicit"), refused=True),
    *_ways("fetchmail", fetchmail, "USER", "stls"),
    *_ways(
        "mpop",
        mpop,
        "USER PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256 OAUTHBEARER XOAUTH2 EXTERNAL APOP CRAM-MD5",
        "implicit",
    ),
    *_ways("mpop", mpop, "USER PLAIN SCRAM-SHA-256", "stls"),
    *_ways("getmail", getmail, "USER APOP", "implicit"),
    # Its GNU SASL chooses by itself, takes SCRAM-SHA-256-PLUS where that is offered, and has no channel binding to give
    # (20220429): such mechanisms cannot be asked for one by one. Its buffer for a token is too small for ours.
    *_ways("neomutt", neomutt, "USER APOP", "implicit"),
    *_ways("neomutt", neomutt, "USER", "stls"),
]
