"""The README's commands work as printed; only the ports are those of this run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Api
from harness.service import Embedded, address_of, environment

README = Path(__file__).parents[2] / "README.md"
GUIDE = README.parent / "docs" / "admin-api.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    service = Embedded(tmp_path_factory.mktemp("readme") / "demo-data")
    service.start("--demo")
    yield service
    service.stop()


def commands(demo: Embedded, section: str) -> str:
    """The shell block of a section."""
    text = README.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None, section
    script = block.group(1)
    for name, port in (("pop3s", 1995), ("pop3", 1110), ("lmtp", 1124), ("admin", 8080), ("ops", 9400)):
        script = script.replace(f":{port}/", f":{address_of(demo.ready[name])[1]}/")
    return script


def test_the_guide_to_the_api(demo: Embedded) -> None:
    """docs/admin-api.md, all of its commands one after the other."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    script = "".join(blocks).replace("127.0.0.1:8080", f"127.0.0.1:{address_of(demo.ready['admin'])[1]}")
    said = run(demo, script)
    assert '"next_cursor"' in said and '"secret"' in said
    # What only shows a refusal shows this one.
    assert re.findall(r"/problems/[a-z-]+", said) == ["/problems/invalid"], said
    assert demo.api.account("alice@globex.test")["quota"]["octets"] == 1_000_000_000
    assert len(demo.api.get("/v1/accounts/alice@globex.test/app-passwords")["items"]) == 1


def run(demo: Embedded, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=demo.directory.parent,
        env=environment(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, (said, done.stderr.decode("utf-8", "replace"))
    return said


def test_fetch_mail(demo: Embedded) -> None:
    said = run(demo, commands(demo, "Fetch mail"))
    listings = re.findall(r"(?m)^1 [0-9]+\r?$", said)
    assert len(listings) == 2, said
    assert "Delivered-To: alice@demo.test" in said


def test_the_fetchmailrc(demo: Embedded, tmp_path: Path) -> None:
    text = README.read_text()
    line = re.search(r"(?m)^poll localhost .*$", text)
    assert line is not None
    password = (demo.directory / "demo-password-alice").read_text().strip()
    rc = line.group(0).replace("1995", str(address_of(demo.ready["pop3s"])[1])).replace("…", password)
    path = demo.directory.parent / "fetchmailrc"  # beside demo-data, where the path in it begins
    path.write_text(f"{rc} mda \"cat >>'{tmp_path}/mail'\"\n")
    path.chmod(0o600)
    run(demo, f"fetchmail --nosyslog --pidfile {tmp_path}/pid -f {path} --idfile {tmp_path}/ids")
    assert b"alice@demo.test" in (tmp_path / "mail").read_bytes()


def test_manage(demo: Embedded) -> None:
    said = run(demo, commands(demo, "Manage"))
    assert "/problems/" not in said, said
    assert '"unique_id"' in said
    assert demo.api.account("carol@acme.test")["quota"] == {
        "octets": 1_000_000_000,
        "messages": 100_000,
        "deliveries_per_hour": None,
    }
    assert len(demo.api.items("/v1/accounts/carol@acme.test/messages")) == 1


def test_undelete(demo: Embedded) -> None:
    address = "alice@demo.test"
    before = demo.api.items(f"/v1/accounts/{address}/messages")
    with demo.open(address, (demo.directory / "demo-password-alice").read_text().strip()) as session:
        session.dele(1)
        session.quit()
    definitions = "".join(commands(demo, "Manage").splitlines(keepends=True)[:2])
    said = run(demo, definitions + commands(demo, "Undelete"))
    assert "/problems/" not in said, said
    assert f'{{"messages":1,"octets":{before[0]["octets"]}}}' in said, said
    assert demo.api.items(f"/v1/accounts/{address}/messages") == before


def test_the_api_page(demo: Embedded) -> None:
    page = Api(demo.ready["admin"], None)
    html = page.call("GET", "/")
    if html is None:  # it leads to where the page is
        html = page.call("GET", page.headers["location"])
    assert b"<html" in bytes(html).lower()
