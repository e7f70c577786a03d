"""SIGTERM while a request is under way: it is finished, and nothing new is taken."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

from harness.process import wait_until
from harness.service import Embedded, address_of


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return True
    return False


def test_a_request_under_way_is_finished(tmp_path: Path) -> None:
    service = Embedded(tmp_path / "data")
    service.start()
    assert service.process is not None
    address = address_of(service.ready["admin"])
    body = json.dumps({"slug": "acme", "name": "Acme"}).encode()
    head = (
        f"POST /v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.api.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(address, 30) as connection:
        connection.sendall(head + body[:5])
        service.api.get("/v1/tenants")  # taken after it, and answered: so the first one is under way
        service.process.send(signal.SIGTERM)
        wait_until("it takes no new connection", lambda: refuses(address), 20)
        connection.sendall(body[5:])
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert service.process.wait(30) == 0
    service.process = None
    # It was done, too.
    with service:
        assert service.api.get("/v1/tenants/acme")["name"] == "Acme"
