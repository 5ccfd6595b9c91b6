"""What changed: the ranking on planted changes, and the page with what stands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.changes import Change, Changes, changes
from mamimon.metrics.model import Labels
from mamimon.metrics.query import LocalBackend
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.problems import Problem
from mamimon.storage import Core, Database
from tests.metrics.test_graph import PHONE, Watched
from tests.metrics.test_remote_write import post, request

START = 1_767_225_600  # 2026-01-01 00:00:00 UTC
STEP = 15
BEFORE = 4 * 3600 // STEP
WINDOW = 900 // STEP
TIMES = np.arange(BEFORE + WINDOW)
NOW = START + len(TIMES) * STEP
LATE = TIMES >= BEFORE


def _world() -> dict[str, list[tuple[Labels, np.ndarray[Any, Any]]]]:
    """Series by target: what happens to each stands in its name; NaN is no sample."""
    random = np.random.default_rng(3)

    def noise(level: float) -> np.ndarray[Any, Any]:
        return np.asarray(level * (1 + 0.1 * random.standard_normal(len(TIMES))))

    def counter(rate: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.floor(np.cumsum(rate * STEP))

    def one(name: str, /, **labels: str) -> Labels:
        return {"__name__": name, **labels}

    requests = counter(noise(20))
    daily = 50 + 40 * np.sin(TIMES / 120)  # twice an hour up and down
    spike = noise(7)
    spike[BEFORE + 10 : BEFORE + 22] *= 12
    appeared = np.where(LATE, 3.0, np.nan)
    seconds = np.cumsum(noise(20 * STEP * 0.1) * np.where(LATE, 3, 1))
    crashed = counter(np.where(LATE, 90.0, 30.0))
    crashed[BEFORE + 20 :] -= crashed[BEFORE + 19]
    app = [
        (one("noisy"), noise(100)),
        (one("constant"), np.full(len(TIMES), 5.0)),
        (one("grows_bytes"), 1e9 + TIMES * 1e5),
        (one("swings"), daily),
        (one("level"), np.where(LATE, 118.0, 3.0)),
        (one("spiky"), spike),
        (one("queue", name='a "b"\\c'), noise(40) * np.where(LATE, 0.2, 1)),
        *((one("pool", shard=str(n)), noise(10) * np.where(LATE, 4, 1)) for n in range(5)),
        (one("requests_total", code="200"), requests),
        (one("errors_total", code="500"), counter(np.where(LATE, 6.0, 0.01))),
        (one("requests_total", code="503"), np.where(LATE, counter(np.full(len(TIMES), 2.0)), np.nan)),
        (one("restarts_total"), crashed),
        (one("latency_seconds_sum"), seconds),
        (one("latency_seconds_count"), requests),
        (one("http.latency", path="/ü"), np.where(LATE, 30.0, 10.0)),
        (one("fresh"), appeared),
        (one("ends"), np.where(LATE, np.nan, noise(4))),
        (one("mamimon_series"), np.where(LATE, 1e6, 1.0)),
    ]
    gone = np.where(LATE, np.nan, 1.0)
    return {
        "app": app,
        "old": [(one(f"old_{n}", instance="old:1"), gone * n) for n in range(1, 8)],
        "new": [(one(f"new_{n}", instance="new:1"), appeared * n) for n in range(1, 9)],
    }


async def _fill(store: SeriesStore, clock: ManualClock) -> None:
    for source, rows in _world().items():
        clock.jump(NOW - clock.now())
        labels = [{"job": "app", "instance": "one:1", **one} for one, _ in rows]
        values = np.stack([row for _, row in rows])
        for at in TIMES.tolist():
            now = (START + at * STEP) * 1000
            day = await store.day_of(now)
            there = np.flatnonzero(~np.isnan(values[:, at]))
            ids = np.asarray([day.index.id_of(labels[row]) for row in there.tolist()], dtype=np.int64)
            await store.write([Scrape(source, now, ids, values[there, at])])


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[LocalBackend]:
    """Four hours of the world, and the quarter of an hour in which it is not as it was."""
    clock = ManualClock(float(START))
    store = SeriesStore(tmp_path / "metrics", Settings(), clock)
    await store.open()
    await _fill(store, clock)
    state = await Database.open(tmp_path / "state.db")
    one = LocalBackend(Core(Settings(), clock, tmp_path, state), store)
    yield one
    one.close()
    await store.close()
    await state.close()


def _named(found: Changes) -> dict[tuple[str, str], Change]:
    return {(one.kind, one.name): one for one in found.rows}


@pytest.mark.feature("M9")
async def test_what_was_planted_is_found_and_nothing_else(backend: LocalBackend) -> None:
    """Levels, spikes, rates, means, new and gone series are told; noise, growth and rhythm are not."""
    found = await changes(backend, NOW - 900, NOW, 50)
    named = _named(found)
    assert {name for kind, name in named if kind == "moved"} == {
        "level", "spiky", "queue", "pool", "errors_total", "restarts_total", "latency_seconds",
        "http.latency",
    }  # fmt: skip
    assert {name for kind, name in named if kind == "new"} == {"", "fresh", "requests_total"}
    assert {name for kind, name in named if kind == "gone"} == {"", "ends"}
    assert found.before == NOW - 900 - 6 * 3600
    level = named["moved", "level"]
    assert (level.before, level.unit, level.labels) == (3.0, "", {"job": "app", "instance": "one:1"})
    assert level.now == pytest.approx(118.0, rel=0.1)
    assert level.score is not None and level.score > 20
    assert level.trend[-1] == 118.0 and 3.0 in level.trend and len(level.trend) <= 60
    queue = named["moved", "queue"]
    assert queue.score is not None and queue.score < -5
    # Five shards moved alike: the one that moved most stands for them.
    assert named["moved", "pool"].alike == 4
    # Without what is new or gone; a sum and its count are two.
    assert found.compared == 18


@pytest.mark.feature("M9")
async def test_counters_are_rates_and_sums_are_means(backend: LocalBackend) -> None:
    """A reset is no change of a rate; `_sum` by `_count` is what a person calls the latency."""
    named = _named(await changes(backend, NOW - 900, NOW, 50))
    restarts = named["moved", "restarts_total"]
    assert restarts.unit == "per second"
    assert (restarts.before, restarts.now) == (pytest.approx(30, rel=0.01), pytest.approx(90, rel=0.05))
    latency = named["moved", "latency_seconds"]
    assert latency.unit == "mean"
    assert (latency.before, latency.now) == (pytest.approx(0.1, rel=0.1), pytest.approx(0.3, rel=0.1))
    assert named["new", "requests_total"].labels["code"] == "503"


@pytest.mark.feature("M9")
async def test_a_target_that_came_or_went_is_one_row(backend: LocalBackend) -> None:
    """Its series are not told one by one."""
    found = await changes(backend, NOW - 900, NOW, 50)
    whole = {one.kind: one for one in found.rows if not one.name}
    assert (whole["new"].labels["instance"], whole["new"].alike) == ("new:1", 7)
    assert (whole["gone"].labels["instance"], whole["gone"].alike) == ("old:1", 6)
    assert not [one for one in found.rows if one.name.startswith(("old_", "new_"))]


@pytest.mark.feature("M9")
async def test_the_greatest_come_first_and_each_can_be_drawn(backend: LocalBackend) -> None:
    """The order is by score, the limit cuts, and every row's query gives its one series."""
    found = await changes(backend, NOW - 900, NOW, 50)
    scores = [abs(one.score) for one in found.rows if one.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert [one.name for one in (await changes(backend, NOW - 900, NOW, 3)).rows] == [
        one.name for one in found.rows[:3]
    ]
    for one in found.rows:
        if one.name:
            drawn = await backend.range(one.query, NOW - 7200, NOW, 60)
            assert len(drawn.labels) == 1, one.query


@pytest.mark.feature("M9")
async def test_without_a_time_before_nothing_is_compared(backend: LocalBackend) -> None:
    """The first minutes of a store, and a store without a sample, have no changes."""
    for start, end in ((START, START + 900), (START + 60, START + 300), (START - 90_000, START - 80_000)):
        found = await changes(backend, start, end)
        assert (found.compared, found.rows) == (0, [])


@pytest.mark.feature("M9")
async def test_a_young_server_compares_with_the_little_it_has(backend: LocalBackend) -> None:
    """Twenty minutes of samples are enough to say what moved in the last five."""
    found = await changes(backend, START + 900, START + 1200)
    assert START - 60 <= found.before <= START + 60
    assert found.compared > 20 and not [one for one in found.rows if one.kind != "moved"]


@pytest.mark.feature("M9")
async def test_a_time_that_costs_too_much_is_compared_with_less(backend: LocalBackend) -> None:
    """What does not fit the budget of a question is asked of a shorter time; if that does not, it says so."""
    backend._settings.query_max_samples = 24_000
    found = await changes(backend, NOW - 900, NOW, 50)
    assert found.before == NOW - 900 - 3600
    assert ("moved", "level") in _named(found)
    backend._settings.query_max_samples = 500
    with pytest.raises(Problem, match="too many samples"):
        await changes(backend, NOW - 900, NOW)


@pytest.mark.browser
@pytest.mark.feature("M9")
def test_the_page_has_series_patterns_errors_and_deploys(
    start: Any, clock: ManualClock, browser: Any
) -> None:
    """A push of two hours with a jump, a new pattern, error and deploy stand on one page and in the API."""
    server = start(metrics={"scrape_self": False})
    now = int(clock.now())
    times = [now - 7200 + 60 * n for n in range(121)]
    jump = [(at * 1000, 118.0 if at > now - 600 else 3.0) for at in times]
    steady = [(at * 1000, 7.0) for at in times]
    long = {"__name__": "a_gauge_with_a_long_name_bytes", "path": "/api/" + "x" * 120}
    message = request((long, jump), ({"__name__": "steady"}, steady))
    assert post(server, message).status_code == 204
    lines = "".join(f'{{"level":"ERROR","message":"pump {n} lost pressure"}}\n' for n in range(5))
    server.client.post("/api/mamimon/logs?dataset=app", content=lines).raise_for_status()
    key = server.client.get("/api/mamimon/errors/dsn").json()["dsn"].split("//")[1].split("@")[0]
    error = {"exception": {"values": [{"type": "PumpError", "value": "dry"}]}, "timestamp": clock.now()}
    server.client.post("/api/1/store/", params={"sentry_key": key}, json=error).raise_for_status()
    server.client.post("/api/mamimon/deploys", json={"version": "1.4.2"}).raise_for_status()
    clock.advance(1)

    found = server.client.get("/api/mamimon/changes?since=15m").json()
    assert found["problems"] == {}
    assert [one["name"] for one in found["metrics"]["rows"]] == ["a_gauge_with_a_long_name_bytes"]
    assert found["patterns"][0]["template"] == "pump • lost pressure"
    assert (found["patterns"][0]["new"], found["patterns"][0]["count"]) == (True, 5)
    assert [one["title"] for one in found["errors"]] == ["PumpError: dry"]
    assert [one["version"] for one in found["deploys"]] == ["1.4.2"]
    earlier = server.client.get(f"/api/mamimon/changes?start={now - 3000}&end={now - 2100}").json()
    assert (earlier["errors"], earlier["deploys"], earlier["metrics"]["rows"]) == ([], [], [])
    assert server.client.get("/api/mamimon/changes?since=soon").status_code == 400

    seen = Watched(browser, f"{server.url}/graph?q=steady&since=15m", PHONE)
    seen.page.get_by_role("link", name="What changed?").last.click()
    assert seen.page.url.endswith("/changes?since=15m")
    for text in (
        "a_gauge_with_a_long_name_bytes",
        "pump • lost pressure",
        "PumpError: dry",
        "1.4.2",
        "2 series, against the 1",
    ):
        assert seen.page.get_by_text(text).first.is_visible()
    assert "3" in (row := seen.page.locator("table.changed tbody tr").first.inner_text()) and "σ" in row
    assert seen.page.locator("table.changed svg path").get_attribute("d")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    seen.page.locator("table.changed a").first.click()
    assert quote("a_gauge_with_a_long_name_bytes") in seen.page.url
    seen.page.wait_for_selector("figure.chart[data-points] canvas")
    seen.close()
