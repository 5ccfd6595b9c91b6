"""Webhook receivers as the network has them: slow, silent, without an end, and pointing elsewhere."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.alerts import delivery
from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, step
from tests.alerts.test_life import forever, send
from tests.conftest import settled, wait_until

pytestmark = pytest.mark.feature("A3")
GIVE_UP_S = 10.0


class Odd:
    """An HTTP server that behaves as its path says; `asked` counts requests by path."""

    def __init__(self, elsewhere: str) -> None:
        self.asked: Counter[str] = Counter()
        self._elsewhere = elsewhere
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            raw = b""
            while b"\r\n\r\n" not in raw:
                raw += peer.recv(65_536)
            path = raw.split(b" ")[1].decode()
            self.asked[path] += 1
            try:
                self._answer(peer, path)
            except OSError:
                return

    def _answer(self, peer: socket.socket, path: str) -> None:
        if path == "/slow":
            self._over.wait(1.0)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere")
        elif path == "/redirect":
            peer.sendall(
                f"HTTP/1.1 302 Found\r\nLocation: {self._elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()
            )
        elif path == "/endless":
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not self._over.wait(0.1):
                peer.sendall(b".")
        else:
            self._over.wait(60)

    def close(self) -> None:
        """End every connection."""
        self._over.set()
        self._socket.close()


@pytest.fixture
def odd(hook: Hook) -> Iterator[Odd]:
    """The server; its redirect leads to `hook`."""
    one = Odd(hook.url)
    yield one
    one.close()


def test_each_is_told_as_far_as_it_lets_us_and_holds_up_nobody(
    start: Callable[..., Any],
    clock: ManualClock,
    odd: Odd,
    hook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow one is told once, as is one whose answer never ends; a silent one is given up and tried
    again later; a redirect is not followed and not tried again."""
    monkeypatch.setattr(delivery, "TIMEOUT_S", GIVE_UP_S)
    kinds = ("never", "slow", "endless", "redirect")
    routes = "".join(f"    - {{receiver: {kind}, continue: true}}\n" for kind in kinds)
    receivers = "".join(
        f"  - {{name: {kind}, webhook_configs: [{{url: '{odd.url}/{kind}'}}]}}\n" for kind in kinds
    )
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"route:\n  receiver: slow\n  group_wait: 0s\n  routes:\n{routes}receivers:\n{receivers}")
    server = start(alerts={"alertmanager_config": str(file), "builtin_rules": False})
    settled(clock)
    send(server, {"alertname": "X"}, endsAt=forever(clock))

    def rows() -> dict[str, Any]:
        found = server.client.get("/api/mamimon/alerts/notifications").json()
        return {one["target"].partition("/")[0]: one for one in found if one["attempts"]}

    wait_until(lambda: {"slow", "endless", "redirect"} <= set(rows()), 60, "three answers")
    wait_until(lambda: set(rows()) == set(kinds), 60, "the silent one given up")
    found = rows()
    assert {kind: one["status"] for kind, one in found.items()} == {
        "slow": "sent",
        "endless": "sent",
        "redirect": "failed",
        "never": "pending",
    }
    answers = {kind: one["attempts"][0]["answer"] for kind, one in found.items()}
    assert answers["slow"] == "HTTP 200 there"
    assert answers["endless"].startswith("HTTP 200")
    assert answers["redirect"].startswith("HTTP 302")
    assert answers["never"]
    assert found["never"]["next_at"] > clock.now()
    step(clock, 30)
    wait_until(lambda: odd.asked["/never"] >= 2, 30, "the second try")
    assert {kind: odd.asked[f"/{kind}"] for kind in kinds[1:]} == dict.fromkeys(kinds[1:], 1)
    assert (hook.posts, hook.gets) == ([], 0), "the redirect's target hears nothing"
