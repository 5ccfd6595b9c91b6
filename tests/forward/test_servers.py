"""Forwarding between two real servers, and never to oneself."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.server.run import Server
from tests.conftest import Running, wait_until
from tests.forward.conftest import Elastic

Start = Callable[..., Running]


def write(server: Running, count: int, prefix: str = "line") -> None:
    lines = []
    for number in range(count):
        lines.append(json.dumps({"create": {"_index": "logs-mami-ai-2026.01.01"}}))
        document = {"level": "INFO", "message": f"{prefix} {number}", "number": number}
        lines.append(json.dumps(document))
    answer = server.client.post(
        "/es/_bulk", content="\n".join(lines) + "\n", headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["errors"] is False


def count(server: Running, query: str) -> int:
    answer = server.client.get("/es/logs-*/_count", params={"q": query})
    return int(answer.json()["count"]) if answer.status_code == 200 else 0


def advancing(clock: ManualClock, condition: Callable[[], Any]) -> Callable[[], Any]:
    """`condition`, with a second of clock time passing before each look."""

    def look() -> Any:
        clock.advance(1)
        return condition()

    return look


@pytest.fixture
def second(tmp_path: Path, clock: ManualClock) -> Iterator[Running]:
    """Another server, over its own data."""
    settings = Settings()
    settings.server.port = 0
    settings.server.self_log = False
    one = Running(Server(settings, tmp_path / "second", clock))
    yield one
    one.stop()


@pytest.mark.feature("F1")
def test_lines_reach_a_second_server_and_resume_after_a_restart(
    start: Start, second: Running, clock: ManualClock
) -> None:
    """Lines written before and after a restart arrive once each in the second server's index."""
    forward = {"elasticsearch_url": f"{second.url}/es"}
    server = start(forward=forward, server={"self_log": False})
    write(server, 700)
    wait_until(advancing(clock, lambda: count(second, "message:line") == 700), 60, "all lines")
    server.stop()
    again = start(forward=forward, server={"self_log": False})
    write(again, 300, "later")
    wait_until(advancing(clock, lambda: count(second, "message:later") == 300), 60, "the later lines")
    assert count(second, "*") == 1000

    def state() -> tuple[Any, ...]:
        found = again.client.get("/api/mamimon/forward").json()["targets"][0]
        return found["state"], found["sent"], found["dead"]

    # The lines are there before the answer that counts them is.
    wait_until(lambda: state() == ("up", 1000, 0), what="the count")
    assert 'mamimon_forward_up{target="' in again.client.get("/metrics").text


@pytest.mark.feature("F1")
def test_a_target_with_accounts_needs_and_gets_credentials(
    start: Start, elastic: Elastic, clock: ManualClock
) -> None:
    """The user and password of the mission's variables go along as basic auth."""
    settings = {
        "elasticsearch_url": elastic.url,
        "elasticsearch_username": "elastic",
        "elasticsearch_password": "changeme",
    }
    server = start(forward=settings, server={"self_log": False})
    write(server, 3)
    wait_until(advancing(clock, lambda: len(elastic.documents) == 3), 60, "three lines")
    assert {user for _, _, user in elastic.requests} == {"elastic:changeme"}
    assert "changeme" not in server.client.get("/settings").text


@pytest.mark.feature("F1")
def test_it_does_not_forward_to_itself(
    start: Start, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The mission's own ELASTICSEARCH_URL names mamimon's drop-in port: said in the log, nothing is sent."""
    caplog.set_level(logging.INFO, "mamimon.forward")
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    others = "prometheus=0,alertmanager=0,ui=0"
    server = start(
        server={"drop_in": True, "drop_in_ports": f"es={port},{others}", "self_log": False},
        forward={"elasticsearch_url": f"http://localhost:{port}"},
    )
    state = wait_until(
        lambda: (
            (row := server.client.get("/api/mamimon/forward").json()["targets"][0])["state"] == "off" and row
        )
    )
    assert state["message"] == "the address is this mamimon itself"
    write(server, 5)
    for _ in range(5):
        clock.advance(5)
    assert count(server, "message:line") == 5
    assert any("not forwarding" in record.getMessage() for record in caplog.records)
