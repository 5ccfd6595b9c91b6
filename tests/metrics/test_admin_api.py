"""The TSDB admin API: deleting series, giving space back, snapshots; off unless the setting is on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cramjam
import pytest

from tests.metrics.conftest import App, Scraped
from tests.metrics.test_remote_write import M

Start = Callable[..., Scraped]


def delete(one: Scraped, **params: Any) -> Any:
    """Ask for a deletion."""
    return one.server.client.post("/api/v1/admin/tsdb/delete_series", params=params)


@pytest.mark.feature("M4")
def test_deleting_series(scraped: Start, app: App, start: Any, tmp_path: Path) -> None:
    """A time range of a series is deleted for good, others stay; a series without samples is not listed."""
    one = scraped(app.address, metrics={"admin_api": True})
    marker = "to-be-forgotten"
    app.requests.labels("GET", marker).inc()
    app.requests.labels("GET", "200").inc()
    for _ in range(3):
        one.tick()
    end = one.clock.now()
    gone, stays = f'http_requests_total{{status="{marker}"}}', 'http_requests_total{status="200",job="app"}'

    def times(selector: str) -> list[float]:
        found = one.query(f"{selector}[5m]")
        return [at for at, _ in found[0]["values"]] if found else []

    assert times(gone) == [end - 30, end - 15, end]
    assert delete(one, **{"match[]": gone, "start": end - 15, "end": end - 15}).status_code == 204
    assert times(gone) == [end - 30, end]
    assert delete(one, **{"match[]": gone}).status_code == 204
    assert times(gone) == []
    assert times(stays) == [end - 30, end - 15, end]
    get = one.server.client.get
    assert get("/api/v1/series", params={"match[]": gone}).json()["data"] == []
    one.tick()
    assert times(gone) == [end + 15], "the target still has it: a new sample comes"
    assert delete(one, **{"match[]": gone}).status_code == 204
    assert one.server.client.put("/api/v1/admin/tsdb/clean_tombstones").status_code == 204
    one.server.stop()
    again = Scraped(start(metrics={"admin_api": True}), one.clock)
    one = again
    assert times(gone) == []
    assert times(stays) == [end - 30, end - 15, end, end + 15]


@pytest.mark.feature("M4")
def test_deleting_native_histograms(server: Any, start: Any, clock: Any) -> None:
    """Of a series of native histograms the others still come back right when one is deleted."""
    server.stop()
    one = Scraped(start(metrics={"admin_api": True}), clock)
    base = clock.now() - 60
    request = M["WriteRequest"]()
    series = request.timeseries.add()
    series.labels.add(name="__name__", value="h")
    for number in range(4):
        sample = series.histograms.add(count_int=number + 1, sum=number, zero_threshold=0.001)
        sample.timestamp = round((base + number * 15) * 1000)
        sample.positive_spans.add(offset=0, length=1)
        sample.positive_deltas.append(number + 1)
    body = cramjam.snappy.compress_raw(request.SerializeToString())
    assert one.server.client.post("/api/v1/write", content=bytes(body)).status_code == 204
    assert delete(one, **{"match[]": "h", "start": base + 15, "end": base + 15}).status_code == 204
    found = one.query("h[5m]")[0]["histograms"]
    shown = [(at, value["count"], value["buckets"]) for at, value in found]
    assert shown == [
        (base + number * 15, str(number + 1), [[0, "0.5", "1", str(number + 1)]]) for number in (0, 2, 3)
    ]


@pytest.mark.feature("M4")
def test_snapshots(scraped: Start, app: App) -> None:
    """A snapshot is a folder of day files that sqlite3 opens; its name is answered."""
    one = scraped(app.address, metrics={"admin_api": True})
    one.tick()
    answer = one.server.client.post("/api/v1/admin/tsdb/snapshot").json()
    folder = one.server.data_dir / "metrics" / "snapshots" / answer["data"]["name"]
    (file,) = folder.glob("*.db")
    raw = sqlite3.connect(file)
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert raw.execute("SELECT count(*) FROM wal").fetchone()[0] > 0
    raw.close()
    empty = one.server.client.post("/api/v1/admin/tsdb/snapshot", params={"skip_head": "true"}).json()
    assert list((folder.parent / empty["data"]["name"]).iterdir()) == []
    bad = one.server.client.post("/api/v1/admin/tsdb/snapshot", params={"skip_head": "maybe"})
    assert bad.status_code == 400


@pytest.mark.feature("M4")
def test_what_cannot_be_deleted(server: Any, start: Any) -> None:
    """Without a selector, or with one that cannot be read, nothing is deleted and the reason is said."""
    server.stop()
    one = start(metrics={"admin_api": True})
    for params in ({}, {"match[]": "{"}, {"match[]": "{}"}, {"match[]": "a", "start": "x"}):
        answer = one.client.post("/api/v1/admin/tsdb/delete_series", params=params)
        assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data"), params
