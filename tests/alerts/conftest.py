"""Real receivers on loopback: an SMTP server and a webhook that tests can make misbehave."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller


class Mailbox:
    """What an SMTP server received; `refuse` holds addresses that it turns away."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse: set[str] = set()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:
        if address in self.refuse:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail["X-Envelope-To"] = ",".join(envelope.rcpt_tos)
        self.mails.append(mail)
        return "250 Message accepted"

    def to(self, address: str) -> list[Any]:
        """Mails to one address."""
        return [one for one in self.mails if one["X-Envelope-To"] == address]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that make mamimon use this server."""
        return {
            "smtp_server": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_security": "none",
            "smtp_from": "mamimon@example.com",
        }


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server."""
    box = Mailbox()
    yield box
    box.controller.stop()


class Hook:
    """A webhook receiver; `answers` are used up one a request, then it answers 200 `ok`."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.paths: list[str] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.paths.append(self.path)
                hook.posts.append(json.loads(body))
                status, headers, answer = hook.answers.pop(0) if hook.answers else (200, {}, b"ok")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """A Slack-like webhook address."""
        return f"http://127.0.0.1:{self.server.server_port}/services/T000/B000/secretpart"


@pytest.fixture
def slack() -> Iterator[Hook]:
    """A loopback receiver of Slack webhooks."""
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A second receiver, for webhooks."""
    one = Hook()
    yield one
    one.server.shutdown()
    one.server.server_close()
