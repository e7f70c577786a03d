"""Webhooks of a running service, with a receiver that shares no code with it, and a worker that is killed in the middle."""

from __future__ import annotations

import json
import queue
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.process import wait_until
from harness.service import Embedded
from harness.tenants import new_tenant

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "webhooks.md"


def documented_check():
    """`is_genuine` as the documentation has it."""
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.S)[1], names)
    return names["is_genuine"]


class Receiver(ThreadingHTTPServer):
    """Keeps what it is told; holds the answers back while `held` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.go_on = threading.Event()
        self.go_on.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.put(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.go_on.wait(60)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.timeout(180)
def test_a_killed_worker_tells_again(tmp_path: Path) -> None:
    receiver, is_genuine = Receiver(), documented_check()
    settings = {
        "RESTANTE_EGRESS__ALLOW": '["127.0.0.1/32"]',
        "RESTANTE_WORKER__WEBHOOKS__CLAIM_SECONDS": "3",
        "RESTANTE_WORKER__WEBHOOKS__INTERVAL_MS": "100",
    }
    service = Embedded(tmp_path / "data")
    service.start(env=settings)
    try:
        tenant = new_tenant(service)
        new = {
            "url": f"http://127.0.0.1:{receiver.server_port}/hook",
            "events": ["account.create"],
            "tenant": tenant.slug,
        }
        hook = service.api.call("POST", "/v1/webhooks", new)
        receiver.go_on.clear()
        address = tenant.add("killed")
        headers, body = receiver.told.get(timeout=30)
        assert is_genuine(hook["secret"], headers["restante-signature"], body)
        assert not is_genuine(hook["secret"], headers["restante-signature"], body + b" ")
        assert not is_genuine(hook["secret"][::-1], headers["restante-signature"], body)
        event = json.loads(body)
        assert (event["type"], event["data"]["target"]) == ("account.create", address)
        service.kill()
        receiver.go_on.set()
        service.start(env=settings)
        again_headers, again = receiver.told.get(timeout=30)
        assert again == body
        assert again_headers["restante-event-id"] == headers["restante-event-id"] == event["id"]
        assert is_genuine(hook["secret"], again_headers["restante-signature"], again)

        def delivered() -> bool:
            items = service.api.get(f"/v1/webhooks/{hook['id']}/deliveries")["items"]
            return [(one["state"], one["response_code"]) for one in items] == [("delivered", 204)]

        wait_until("the delivery is noted", delivered, 20)
        assert receiver.told.empty()
    finally:
        service.stop()
        receiver.shutdown()
