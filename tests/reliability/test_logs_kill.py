"""Log lines that were acknowledged survive `kill -9` in the middle of ingest."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mamimon.clock import ManualClock
from mamimon.storage.days import day_of

KILLS = 100 if os.environ.get("MAMIMON_FULL") else 10


def _pour(url: str, run: int, acknowledged: list[int], stop: threading.Event) -> None:
    """Send small `_bulk` bodies as fast as they are answered; note the lines of each answer that came."""
    number = run * 1_000_000
    try:
        with httpx.Client(base_url=url, timeout=10) as client:
            while not stop.is_set():
                lines = range(number, number + 50)
                body = "".join(
                    f'{{"create":{{"_index":"logs-kill"}}}}\n{{"n":{n},"message":"line"}}\n' for n in lines
                )
                answer = client.post("/es/_bulk", content=body)
                assert answer.status_code == 200 and not answer.json()["errors"]
                acknowledged.extend(lines)
                number += 50
    except httpx.TransportError:
        return


@pytest.mark.feature("O5")
def test_kill_9_during_bulk_loses_no_acknowledged_line(process: Callable[..., Any]) -> None:
    """The server is killed again and again while lines pour in; all it said yes to is found afterwards."""
    acknowledged: list[int] = []
    began = time.monotonic()
    for run in range(KILLS):
        one = process(env={"MAMIMON_METRICS__SCRAPE_SELF": "false"})
        stop = threading.Event()
        pouring = threading.Thread(target=_pour, args=(one.url, run, acknowledged, stop))
        pouring.start()
        before = len(acknowledged)
        deadline = time.monotonic() + 10
        while len(acknowledged) < before + 50 + run % 4 * 50 and time.monotonic() < deadline:
            time.sleep(0.005)
        one.kill()
        stop.set()
        pouring.join(20)
        assert len(acknowledged) > before, "nothing was acknowledged in this run"
    one = process()
    with httpx.Client(base_url=one.url, timeout=30) as client:
        found: set[int] = set()
        answer = client.post("/es/logs-kill/_search?scroll=1m", json={"size": 5000}).json()
        while answer["hits"]["hits"]:
            found.update(hit["_source"]["n"] for hit in answer["hits"]["hits"])
            answer = client.post("/es/_search/scroll", json={"scroll_id": answer["_scroll_id"]}).json()
    assert set(acknowledged) <= found
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged lines, {time.monotonic() - began:.0f} s")


@pytest.mark.feature("O5")
def test_one_damaged_day_of_seven_is_set_aside_and_said(
    start: Callable[..., Any], clock: ManualClock
) -> None:
    """A day file that is no database is set aside; answers from the others say that they are partial."""
    server = start()
    today = clock.now() // 86_400 * 86_400
    body = "".join(
        f'{{"create":{{"_index":"logs-kill"}}}}\n{{"@timestamp":{(today - day * 86_400) * 1000},"n":{day}}}\n'
        for day in range(7)
    )
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    server.stop()
    broken = server.data_dir / "logs" / f"{day_of(today - 3 * 86_400)}.db"
    broken.write_bytes(os.urandom(50_000))

    server = start()
    answer = server.client.get("/es/logs-kill/_search", params={"sort": "@timestamp:desc"}).json()
    shown = server.client.get("/api/mamimon/logs/search", params={"since": "30d"}).json()

    assert [hit["_source"]["n"] for hit in answer["hits"]["hits"]] == [0, 1, 2, 4, 5, 6]
    assert answer["_shards"]["failed"] == 1 and not answer["timed_out"]
    assert shown["partial"]
    assert broken.with_suffix(".damaged").exists() and not broken.exists()
    late = f'{{"create":{{"_index":"logs-kill"}}}}\n{{"@timestamp":{(today - 3 * 86_400) * 1000},"n":3}}\n'
    assert not server.client.post("/es/_bulk", content=late).json()["errors"]
    again = server.client.get("/es/logs-kill/_count").json()
    assert again["count"] == 7
    assert again["_shards"]["failed"] == 1


@pytest.mark.feature("L6")
def test_stopping_does_not_wait_for_a_live_tail(process: Callable[..., Any]) -> None:
    """A server with an open live tail ends it and stops at once instead of waiting for its grace to pass."""
    one = process(env={"MAMIMON_SERVER__STOP_GRACE_S": "60"})
    with httpx.Client(base_url=one.url, timeout=90) as client, client.stream("GET", "/logs/tail") as stream:
        parts = stream.iter_text()
        assert "live" in next(parts)
        began = time.monotonic()

        one.popen.terminate()

        assert "".join(parts) is not None
        assert one.popen.wait(50) == 0
    assert time.monotonic() - began < 40
