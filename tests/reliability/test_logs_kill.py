"""Log lines that were acknowledged survive `kill -9` in the middle of ingest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

KILLS = 20


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
    """Twenty times the server is killed while lines pour in; each line it said yes to is found afterwards."""
    acknowledged: list[int] = []
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
