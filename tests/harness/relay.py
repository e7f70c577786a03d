"""A relay that stands between Postfix and Restante and keeps every octet of both directions.

It changes nothing: two threads per connection copy. `transactions` then reads the recording as LMTP and tells which octets
stood between DATA and the lone dot, and what was answered to each recipient.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Recording:
    client: bytearray = field(default_factory=bytearray)
    server: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Transaction:
    """One message as it passed: the envelope, the octets before the lone dot (still stuffed), a final code per recipient."""

    lhlo: str
    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes
    codes: tuple[int, ...]


class Relay:
    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.recordings: list[Recording] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address: tuple[str, int] = self.listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            recording = Recording()
            self.recordings.append(recording)
            try:
                server = socket.create_connection(self.target, timeout=60)
            except OSError:
                client.close()
                continue
            for source, sink, kept in ((client, server, recording.client), (server, client, recording.server)):
                threading.Thread(target=_copy, args=(source, sink, kept), daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def transactions(self) -> list[Transaction]:
        """All that passed and was answered so far."""
        return [
            each for recording in self.recordings for each in read(bytes(recording.client), bytes(recording.server))
        ]


def _copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    source.settimeout(300)
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def read(client: bytes, server: bytes) -> list[Transaction]:
    """The transactions in a recorded session, by matching commands with replies in order."""
    replies = iter([int(match.group(1)) for match in re.finditer(rb"(?m)^([0-9]{3})(?: [^\r\n]*)?\r$", server)])
    found: list[Transaction] = []
    lhlo = reverse_path = ""
    recipients: list[str] = []
    at = 0
    try:
        next(replies)  # the greeting
        while at < len(client):
            end = client.index(b"\r\n", at)
            line, at = client[at:end].decode("utf-8"), end + 2
            code = next(replies)
            verb = line.upper()
            if verb.startswith("LHLO "):
                lhlo = line[5:]
            elif verb.startswith("MAIL FROM:"):
                reverse_path, recipients = path_in(line), []
            elif verb.startswith("RCPT TO:"):
                if code // 100 == 2:
                    recipients.append(path_in(line))
            elif verb == "DATA" and code == 354:
                if client.startswith(b".\r\n", at):
                    content, at = b"", at + 3
                else:
                    stop = client.index(b"\r\n.\r\n", at)
                    content, at = client[at : stop + 2], stop + 5
                codes = tuple([next(replies) for _ in recipients])
                found.append(Transaction(lhlo, reverse_path, tuple(recipients), content, codes))
    except (StopIteration, ValueError):
        pass  # the session was cut here, or still goes on
    return found


def path_in(line: str) -> str:
    """What stands between the first angle brackets."""
    return line[line.index("<") + 1 : line.index(">")]
