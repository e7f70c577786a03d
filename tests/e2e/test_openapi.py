"""The document of the admin API: a linter judges it, and schemathesis holds the running service to it, operation by operation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Api
from harness.service import Embedded, binary, environment

TESTS = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "restante"
SECONDS, SOAK_SECONDS = 75, 900
# No bound on how often: the run asks as often as it can, and signs in with whatever there is. Refusals of sign-ins come at once.
UNBOUNDED = {
    **{f"RESTANTE_ADMIN__RATE_LIMIT__{bound}": "0" for bound in ("PER_CALLER", "PER_ADDRESS", "FAILURES_PER_ADDRESS")},
    **{f"RESTANTE_DIRECTORY__SLOW_DOWN__{of}_FAILURES": "1000000" for of in ("NETWORK", "ACCOUNT")},
    "RESTANTE_ADMIN__REFUSAL_MS": "0",
    "RESTANTE_ADMIN__PUBLIC_URL": "https://admin.example.com",
}
# The password is that of the document's examples.
PERSON = {"name": "run@platform.test", "password": "correct horse"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `restante openapi` prints it."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_bytes(subprocess.run([binary(), "openapi"], check=True, capture_output=True).stdout)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The small world that the document's examples are of, and a second tenant."""
    service = Embedded(tmp_path_factory.mktemp("world") / "data")
    service.start(env=UNBOUNDED)
    api = service.api
    for slug, domain, accounts in (("acme", "acme.test", ("alice", "bob")), ("globex", "globex.test", ("gus",))):
        api.create_tenant(slug)
        api.create_domain(domain, slug)
        for local in accounts:
            api.create_account(f"{local}@{domain}", "correct horse battery staple")
    api.create_alias("info@acme.test", ["alice@acme.test"])
    api.create_app_password("alice@acme.test", "phone")
    api.create_key("ci", "acme", "tenant-admin")
    api.post(
        "/v1/admins", {"name": "dora@acme.test", "tenant": "acme", "role": "helpdesk", "password": "correct horse"}
    )
    for owner in ("/v1/tenants/acme", "/v1"):
        api.call("PUT", f"{owner}/oidc", {"issuer": "https://id.acme.test", "client_id": "restante"})
    hook = api.post("/v1/webhooks", {"url": "https://hooks.acme.test/restante", "events": ["*"], "tenant": "acme"})
    api.post(f"/v1/webhooks/{hook['id']}/test", {})
    api.call(
        "POST", "/v1/imports?tenant=acme", b'{"address": "carla@acme.test"}\n', content_type="application/x-ndjson"
    )
    for n in range(3):
        api.submit("alice@acme.test", b"Subject: %d\r\n\r\nx\r\n" % n)
    with service.open("alice@acme.test", "correct horse battery staple") as session:
        session.dele(1)
        session.quit()
    yield service
    service.stop()


def test_the_document_has_no_findings(document: Path) -> None:
    done = subprocess.run(
        [CACHE / "openapi/node_modules/.bin/redocly", "lint", document, "--config", TESTS / "openapi/redocly.yaml",
         "--format", "json", "--max-problems", "1000"],
        env={**environment(), "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    found = [f"{one['ruleId']}: {one['message']} at {one['location'][0].get('pointer')}" for one in report["problems"]]
    assert (done.returncode, found) == (0, []), done.stderr[-2000:]


def test_the_service_prints_what_it_serves(document: Path, world: Embedded) -> None:
    assert json.loads(document.read_bytes()) == world.api.with_token(None).get("/v1/openapi.json")


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 900)
def test_the_service_keeps_to_the_document(document: Path, world: Embedded, soak: bool, tmp_path: Path) -> None:
    """All checks in all phases, from one seed. The time bounds the phases that would go on for ever; whatever fails is told with a
    command that repeats it."""
    seconds = SOAK_SECONDS if soak else SECONDS
    described = json.loads(document.read_bytes())
    operations = {
        (method.upper(), path): item[method]["x-permission"]
        for path, item in described["paths"].items()
        for method in item.keys() & {"get", "put", "post", "patch", "delete"}
    }
    # Everything, `messages:raw` too, which no role has without its scope.
    scopes = sorted(set(operations.values()) - {"any", "person", "none"})
    own = world.api.post("/v1/api-keys", {"name": "run", "role": "platform-admin", "scopes": scopes})
    person = world.api.post("/v1/admins", {**PERSON, "role": "platform-admin"})
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "--no-color", "--config-file", TESTS / "openapi/schemathesis.toml",
         "run", document, "--url", world.api.url, "--header", f"Authorization: Bearer {own['secret']}",
         "--checks", "all", "--seed", "1", "--max-time", str(seconds), "--workers", "1",
         "--max-examples", "1000" if soak else "5", "--request-timeout", "30", "--output-sanitize", "false"],
        cwd=tmp_path, env={**environment(), "PYTHONPATH": str(TESTS), "RESTANTE_OWN_KEY": own["id"],
             "RESTANTE_OWN_PERSON": person["id"], "RESTANTE_OWN_NAME": PERSON["name"],
             "RESTANTE_OWN_PASSWORD": PERSON["password"]},
        capture_output=True, text=True, timeout=seconds + 600, check=False,
    )  # fmt: skip
    said = done.stdout.replace(own["secret"], "…")
    assert done.returncode == 0, said[-100_000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: ([0-9]+)", said)
    assert tested is not None and int(tested.group(1)) == len(operations), said
    # The run got through: its key is still good, and what is there to be done was done.
    assert world.api.with_token(own["secret"]).get("/v1/tenants")["items"]
    never = operations.keys() - succeeded(world)
    assert len(never) <= len(operations) // 4, f"never succeeded: {sorted(never)}"
    assert "panicked" not in world.log.read_text()


def succeeded(service: Embedded) -> set[tuple[str, str]]:
    """The operations that answered 2xx, or sent a browser on, by the service's own count."""
    text = Api(service.ready["ops"], None).call("GET", "/metrics").decode()
    line = re.compile(r'restante_admin_request_seconds_count\{method="(\w+)",route="([^"]*)",status="(?:2\d\d|303)"\}')
    return {(found.group(1), found.group(2)) for found in line.finditer(text)}
