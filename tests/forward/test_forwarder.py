"""The forwarder against a target that is away, throttles, refuses items and breaks connections."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mamimon.clock import ManualClock
from mamimon.forward.elastic import ElasticTarget
from mamimon.forward.logs import LogForwarder
from mamimon.forward.store import ForwardStore
from mamimon.storage import Database, migrate
from tests.forward.conftest import Elastic


class Line(msgspec.Struct):
    id: str
    dataset: str
    time: float
    raw: bytes
    index: str = ""


class Lines:
    """A log store's reading side over a list: the cursor is the position."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, count: int, **fields: Any) -> None:
        for _ in range(count):
            number = len(self.lines)
            raw = json.dumps({"message": f"line {number}", **fields}).encode()
            self.lines.append(Line(f"id-{number}", "mami-ai", 1_767_225_600.0 + number, raw))

    async def read_after(self, cursor: str, limit: int) -> tuple[Sequence[Line], str]:
        start = int(cursor or 0)
        found = self.lines[start : start + limit]
        return found, str(start + len(found))

    async def cursor_now(self) -> str:
        return str(len(self.lines))


class Rig:
    """A forwarder running over a real state database; `crash` and `begin` again keep the file."""

    def __init__(self, path: Path, clock: ManualClock, url: str) -> None:
        self.path, self.clock, self.url = path, clock, url
        self.lines = Lines()
        self.state: Database
        self.forwarder: LogForwarder
        self.task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self.state = await Database.open(self.path, synchronous="FULL")
        await migrate(self.state, "state")
        target = ElasticTarget(self.url, "elastic", "changeme", timeout_s=5)
        self.target = target
        self.forwarder = LogForwarder(self.clock, self.lines, ForwardStore(self.state), target, 90)
        await self.forwarder.open()
        self.task = asyncio.create_task(self.forwarder.run())

    async def crash(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None
            await self.target.close()
            await self.state.close()

    async def until(self, condition: Callable[[], Any], step_s: float = 1.0) -> None:
        """Let clock time pass until `condition` holds."""
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.005)
            if self.clock.sleepers:
                self.clock.advance(step_s)
        raise AssertionError(f"not reached; {self.forwarder.status}")


@pytest.fixture
async def rig(tmp_path: Path, clock: ManualClock, elastic: Elastic) -> AsyncIterator[Rig]:
    one = Rig(tmp_path / "mamimon.db", clock, elastic.url)
    await one.begin()
    yield one
    await one.crash()


@pytest.mark.feature("F1")
async def test_lines_arrive_in_daily_indices_with_credentials(rig: Rig, elastic: Elastic) -> None:
    """Lines go by _bulk to logs-<dataset>-<day> with basic auth, after the index template."""
    rig.lines.write(2500)
    await rig.until(lambda: len(elastic.documents) == 2500)
    assert ("logs-mami-ai-2026.01.01", "id-0") in elastic.documents
    assert elastic.documents["logs-mami-ai-2026.01.01", "id-0"] == {
        "@timestamp": "2026-01-01T00:00:00.000Z",
        "message": "line 0",
    }
    assert {user for _, _, user in elastic.requests} == {"elastic:changeme"}
    assert [(verb, path) for verb, path, _ in elastic.requests][:3] == [
        ("GET", "/_index_template/mamimon-logs"),
        ("PUT", "/_index_template/mamimon-logs"),
        ("POST", "/_bulk"),
    ]
    assert elastic.templates["mamimon-logs"]["index_patterns"] == ["logs-*-*.*.*"]
    await rig.until(lambda: rig.forwarder.status.sent == 2500)
    assert rig.forwarder.status.state == "up"


@pytest.mark.feature("F1")
async def test_a_new_target_starts_now_and_resumes_after_restarts(rig: Rig, elastic: Elastic) -> None:
    """A restart resumes behind what arrived; nothing is sent twice, nothing is left out."""
    rig.lines.write(100)
    await rig.until(lambda: rig.forwarder.status.sent == 100)
    await rig.crash()
    rig.lines.write(100)
    before = len(elastic.requests)
    await rig.begin()
    await rig.until(lambda: len(elastic.documents) == 200)
    assert sum(path == "/_bulk" for _, path, _ in elastic.requests[before:]) == 1
    await rig.crash()
    with sqlite3.connect(rig.path) as raw:
        raw.execute("DELETE FROM forward_cursor")
    await rig.begin()
    rig.lines.write(1)
    await rig.until(lambda: rig.forwarder.status.sent == 1)
    assert len(elastic.documents) == 201


@pytest.mark.feature("F1")
async def test_nothing_is_lost_while_the_target_is_away_for_an_hour(
    rig: Rig, elastic: Elastic, caplog: pytest.LogCaptureFixture
) -> None:
    """A target that is gone for 60 minutes gets every line afterwards; the log says so once each way."""
    caplog.set_level(logging.INFO, "mamimon.forward")
    rig.lines.write(10)
    await rig.until(lambda: rig.forwarder.status.sent == 10)
    elastic.stop()
    await rig.target.close()
    away_from = rig.clock.now()
    rig.lines.write(3000)
    await rig.until(lambda: rig.clock.now() - away_from > 3600, step_s=30)
    assert rig.forwarder.status.state == "away"
    assert {m.name: m.samples[0].value for m in rig.forwarder.collect()}["mamimon_forward_lag_seconds"] > 3500
    again = Elastic(elastic.port)
    try:
        again.templates, again.documents = elastic.templates, elastic.documents
        await rig.until(lambda: rig.forwarder.status.sent == 3010, step_s=30)
        assert len(again.documents) == 3010
    finally:
        again.stop()
    assert sum("does not take log lines" in r.getMessage() for r in caplog.records) == 1
    assert sum("are forwarded to" in r.getMessage() for r in caplog.records) == 2


@pytest.mark.feature("F1")
async def test_broken_connections_and_overload_are_repeated(rig: Rig, elastic: Elastic) -> None:
    """429, 503, a wrong password and a connection cut after taking the batch: all repeated, none doubled."""
    elastic.script = [429, 503, "cut", 401, "cut"]
    rig.lines.write(1500)
    await rig.until(lambda: rig.forwarder.status.sent == 1500)
    assert len(elastic.documents) == 1500
    assert rig.forwarder.status.retries == 5
    assert rig.forwarder.status.dead == 0


@pytest.mark.feature("F1")
async def test_refused_items_become_dead_letters(rig: Rig, elastic: Elastic) -> None:
    """An item refused for good goes to the dead letters with its reason; a put-off item is repeated alone."""
    put_off = {"line 7": 2}

    def judge(document: dict[str, Any]) -> tuple[int, str] | None:
        if document["message"] == "line 3":
            return 400, "mapper_parsing_exception"
        if put_off.get(document["message"], 0) > 0:
            put_off[document["message"]] -= 1
            return 429, "es_rejected_execution_exception"
        return None

    elastic.judge = judge
    rig.lines.write(10)
    await rig.until(lambda: rig.forwarder.status.sent == 9)
    assert rig.forwarder.status.dead == 1
    assert len(elastic.documents) == 9
    letters = await ForwardStore(rig.state).dead_letters(10)
    assert [(one.doc_id, one.reason) for one in letters] == [("id-3", "400 mapper_parsing_exception: no")]
    assert json.loads(letters[0].document)["message"] == "line 3"
    await rig.crash()
    await rig.begin()
    assert rig.forwarder.status.dead == 1


@pytest.mark.feature("F1")
async def test_too_large_batches_are_halved(rig: Rig, elastic: Elastic) -> None:
    """A target with a small request limit gets smaller batches; one line over the limit is a dead letter."""
    elastic.limit_bytes = 5000
    rig.lines.write(200, filler="x" * 300)
    rig.lines.write(1, filler="x" * 6000)
    await rig.until(lambda: rig.forwarder.status.dead == 1)
    assert len(elastic.documents) == rig.forwarder.status.sent == 200
