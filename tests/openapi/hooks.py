"""What schemathesis has to know of the admin API beyond its document."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from typing import Any

import requests
import schemathesis
from schemathesis.core.failures import Failure

# A body may be well formed and name what is not there (`not_found`), what may not be where it is (`not_allowed`), or say in a text what
# this text cannot (`invalid`: an address, a network, a certificate), or not be the password (`wrong`): no schema says that. All else that a 422 answers to a valid
# request (`required`, `unknown_field`, `invalid_type`, `too_short`, `too_long`, `out_of_range`) is a fault of the document, or of the service.
SEMANTIC = {"invalid", "not_allowed", "not_found", "wrong"}


@schemathesis.serializer("message/rfc822")
def message(_: Any, value: Any) -> bytes:
    """A message is what it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """One line."""
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


BETWEEN = re.compile(
    r"must be at (most [0-9]+(, the \w+'s|: more are not allowed to what is around it)"
    r"|least [0-9]+: something beneath may (use so much|have so many))$"
)
ENTITY_TAGS = re.compile(r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$')

# Who the run itself asks as: a key, and, where only people may, a person. With them revoked, all else would be refused, and nothing be
# tested; so where a change names them, it is made to name somebody who is not there.
OWN_KEY, OWN_PERSON = os.environ["RESTANTE_OWN_KEY"], os.environ["RESTANTE_OWN_PERSON"]
NAME, PASSWORD = os.environ["RESTANTE_OWN_NAME"], os.environ["RESTANTE_OWN_PASSWORD"]
NOBODY = {OWN_KEY: "key_999999", OWN_PERSON: "adm_999999"}
# The small world of the document's examples: its end is only tried, so that all else has something to reach to the last.
WORLD = {"acme", "acme.test", "alice@acme.test"}


class Person(requests.auth.AuthBase):
    """A person who signed in; again, when a sign-out or the time has ended that."""

    token = ""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # What is asked without a proof stays so.
        if "Authorization" not in request.headers:
            return request
        base = request.url.partition("/v1/")[0] + "/v1"
        if not self.token or requests.get(f"{base}/me", headers=self.headers(), timeout=30).status_code == 401:
            answer = requests.post(f"{base}/sign-in", json={"name": NAME, "password": PASSWORD}, timeout=30)
            answer.raise_for_status()
            self.token = answer.json()["access_token"]
        request.headers.update(self.headers())
        return request

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


PERSON = Person()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.operation.definition.raw.get("x-permission") == "person":
        kwargs["auth"] = PERSON
    method, named = case.method.upper(), case.path_parameters or {}
    if method == "GET":
        return
    if NOBODY.keys() & {value for value in named.values() if isinstance(value, str)}:
        case.path_parameters = {name: NOBODY.get(value, value) for name, value in named.items()}
    # With its password changed, nobody could sign in as this person any more.
    ends = case.path == "/v1/me/password" or (
        method == "DELETE" and _deletes(case.path) and WORLD & set(named.values())
    )
    query = case.query or {}
    if ends and str(query.get("dry_run", "false")).lower() == "false":
        case.query = {**query, "dry_run": "true"}


def _deletes(path: str) -> bool:
    """Whether a DELETE of this path is of what its one parameter names."""
    return path.endswith("}") and path.count("{") == 1


# What trials said that they would make: it was not made, and is not there afterwards.
TRIED: set[str] = set()


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.method.upper() != "POST" or not isinstance(case.body, dict) or response.status_code >= 300:
        return
    named = {value for key in ("slug", "name", "address") if isinstance(value := case.body.get(key), str)}
    if "dry-run" in response.headers:
        TRIED.update(named)
    else:
        TRIED.difference_update(named)


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """False: the failure is none."""
    if type(failure).__name__ == "AcceptedNegativeData":
        # An issuer's answer that is none is refused where the person sees it: on the console's page.
        refused = response.headers.get("location", [""])[0].endswith("#error=refused")
        # The lines of an import are judged by its job.
        judged_later = case.media_type == "application/x-ndjson" and response.status_code == 202
        if judged_later or (case.path == "/v1/sign-in/oidc/callback" and refused):
            return False
    if type(failure).__name__ == "EnsureResourceAvailability":
        return TRIED.isdisjoint(value for value in (case.path_parameters or {}).values() if isinstance(value, str))
    # The issuer of the small world is nowhere, which is what this operation has to say of it.
    if response.status_code == 503 and case.path == "/v1/sign-in/oidc":
        rejected = type(failure).__name__ in {"ServerError", "RejectedPositiveData"}
        return not rejected or response.json().get("type") != "/problems/unavailable"
    # Any octets are a message: JSON in its place is one, too.
    if type(failure).__name__ == "AcceptedNegativeData" and case.media_type == "message/rfc822":
        return isinstance(case.body, str)
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    # The generator takes the quotes off an entity tag now and then: what was sent is not what the schema has.
    tag = response.request.headers.get("If-Match")
    if response.status_code == 400 and tag is not None and not ENTITY_TAGS.match(_text(tag)):
        return False
    if response.status_code != 422:
        return True
    errors = response.json().get("errors", [])
    return not errors or not all(_no_schema_says(error, case.body) for error in errors)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _no_schema_says(error: dict[str, str], body: Any) -> bool:
    # A tenant's own key may leave the tenant out, the platform's may not; a domain-admin has domains, others have none; and an issuer that
    # makes administrators says of which domains.
    if error["code"] == "required" and error["pointer"] in {"/tenant", "/domains", "/allowed_domains"}:
        return True
    # A quota, and a limit on sessions, lies between what is above and beneath, neither of which is in the request.
    bounded = error["pointer"].startswith(("/quota/", "/policy/sessions/"))
    if error["code"] == "out_of_range" and bounded and BETWEEN.match(error["detail"]):
        return True
    # A name of blanks is none.
    named = _at(error["pointer"], body)
    if error["code"] == "required" and isinstance(named, str) and named and not named.strip():
        return True
    # A moment may have to lie ahead, or after another one.
    return error["code"] in SEMANTIC or (error["code"] == "out_of_range" and _is_moment(_at(error["pointer"], body)))


def _at(pointer: str, value: Any) -> Any:
    for name in pointer.split("/")[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False
