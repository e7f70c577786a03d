"""Moving in: from a real Dovecot over POP3 and IMAP and by its files, from maildirs and mboxes; moving out, and in again.

What a client of the old server saw, it sees of Restante: unique-ids, order, octets (after mending).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import corpus
from harness import octets, recount
from harness.dovecot import PASSWORD, OldServer
from harness.process import wait_until
from harness.service import Cluster, binary
from harness.tenants import Tenant, new_tenant

# What Dovecot's LMTP takes for the end of a message, or alters: a dot after a bare line feed, a bare CR, NUL.
PLAIN = [m.octets for m in corpus.messages() if b"\r" not in m.octets.replace(b"\r\n", b"") and b"\0" not in m.octets]
PLAIN = [text for text in PLAIN if b"\n." not in text.replace(b"\r\n", b"") and 0 < len(text) < 3_000_000]
FORMATS = {"default": "%08Xu%08Xv", "other": "UID%u-%v"}


@pytest.fixture(scope="module", params=FORMATS)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldServer]:
    """A Dovecot with mail for alice, some of it seen by a client."""
    with OldServer(tmp_path_factory.mktemp("old") / "dovecot", FORMATS[request.param]) as server:
        server.deliver("alice", PLAIN)
        yield server


@pytest.fixture
def tenant(cluster: Cluster) -> Tenant:
    return new_tenant(cluster)


def restante(
    cluster: Cluster, *words: str | Path, password: str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """A command that has to end with `code`."""
    env = cluster.environment()
    if password is not None:
        env["RESTANTE_IMPORT_PASSWORD"] = password
    done = subprocess.run(
        [binary(), *words], env=env, capture_output=True, text=True, timeout=250, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
    assert PASSWORD not in done.stdout + done.stderr
    return done


def run_import(
    cluster: Cluster, account: str, source: str, *more: str | Path, password: str | None = PASSWORD, code: int = 0
) -> dict:
    done = restante(cluster, "import", "--json", "--account", account, source, *more, password=password, code=code)
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def seen(cluster: Cluster, account: str) -> list[tuple[str, bytes]]:
    """What a POP3 client sees of Restante: unique-ids and messages, in order."""
    with cluster.open(account, "correct horse battery staple") as session:
        unique_ids, listing = session.uidl(), session.list()
        messages = session.retr_all()
        session.quit()
    assert list(listing.values()) == [len(message) for message in messages]
    return list(zip(unique_ids.values(), messages, strict=True))


def check(cluster: Cluster, account: str, expected: list[tuple[str, bytes]]) -> None:
    """Unique-ids, order and octets are those, once each."""
    found = seen(cluster, account)
    assert [unique_id for unique_id, _ in found] == [unique_id for unique_id, _ in expected]
    for (unique_id, message), (_, text) in zip(found, expected, strict=True):
        assert octets.difference(octets.mend(text), message) is None, unique_id


def source_of(old: OldServer, kind: str, user: str = "alice") -> str:
    return f"{kind}://{user}@old.test@localhost:{getattr(old, kind)}"


@pytest.mark.parametrize("kind", ["pop3", "pop3s"])
def test_a_pop3_server_keeps_its_mail_and_gives_unique_ids_and_order(
    cluster: Cluster, tenant: Tenant, old: OldServer, kind: str
) -> None:
    account, before = tenant.add("alice"), old.seen_over_pop3("alice")
    more = ["--tls-authorities", old.certificate]
    done = run_import(cluster, account, source_of(old, kind), *more)
    assert (done["complete"], done["imported"], done["known"], done["skipped"]) == (True, len(PLAIN), 0, 0)
    check(cluster, account, before)
    assert old.seen_over_pop3("alice") == before, "it leaves the mail there"
    done = run_import(cluster, account, source_of(old, kind), *more)
    assert (done["imported"], done["known"]) == (0, len(PLAIN))
    check(cluster, account, before)
    assert recount.problems(cluster) == []


@pytest.mark.parametrize("kind", ["imap", "imaps"])
def test_an_imap_server_keeps_its_flags_and_its_uids_give_order_and_unique_ids(
    cluster: Cluster, tenant: Tenant, old: OldServer, kind: str
) -> None:
    account, user = tenant.add("alice"), f"imap-{tenant.slug}"
    # Nobody has read them: BODY instead of BODY.PEEK would mark them as seen.
    old.deliver(user, PLAIN)
    more = ["--tls-authorities", old.certificate, "--uidl-format", old.uidl_format]
    done = run_import(cluster, account, source_of(old, kind, user), *more)
    assert (done["complete"], done["imported"], done["own_unique_ids"]) == (True, len(PLAIN), 0)
    flags = {path.name.partition(":2,")[2] for path in old.maildir(user).glob("*/*") if path.parent.name != "tmp"}
    assert flags == {""}, "no flag changed"
    before = old.seen_over_pop3(user)
    check(cluster, account, before)
    assert run_import(cluster, account, source_of(old, kind, user), *more)["imported"] == 0
    # The last mail comes over POP3, after the first copy by IMAP: what is the same is known by unique-id and octets.
    old.deliver(user, [b"Subject: late\r\n\r\nlate\r\n"])
    after = old.seen_over_pop3(user)
    done = run_import(cluster, account, source_of(old, "pop3", user), "--tls-authorities", old.certificate)
    assert (done["imported"], done["known"], done["own_unique_ids"]) == (1, len(before), 0)
    check(cluster, account, after)


def test_a_copy_of_its_maildir_says_the_same_as_its_pop3(
    cluster: Cluster, tenant: Tenant, old: OldServer, tmp_path: Path
) -> None:
    account, before = tenant.add("alice"), old.seen_over_pop3("alice")
    copied = old.copy_maildir("alice", tmp_path / "first")
    more = [] if old.uidl_format == FORMATS["default"] else ["--uidl-format", old.uidl_format]
    done = run_import(cluster, account, f"maildir:{copied}", *more, password=None)
    assert (done["imported"], done["own_unique_ids"]) == (len(before), 0)
    check(cluster, account, before)
    # A second copy, elsewhere: the messages are the same.
    again = old.copy_maildir("alice", tmp_path / "second")
    done = run_import(cluster, account, f"maildir:{again}", *more, password=None)
    assert (done["imported"], done["known"]) == (0, len(before))


def test_a_server_without_tls_does_not_get_the_password(cluster: Cluster, tenant: Tenant, old: OldServer) -> None:
    account = tenant.add("alice")
    for kind in ("pop3", "imap"):
        done = run_import(cluster, account, source_of(old, kind), code=1)
        assert "certificate" in done["error"] and not done["complete"]
    done = restante(cluster, "import", "--account", account, "pop3://alice:secret@localhost", code=1)
    assert "password" in done.stderr and "secret" not in done.stderr
    done = run_import(
        cluster, account, source_of(old, "pop3"), "--tls-authorities", old.certificate, password="x", code=1
    )
    assert "login failed" in done["error"]
    done = run_import(
        cluster, account, source_of(old, "imap"), "--tls-authorities", old.certificate, password="x", code=1
    )
    assert "login failed" in done["error"]
    assert seen(cluster, account) == []


def small_messages(count: int) -> list[bytes]:
    return [b"Subject: %d\r\n\r\n" % n + corpus.lines_of(n, 12, 70) for n in range(count)]


def test_killed_in_the_middle_and_run_again_every_message_is_there_once(
    cluster: Cluster, tenant: Tenant, old: OldServer, tmp_path: Path
) -> None:
    user = f"kill-{tenant.slug}"
    old.deliver(user, small_messages(400))
    before = old.seen_over_pop3(user)
    account = tenant.add("alice")
    source = f"pop3://{user}@old.test@localhost:{old.pop3}"
    words = [
        "import",
        "--json",
        "--account",
        account,
        source,
        "--tls-authorities",
        old.certificate,
        "--segment-octets",
        "20000",
    ]
    env = {**cluster.environment(), "RESTANTE_IMPORT_PASSWORD": PASSWORD}
    counts = "select coalesce(sum(live_messages), 0) from restante.maildrops join restante.accounts using (tenant_id, account_id) " \
        f"join restante.tenants using (tenant_id) where slug = '{tenant.slug}'"  # fmt: skip
    for number, at_least in ((signal.SIGKILL, 60), (signal.SIGKILL, 120), (signal.SIGINT, 180)):
        log = (tmp_path / "log").open("w")
        running = subprocess.Popen(
            [binary(), *words, "--octets-per-second", "60000"],
            env=env,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        wait_until("some messages are there", lambda least=at_least: int(cluster.sql(counts)[0][0]) >= least, 60)
        running.send_signal(number)
        code = running.wait(20)
        assert code == (130 if number == signal.SIGINT else -number), (tmp_path / "log").read_text()
        taken = int(cluster.sql(counts)[0][0])
        assert at_least <= taken < 400
        found = seen(cluster, account)
        assert [u for u, _ in found] == [u for u, _ in before][:taken], "a beginning of it, in order"
    done = json.loads(restante(cluster, *words, password=PASSWORD).stdout)
    assert done["imported"] == 400 - taken and done["known"] == taken
    check(cluster, account, before)
    assert recount.problems(cluster) == []


def test_a_courier_maildir_and_one_without_any_index(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    root = tmp_path / "Maildir"
    for name in ("cur", "new", "tmp"):
        (root / name).mkdir(parents=True)
    texts = {
        "cur/1600000002.b.host:2,S": b"b: 2\n\n.\nbare\rcr\n",
        "new/1600000003.c.host": b"c",
        "cur/1600000001.a.host:2,": b"a: 1\n",
    }
    for name, text in texts.items():
        (root / name).write_bytes(text)
        os.utime(root / name, (1_600_000_000, 1_600_000_000))
    (root / "cur" / "1600000004.z.host:2,").write_bytes(b"\x1f\x8b\x08\0compressed")
    (root / "courierpop3dsizelist").write_text("/3 9 17\n1600000002.b.host:2,S 9 7:17:0\n1600000001.a.host 9 0:0:0\n")
    account = tenant.add("alice")
    done = run_import(cluster, account, f"maildir:{root}", password=None, code=3)
    assert (done["complete"], done["imported"], done["skipped"], done["own_unique_ids"]) == (True, 3, 1, 1)
    (skipped,) = done["skipped_messages"]
    assert "1600000004" in skipped["message"] and "compressed" in skipped["reason"]
    found = seen(cluster, account)
    assert [unique_id for unique_id, _ in found][:2] == ["1600000001.a.host", "UID7-17"]
    assert [text for _, text in found] == [b"a: 1\r\n\r\n", b"b: 2\r\n\r\n.\r\nbare\r\ncr\r\n", b"c\r\n\r\n"]
    # Its flags change, and it moves to cur: it is the same message all the same.
    (root / "new/1600000003.c.host").rename(root / "cur/1600000003.c.host:2,RS")
    assert run_import(cluster, account, f"maildir:{root}", password=None, code=3)["imported"] == 0
    assert cluster.sql(
        "select count(*) from restante.message_extras join restante.tenants using (tenant_id) "
        f"where slug = '{tenant.slug}' and received_at = to_timestamp(1600000000)"
    ) == [["3"]]


FROM = b"From %s Thu Nov  5 10:30:07 2026\n"


def test_an_mbox_with_awkward_from_lines(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    bodies = [
        b"Subject: 1\nContent-Length: 3\n\nFrom the first line\n\nFrom now on, 10:30\n>From quoted\n>>From twice\n",
        b"Subject: 2\nX-UIDL: abc\nStatus: RO\n\nno empty line after the last\n",
        b"Subject: twice\n\nthe same\n",
        b"Subject: twice\n\nthe same\n",
        b"",
        b"Subject: last\r\n\r\nCRLF\r\n",
    ]
    senders = [b"a@b.test", b"-", b"MAILER-DAEMON", b"x", b"<>", b'"a b"@c']
    mbox = tmp_path / "mbox"
    mbox.write_bytes(b"".join(FROM % sender + body + b"\n" for sender, body in zip(senders, bodies, strict=True)))
    account = tenant.add("alice")
    done = run_import(cluster, account, f"mbox:{mbox}", "--x-uidl", password=None)
    assert done["imported"] == 6
    wanted = [octets.mend(body.replace(b"\n>From", b"\nFrom").replace(b"\n>>From", b"\n>From")) for body in bodies]
    found = seen(cluster, account)
    assert [text for _, text in found] == wanted
    assert found[1][0] == "abc"
    # The old server notes what was read, and a message comes.
    mbox.write_bytes(mbox.read_bytes().replace(b"Status: RO", b"Status: O") + FROM % b"y" + b"Subject: new\n\n\n")
    done = run_import(cluster, account, f"mbox:{mbox}", password=None)
    assert (done["imported"], done["known"]) == (1, 6)
    assert seen(cluster, account)[:6] == found
    broken = tmp_path / "broken"
    broken.write_bytes(b"Subject: no mbox\n\n")
    assert "From" in run_import(cluster, account, f"mbox:{broken}", password=None, code=1)["error"]


def test_quota_stops_and_says_so(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    mbox = tmp_path / "mbox"
    mbox.write_bytes(b"".join(FROM % b"a" + b"Subject: %d\n\nx\n\n" % n for n in range(10)))
    account = tenant.add("alice", quota={"octets": 100, "messages": 100})
    done = run_import(cluster, account, f"mbox:{mbox}", password=None, code=1)
    assert "over quota" in done["error"] and done["imported"] == 5
    assert len(seen(cluster, account)) == 5
    done = run_import(cluster, account, f"mbox:{mbox}", "--over-quota", password=None)
    assert (done["imported"], done["known"]) == (5, 5)
    done = run_import(cluster, f"nobody@{tenant.domain}", f"mbox:{mbox}", password=None, code=1)
    assert "no such account" in done["error"]


def test_a_map_moves_many_accounts_one_after_the_other(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    lines = ["# from the old server"]
    for n in range(3):
        mbox = tmp_path / f"mbox{n}"
        mbox.write_bytes(b"".join(FROM % b"a" + b"Subject: %d-%d\n\nx\n\n" % (n, i) for i in range(n + 1)))
        lines.append(f"{tenant.add(f'user{n}')} mbox:{mbox}")
    lines.insert(2, f"nobody@{tenant.domain} mbox:{tmp_path}/mbox0")
    (tmp_path / "map").write_text("\n".join(lines) + "\n")
    done = restante(cluster, "import", "--map", tmp_path / "map", "--json", code=1)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(o["complete"], o["imported"]) for o in outcomes] == [(True, 1), (False, 0), (True, 2), (True, 3)]
    lines.pop(2)
    (tmp_path / "map").write_text("\n".join(lines) + "\n")
    done = restante(cluster, "import", "--map", tmp_path / "map")
    assert done.stdout.count("0 messages imported") == 3


@pytest.mark.parametrize("form", ["mbox", "maildir"])
def test_exported_and_imported_again_it_is_the_same(
    cluster: Cluster, tenant: Tenant, tmp_path: Path, form: str
) -> None:
    account, other = tenant.add("alice"), tenant.add("bob")
    awkward = [b"From here\n\nFrom a@b.test Thu Nov  5 10:30:07 2026\n>From x\n\n\n", b"a: 1\n\n\nFrom \n\n"]
    texts = [m.octets for m in corpus.messages() if len(m.octets) < 3_000_000] + awkward
    for text in texts:
        cluster.deliver([account], text)
    # Some as they come from elsewhere, without lines of ours.
    (tmp_path / "in").write_bytes(b"".join(FROM % b"a" + text + b"\n" for text in (b"\n", b"x\n", b">>From\n\n")))
    run_import(cluster, account, f"mbox:{tmp_path / 'in'}", password=None)
    before = seen(cluster, account)
    assert len(before) == len(texts) + 3
    out = tmp_path / "out"
    done = restante(cluster, "export", "--account", account, "--format", form, out)
    assert f"{len(before)} messages written" in done.stdout
    assert run_import(cluster, other, f"{form}:{out}", password=None)["own_unique_ids"] == 0
    assert [u for u, _ in seen(cluster, other)] == [u for u, _ in before]
    assert seen(cluster, other) == before
    if form == "maildir":
        done = restante(cluster, "export", "--account", account, "--format", form, out)
        assert f" 0 messages written, {len(before)} were there already" in done.stdout
        assert list((out / "tmp").iterdir()) == []
    else:
        assert (
            "is there already"
            in restante(cluster, "export", "--account", account, "--format", form, out, code=1).stderr
        )
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out", "out.uidlist"]
    # Into the account itself: nobody's unique-id is given twice.
    done = run_import(cluster, account, f"{form}:{out}", password=None)
    assert len({u for u, _ in seen(cluster, account)}) == done["imported"] + len(before)
    # All of a tenant.
    done = restante(cluster, "export", "--all", "--tenant", tenant.slug, "--format", form, tmp_path / "all")
    assert sorted(
        p.name.removesuffix(".mbox") for p in (tmp_path / "all").iterdir() if not p.name.endswith(".uidlist")
    ) == [account, other]


def test_dovecot_takes_an_exported_maildir_with_its_unique_ids(
    cluster: Cluster, tenant: Tenant, old: OldServer
) -> None:
    account = tenant.add("alice")
    for n in range(5):
        cluster.deliver([account], b"Subject: %d\r\n\r\n.x\r\n" % n)
    user = f"back-{tenant.slug}"
    maildir = old.maildir(user)
    maildir.parent.mkdir(parents=True)
    restante(cluster, "export", "--account", account, "--format", "maildir", maildir)
    owner = (old.root / "home").stat()
    for path in [maildir.parent, *maildir.parent.rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    assert old.seen_over_pop3(user) == seen(cluster, account)


def test_deliveries_go_on_while_a_slow_import_runs(cluster: Cluster, tenant: Tenant, tmp_path: Path) -> None:
    account = tenant.add("alice")
    mbox = tmp_path / "mbox"
    mbox.write_bytes(b"".join(FROM % b"a" + b"Subject: import %d\n\nx\n\n" % n for n in range(300)))
    env = cluster.environment()
    running = subprocess.Popen(
        [binary(), "import", "--account", account, f"mbox:{mbox}", "--segment-octets", "100", "--octets-per-second", "3000"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    delivered = 0
    while running.poll() is None:
        cluster.deliver([account], b"Subject: delivered\r\n\r\nx\r\n")
        delivered += 1
        time.sleep(0.01)
    assert running.returncode == 0
    subjects = [text.split(b"Subject: ")[1].split(b"\r\n")[0] for _, text in seen(cluster, account)]
    assert [s for s in subjects if s != b"delivered"] == [b"import %d" % n for n in range(300)]
    assert subjects.count(b"delivered") == delivered > 0
    assert recount.problems(cluster) == []
