"""A client of the admin API: JSON in, JSON out, problems as exceptions."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import Any


class Problem(Exception):
    """An answer of 400 or more; `body` is the problem document (RFC 9457)."""

    def __init__(self, call: str, status: int, body: Any, headers: dict[str, str]) -> None:
        super().__init__(f"{call}: {status} {json.dumps(body)}")
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def code(self) -> str:
        return str(self.body.get("type", "")).removeprefix("/problems/") if isinstance(self.body, dict) else ""

    @property
    def pointers(self) -> set[str]:
        errors = self.body.get("errors", []) if isinstance(self.body, dict) else []
        return {error["pointer"] for error in errors}


def segment(text: str) -> str:
    """`text` as one segment of a path."""
    return urllib.parse.quote(text, safe="@")


class Api:
    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.token = token
        self.headers: dict[str, str] = {}  # of the last answer

    def with_token(self, token: str | None) -> Api:
        return Api(self.url, token)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """One request; `body` is encoded as JSON unless it is octets. Returns decoded JSON, or octets, or None."""
        where = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        sent = dict(headers or {})
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = content_type
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        decoded: Any = data or None
        if data and "json" in self.headers.get("content-type", ""):
            decoded = json.loads(data)
        if answer.status >= 400:
            raise Problem(f"{method} {path}", answer.status, decoded, self.headers)
        return decoded

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)

    def items(self, path: str, limit: int = 100) -> list[Any]:
        """Every item of a list, following the cursors."""
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(10_000):
            query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
            page = self.get(f"{path}{'&' if '?' in path else '?'}{urllib.parse.urlencode(query)}")
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found
        raise RuntimeError(f"{path}: the cursors do not end")

    # --- the calls that nearly every test makes

    def create_tenant(self, slug: str) -> Any:
        return self.post("/v1/tenants", {"slug": slug, "name": slug.capitalize()})

    def create_domain(self, name: str, tenant: str) -> Any:
        return self.post("/v1/domains", {"name": name, "tenant": tenant})

    def create_account(self, address: str, password: str | None = None, **more: Any) -> Any:
        return self.post("/v1/accounts", {"address": address, **({"password": password} if password else {}), **more})

    def create_alias(self, address: str, targets: list[str]) -> Any:
        return self.post("/v1/aliases", {"address": address, "targets": targets})

    def create_app_password(self, address: str, name: str) -> Any:
        return self.post(f"/v1/accounts/{segment(address)}/app-passwords", {"name": name})

    def create_key(self, name: str, tenant: str | None, role: str) -> Any:
        return self.post("/v1/api-keys", {"name": name, **({"tenant": tenant} if tenant else {}), "role": role})

    def submit(self, address: str, message: bytes) -> Any:
        return self.call("POST", f"/v1/accounts/{segment(address)}/messages", message, content_type="message/rfc822")

    def account(self, address: str) -> Any:
        return self.get(f"/v1/accounts/{segment(address)}")
