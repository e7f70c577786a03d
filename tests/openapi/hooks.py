"""What schemathesis has to know of the admin API beyond its document."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure

# A body may be well formed and name what is not there (`not_found`), what may not be where it is (`not_allowed`), or say in a text what
# this text cannot (`invalid`: an address, a network, a certificate): no schema says that. All else that a 422 answers to a valid
# request (`required`, `unknown_field`, `invalid_type`, `too_short`, `too_long`, `out_of_range`) is a fault of the document, or of the service.
SEMANTIC = {"invalid", "not_allowed", "not_found"}


@schemathesis.serializer("message/rfc822")
def message(_: Any, value: Any) -> bytes:
    """A message is what it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


ENTITY_TAGS = re.compile(r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$')

# The key that the run itself asks with: with that one revoked, all else would be refused, and nothing be tested.
OWN_KEY = os.environ["RESTANTE_OWN_KEY"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.method.upper() != "GET" and OWN_KEY in (case.path_parameters or {}).values():
        case.path_parameters = {**case.path_parameters, "id": "key_999999"}


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """False: the failure is none."""
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
    # A tenant's own key may leave the tenant out, the platform's may not.
    if (error["pointer"], error["code"]) == ("/tenant", "required"):
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
