"""Real receivers on loopback: an SMTP server and a webhook that tests can make misbehave."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from mamimon.clock import ManualClock
from tests.conftest import ROOT, slowness


class Mailbox:
    """What an SMTP server received; it turns `refuse` away and answers after `slow_s`."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuse: set[str] = set()
        self.slow_s = 0.0
        self.begun = 0
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
        self.begun += 1
        await asyncio.sleep(self.slow_s)
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
        self.gets = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hook.gets += 1
                self.send_response(200)
                self.end_headers()

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


def step(clock: ManualClock, seconds: float, size: float = 5.0) -> None:
    """Let time pass in small steps, so that loops come round as they do in life.

    After each step every loop that was asleep on the clock must be asleep again, so a busy machine
    only makes it slower; what slept once (a delay at the start) is not waited for longer than a moment,
    which is longer on a busy machine.
    """
    left = seconds
    while left > 0:
        asleep = clock.sleepers
        clock.advance(min(size, left))
        left -= size
        deadline = time.monotonic() + slowness()
        time.sleep(0.01)
        while clock.sleepers < asleep and time.monotonic() < deadline:
            time.sleep(0.005)


class App:
    """An application's /metrics; tests set the counters."""

    def __init__(self) -> None:
        self.requests = self.errors = self.load = 0.0
        self.scrapes = 0
        self.alive = True
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                app.scrapes += 1
                self.send_response(200 if app.alive else 503)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                if app.alive:
                    self.wfile.write(
                        b"# TYPE http_requests_total counter\n"
                        b"# TYPE http_requests_errors_total counter\n"
                        + f"http_requests_total {app.requests}\n".encode()
                        + f"http_requests_errors_total {app.errors}\nload {app.load}\n".encode()
                    )

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def app() -> Iterator[App]:
    """A scrape target on loopback."""
    one = App()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def prometheus_yml(app: App, tmp_path: Path) -> str:
    """A prometheus.yml that scrapes the application and names the mission's rule file."""
    file = tmp_path / "prometheus.yml"
    file.write_text(
        f"global: {{scrape_interval: 15s, evaluation_interval: 15s}}\n"
        f"rule_files: ['{ROOT / 'examples' / 'alert_rules.yml'}']\n"
        f"scrape_configs:\n- job_name: chat\n  static_configs:\n"
        f"  - targets: ['127.0.0.1:{app.server.server_port}']\n"
    )
    return str(file)


def live(clock: ManualClock, app: App, seconds: float, requests: float = 0.0, errors: float = 0.0) -> None:
    """Let time pass while the application counts, and every scrape be taken."""
    for _ in range(int(seconds / 15)):
        app.requests += requests * 15
        app.errors += errors * 15
        step(clock, 15, 5)
