"""Ninety days: a question opens the files that can hold its answer, and few of them at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.logs.store import days as store
from mamimon.logs.store.day import DayFile
from mamimon.storage.days import day_of
from tests.conftest import Running

DAYS, LINES = 90, 6
HEADERS = {"Content-Type": "application/json"}


class Opened:
    """Which days were opened, and how many log files were open at once at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = f"{folder}/"
        self.days: list[str] = []
        self.most = 0

    def note(self, day: str) -> None:
        """A file was opened."""
        self.days.append(day)
        paths: set[str] = set()
        for number in Path("/proc/self/fd").iterdir():
            try:
                path = str(number.readlink())
            except OSError:
                continue
            if path.startswith(self._folder) and path.endswith(".db"):
                paths.add(path)
        self.most = max(self.most, len(paths))


@pytest.fixture
def filled(start: Callable[..., Running], clock: ManualClock) -> Running:
    """A server that was started over ninety days of lines, none of which is open."""
    changes: dict[str, Any] = {"logs": {"retention_days": 100}, "server": {"self_log": False}}
    server = start(**changes)
    for day in range(DAYS):
        body = ""
        for n in range(LINES):
            at = clock.now() // 86_400 * 86_400 - day * 86_400 + n / 10
            word = "zanzibar" if day == 40 else "plain"
            line = {"@timestamp": at * 1000, "day": day, "level": "INFO", "message": f"{word} line {n}"}
            body += (
                f'{{"create":{{"_index":"logs-shop-{day_of(at).replace("-", ".")}"}}}}\n{json.dumps(line)}\n'
            )
        assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    server.stop()
    return start(**changes)


@contextmanager
def watched(server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Notes each file that is opened meanwhile."""
    opened = Opened(server.data_dir / "logs")
    real = DayFile.open.__func__  # type: ignore[attr-defined]

    async def noted(cls: type[DayFile], path: Path, *rest: Any) -> DayFile:
        file: DayFile = await real(cls, path, *rest)
        opened.note(path.stem)
        return file

    with monkeypatch.context() as patch:
        patch.setattr(DayFile, "open", classmethod(noted))
        yield opened


def search(server: Running, index: str, **body: Any) -> dict[str, Any]:
    """An answer of `_search`."""
    answer = server.client.post(f"/es/{index}/_search", content=json.dumps(body), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert not found["timed_out"]
    return found


@pytest.mark.feature("L1")
def test_a_list_a_search_and_a_chart_open_no_more_days_than_they_need(
    filled: Running, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest lines, a day's chart and a daily index open a day or two of ninety; a rare word its week."""
    now, newest = clock.now(), {"sort": [{"@timestamp": "desc"}], "track_total_hits": False}
    with watched(filled, monkeypatch) as opened:
        page = filled.client.get("/api/mamimon/logs/search", params={"size": 5, "since": "90d"}).json()
        assert len(page["hits"]) == 5
        assert len(search(filled, "logs-shop-*", size=5, **newest)["hits"]["hits"]) == 5
    assert set(opened.days) == {day_of(now)}

    with watched(filled, monkeypatch) as opened:
        chart = filled.client.get("/api/mamimon/logs/histogram", params={"since": "24h"}).json()
        assert chart["total"] >= LINES
    assert set(opened.days) <= {day_of(now), day_of(now - 86_400)}

    with watched(filled, monkeypatch) as opened:
        index = f"logs-shop-{day_of(now - 60 * 86_400).replace('-', '.')}"
        found = search(filled, index, size=100)["hits"]
        assert {hit["_source"]["day"] for hit in found["hits"]} == {60}
        assert filled.client.get(f"/es/{index}/_count").json()["count"] == LINES
    assert set(opened.days) == {day_of(now - 60 * 86_400)}

    with watched(filled, monkeypatch) as opened:
        week = {"range": {"@timestamp": {"gte": "now-43d", "lt": "now-36d"}}}
        body = {"bool": {"filter": [week, {"query_string": {"query": "zanzibar"}}]}}
        assert len(search(filled, "logs-*", size=50, query=body)["hits"]["hits"]) == LINES
    assert len(set(opened.days)) <= 8


@pytest.mark.feature("L1")
def test_all_ninety_days_are_read_with_few_files_open(
    filled: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chart, a search and a list over all days read each once, and keep few of them open."""
    histogram = {"date_histogram": {"field": "@timestamp", "fixed_interval": "1d"}}
    with watched(filled, monkeypatch) as opened:
        found = search(filled, "logs-shop-*", size=0, aggs={"t": histogram}, track_total_hits=True)
    assert found["hits"]["total"]["value"] == DAYS * LINES
    assert len(set(opened.days)) == len(opened.days) == DAYS
    # What is idle is closed after the next is opened; others are still being read.
    bound = store._OPEN_FILES + store._AT_ONCE + 1
    assert opened.most <= bound

    with watched(filled, monkeypatch) as opened:
        words = search(filled, "logs-shop-*", size=100, query={"query_string": {"query": "zanzibar"}})
        assert words["hits"]["total"]["value"] == LINES
    assert len(opened.days) <= DAYS and opened.most <= bound

    with watched(filled, monkeypatch) as opened:
        rows = filled.client.get("/es/_cat/indices/logs-shop-*?format=json").json()
        assert len(rows) == DAYS
    assert len(set(opened.days)) == len(opened.days) and opened.most <= bound
    with watched(filled, monkeypatch) as opened:
        assert len(filled.client.get("/es/_cat/indices/logs-shop-*?format=json").json()) == DAYS
    assert opened.days == [], "what days hold is known after the first time"
