"""Event day files: durable, one a day, dropped whole."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import wait_until

pytestmark = pytest.mark.feature("U1")


def test_nothing_acknowledged_is_lost_by_a_kill(process: Callable[..., Any]) -> None:
    """Every event that was acknowledged before kill -9 is there after the restart."""
    one = process()
    acknowledged = [0, 0, 0]

    def send(who: int) -> None:
        with httpx.Client(base_url=one.url) as client:
            while True:
                try:
                    batch = [{"event": f"e{who}", "distinct_id": "u"}] * 20
                    acknowledged[who] += client.post("/batch/", json={"batch": batch}).json()["accepted"]
                except httpx.HTTPError:
                    return

    threads = [threading.Thread(target=send, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(acknowledged) >= 200)
    one.kill()
    for thread in threads:
        thread.join(10)
    again = process()
    answer = httpx.get(f"{again.url}/api/mamimon/events/summary?since=1h").json()
    stored = {one["type"]: one["count"] for one in answer["types"]}
    for who, count in enumerate(acknowledged):
        assert count <= stored[f"e{who}"] <= count + 20


def test_days_are_files_that_retention_may_take(server: Any, clock: Any, tmp_path: Path) -> None:
    """Each UTC day is a file; a snapshot is a readable copy and dropped days are gone."""
    room = next(room for room in server.server.house.rooms if room.name == "events")
    for days in (0, 1, 2):
        server.client.post("/capture/", json={"event": "login", "timestamp": clock.now() - days * 86_400})
    days = room.days()
    assert len(days) == 3
    server.stop()

    async def take() -> list[str]:
        await room.snapshot_day(days[0], tmp_path / "copy.db")
        try:
            return list(await room.drop_before(days[2]))
        finally:
            await room.close()

    assert asyncio.run(take()) == days[:2]
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM event").fetchone() == (1,)
    assert room.days() == days[2:]
    assert not room.day_path(days[0]).exists()


def test_a_corrupt_day_is_left_out_and_said(start: Callable[..., Any], clock: Any) -> None:
    """One unreadable day of three leaves the others answered, marked partial."""
    server = start()
    for days in (0, 1, 2):
        server.client.post("/capture/", json={"event": "login", "timestamp": clock.now() - days * 86_400})
    room = next(room for room in server.server.house.rooms if room.name == "events")
    victim = room.day_path(room.days()[1])
    server.stop()
    victim.write_bytes(b"not a database" * 1000)
    server = start()
    answer = server.client.get("/api/mamimon/events/summary?since=7d").json()
    assert answer["partial"] is True
    assert answer["count"] == 2
    assert "could not be read" in server.client.get("/events?since=7d").text
