"""People at the admin API, from the command line to the last refused request."""

from __future__ import annotations

import subprocess
import urllib.parse
from pathlib import Path

import pytest

from harness.api import Api, Problem
from harness.service import Embedded, binary, environment


def tool(service: Embedded, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the operator, on the embedded parts."""
    socket = urllib.parse.quote(service.postmaster()[4], safe="")
    env = environment(
        {
            "RESTANTE_DATABASE_URL": f"postgres://postgres@{socket}/restante",
            "RESTANTE_OBJECT_STORE_URL": f"file://{service.directory}/segments",
            "RESTANTE_MASTER_KEY_FILE": str(service.directory / "master-key"),
        }
    )
    return subprocess.run(
        [binary(), *words], env=env, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def sign_in(service: Embedded, name: str, password: str) -> dict[str, str]:
    answer = service.api.with_token(None).post("/v1/sign-in", {"name": name, "password": password})
    assert isinstance(answer, dict)
    return answer


def refused(api: Api, path: str) -> int:
    with pytest.raises(Problem) as problem:
        api.get(path)
    return problem.value.status


def test_the_first_administrator_comes_from_the_command_line(embedded: Embedded) -> None:
    made = tool(embedded, "admin", "create", "--name", "Root@platform.test", "--role", "platform-admin")
    assert made.returncode == 0, made.stderr
    password = made.stdout.strip()
    assert len(password) == 20 and password not in made.stderr
    tokens = sign_in(embedded, "root@platform.test", password)
    api = embedded.api.with_token(tokens["access_token"])
    me = api.get("/v1/me")
    assert (me["name"], me["role"], me["tenant"]) == ("root@platform.test", "platform-admin", None)

    embedded.api.post("/v1/tenants", {"slug": "people", "name": "People"})
    words = ("admin", "create", "--name", "desk@people.test", "--role", "helpdesk", "--tenant", "people")
    made = tool(embedded, *words, "--password-stdin", stdin="correct horse\n")
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    desk = embedded.api.with_token(sign_in(embedded, "desk@people.test", "correct horse")["access_token"])
    assert [tenant["slug"] for tenant in desk.get("/v1/tenants")["items"]] == ["people"]
    for wrong in (
        ("--name", "desk@people.test", "--role", "helpdesk"),
        ("--name", "x@people.test", "--role", "god"),
        ("--name", "nobody", "--role", "helpdesk"),
        ("--name", "x@people.test", "--role", "tenant-admin", "--tenant", "nobody"),
    ):
        assert tool(embedded, "admin", "create", *wrong).returncode == 1, wrong

    # Signed out, the next request is refused.
    assert api.post("/v1/sign-out", {"everywhere": True}) == {"ended": 1}
    assert refused(api, "/v1/me") == 401


def test_a_signing_key_is_rotated_while_the_service_runs(embedded: Embedded) -> None:
    made = tool(embedded, "admin", "create", "--name", "keys@platform.test", "--role", "auditor")
    old = embedded.api.with_token(sign_in(embedded, "keys@platform.test", made.stdout.strip())["access_token"])
    before = [key["kid"] for key in old.get("/v1/jwks.json")["keys"]]
    done = tool(embedded, "keys", "rotate", "--signing")
    assert done.returncode == 0, done.stderr
    assert old.get("/v1/me")["name"] == "keys@platform.test", "what was signed before still holds"
    listed = tool(embedded, "keys", "list").stdout
    assert "1 sealed secrets" in listed, listed
    kids = embedded.sql("SELECT key_id FROM restante.signing_keys ORDER BY created_at")
    assert len(kids) == len(before) + 1
    events = embedded.sql(
        "SELECT target FROM restante.audit_events WHERE action = 'keys.rotate' AND target = 'signing'"
    )
    assert events == [["signing"]]


def test_no_secret_of_a_person_is_logged(embedded: Embedded) -> None:
    log = Path(embedded.log).read_text()
    assert "correct horse" not in log and "rsf-" not in log and "eyJ" not in log
