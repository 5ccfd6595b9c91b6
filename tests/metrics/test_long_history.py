"""Long history: what is downsampled answers as the raw samples would, long after they are gone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import ABSENT_NAN, STALE_NAN, Block, Labels, Matcher, QueryResult, Selection
from mamimon.metrics.promql import evaluate
from mamimon.metrics.store import SeriesStore, codec
from mamimon.metrics.store.day import Day
from mamimon.metrics.store.dayfile import Sealed

START = 1_735_689_600  # 2025-01-01 00:00:00 UTC
DAY_MS = 86_400_000
DAYS = 365 if os.environ.get("MAMIMON_FULL") else 95
"""A year takes a minute to write; four months' files show the same."""
HOUR = 3_600_000
SCRAPE_MS = 120_000
PER_DAY = DAY_MS // SCRAPE_MS


def _year() -> tuple[np.ndarray[Any, Any], list[Labels], np.ndarray[Any, Any]]:
    """A scrape each two minutes of a year: counters with resets, a gauge, one with gaps, one that ends."""
    random = np.random.default_rng(6)
    times = START * 1000 + 12_345 + np.arange(DAYS * PER_DAY, dtype=np.int64) * SCRAPE_MS
    count = len(times)
    daily = 1 + np.sin(np.arange(count) / PER_DAY * 2 * np.pi)
    steady = np.cumsum(random.poisson(daily * 20)).astype(float)
    resetting = np.cumsum(random.poisson(daily * 5)).astype(float)
    for at in np.sort(random.integers(0, count, DAYS // 3)):
        resetting[at:] -= resetting[at]
    gauge = np.round(daily * 50 + random.normal(0, 5, count), 3)
    gappy = steady * 3
    for at in random.integers(0, count - 1500, DAYS // 9):
        gappy[at : at + random.integers(3, 1000)] = ABSENT_NAN
    ends = resetting + 7
    end = DAYS // 2 * PER_DAY + 77
    ends[end] = STALE_NAN
    ends[end + 1 :] = ABSENT_NAN
    names = ("steady_total", "resetting_total", "gauge", "gappy_total", "ends_total")
    labels = [{"__name__": name, "job": "t"} for name in names]
    return times, labels, np.stack([steady, resetting, gauge, gappy, ends])


class Raw:
    """The same samples in memory, never downsampled."""

    def __init__(self, year: tuple[np.ndarray[Any, Any], list[Labels], np.ndarray[Any, Any]]) -> None:
        self.times, self.labels, self.values = year

    def select(self, matchers: Any, start: int, end: int) -> Selection:
        wanted = next(one.value for one in matchers if one.name == "__name__")
        rows = [i for i, own in enumerate(self.labels) if own["__name__"] == wanted]
        inside = (self.times >= start) & (self.times <= end)
        block = Block(self.times[inside], np.arange(len(rows)), self.values[rows][:, inside])
        return Selection([self.labels[row] for row in rows], [block])


async def fill(store: SeriesStore, times: Any, labels: list[Labels], values: Any) -> None:
    """Put samples into day files as they are once sealed, a chunk a day."""
    for first in range(int(times[0]) // DAY_MS * DAY_MS, int(times[-1]) + 1, DAY_MS):
        inside = (times >= first) & (times < first + DAY_MS)
        day = await store.day_of(first)
        ids = np.asarray([day.index.id_of(own) for own in labels], dtype=np.int32)
        order = np.argsort([day.index.key(number) for number in ids.tolist()])
        await day.file.append([], {"s": day.source_id("s")}, day.index.keys_from)
        part = codec.encode(values[order][:, inside])
        sealed = Sealed(0, 1, times[inside], ids[order], [0, len(ids)], [part], {}, b"")
        number = await day.file.seal(sealed)
        assert number
        # Read back what lies in the file, as a start does.
        fresh = Day(day.name, day.file)
        fresh.load()
        store._days[day.name] = fresh


@pytest.fixture(scope="module")
def year() -> Any:
    return _year()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, year: Any) -> Iterator[SeriesStore]:
    """A store whose raw days are all gone but the last 30."""
    clock = ManualClock(float(START + DAYS * 86_400 + 8 * 3600))
    settings = Settings()
    settings.metrics.retention_5m_days = 400
    store = SeriesStore(tmp_path_factory.mktemp("year"), settings, clock)

    async def made() -> None:
        await store.open()
        await fill(store, *year)
        for day in store.days()[:-30]:
            await store.drop_day(day)
        for day in store.days():
            await store.history.make(store._days[day])

    with asyncio.Runner() as runner:
        runner.run(made())
        try:
            yield store
        finally:
            runner.run(store.close())


Opener = Callable[..., Awaitable[SeriesStore]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opener]:
    """Open a store over one directory at a time (days after START) with settings; again = a restart."""
    stores: list[SeriesStore] = []

    async def run(clock: ManualClock, **settings: int) -> SeriesStore:
        for store in stores:
            await store.close()
        given = Settings()
        for key, value in settings.items():
            setattr(given.metrics, key, value)
        store = SeriesStore(tmp_path / "metrics", given, clock)
        stores.append(store)
        await store.open()
        return store

    yield run
    for store in stores:
        await store.close()


def ask(store: SeriesStore, query: str, start: int, end: int, step: int) -> QueryResult:
    """Evaluate over the store as the back end does."""
    source = store.source(max_samples=50_000_000, deadline=time.monotonic() + 60, step_ms=step)
    return evaluate(source, query, start, end, step)


def both(store: SeriesStore, year: Any, query: str, step: int = 6 * HOUR) -> tuple[Any, Any]:
    """The answers from long history and from raw samples over the year, the same points present."""
    start, end = START * 1000 + DAY_MS, START * 1000 + DAYS * DAY_MS
    long, raw = ask(store, query, start, end, step), evaluate(Raw(year), query, start, end, step)
    assert long.labels == raw.labels
    return long, raw


@pytest.mark.feature("M6")
@pytest.mark.parametrize("step", [6 * HOUR, 30 * 60_000])
@pytest.mark.parametrize(
    "query",
    [
        "min_over_time(gauge[6h])",
        "max_over_time(gauge[6h])",
        "sum_over_time(gauge[6h])",
        "count_over_time(gappy_total[6h])",
        "avg_over_time(gauge[1d])",
        "avg_over_time(gappy_total[6h])",
        "resets(resetting_total[1d])",
        "last_over_time(gauge[6h])",
        "first_over_time(gauge[6h])",
        "present_over_time(gappy_total[6h])",
        "max_over_time(ends_total[6h])",
        "sum(max_over_time(gauge[6h])) by (job)",
    ],
)
def test_aggregates_over_time_are_those_of_raw_samples(
    old: SeriesStore, year: Any, query: str, step: int
) -> None:
    """Over windows of whole buckets, min, max, sum, count, avg and resets of a year are exact."""
    long, raw = both(old, year, query, step)
    assert (long.present == raw.present).all()
    np.testing.assert_allclose(long.values[long.present], raw.values[raw.present], rtol=1e-9)


@pytest.mark.feature("M6")
@pytest.mark.parametrize("window", ["1h", "6h", "1d"])
@pytest.mark.parametrize("name", ["steady_total", "resetting_total"])
def test_rate_over_a_year_is_that_of_raw_samples(old: SeriesStore, year: Any, name: str, window: str) -> None:
    """rate() and increase() of a year differ from raw ones by less than two scrapes' share of the window."""
    error = 2 * SCRAPE_MS / {"1h": HOUR, "6h": 6 * HOUR, "1d": DAY_MS}[window]
    for function in ("rate", "increase"):
        long, raw = both(old, year, f"{function}({name}[{window}])")
        assert (long.present == raw.present).all()
        # What a scrape adds varies with the time of day: compare with the usual size of the answer.
        off = np.abs(long.values - raw.values)[raw.present] / raw.values[raw.present].mean()
        assert off.max() < error * 2
        assert off.mean() < error / 2
    long, raw = both(old, year, f"increase({name}[1d])", DAY_MS)
    assert abs(long.values.sum() / raw.values.sum() - 1) < 1e-4, "nothing is lost over the year"


@pytest.mark.feature("M6")
def test_windows_shorter_than_a_bucket_answer_at_the_bucket(old: SeriesStore, year: Any) -> None:
    """rate(x[5m]) asked each six hours over a year is the rate of the hour, never empty."""
    long, _ = both(old, year, "rate(steady_total[5m])")
    hour, _ = both(old, year, "rate(steady_total[1h])")
    np.testing.assert_allclose(long.values, hour.values, rtol=1e-9)
    assert long.present.all()


@pytest.mark.feature("M6")
def test_selectors_end_where_a_series_ended(old: SeriesStore, year: Any) -> None:
    """A plain selector shows each bucket's last sample, and nothing after a staleness marker."""
    long, raw = both(old, year, "gauge")
    np.testing.assert_allclose(long.values, raw.values, rtol=1e-12)
    long, raw = both(old, year, "ends_total")
    assert (long.present == raw.present).all()


@pytest.mark.feature("M6")
def test_questions_within_raw_days_read_raw_samples(old: SeriesStore, year: Any) -> None:
    """As long as raw samples reach, the answer is Prometheus' to the last bit."""
    start, end = START * 1000 + (DAYS - 29) * DAY_MS, START * 1000 + DAYS * DAY_MS
    for query in ("rate(steady_total[7m])", "gauge", "stddev_over_time(gauge[1h])"):
        long, raw = ask(old, query, start, end, HOUR), evaluate(Raw(year), query, start, end, HOUR)
        assert (long.values == raw.values).all()


@pytest.mark.feature("M6")
def test_instant_questions_reach_over_the_year(old: SeriesStore, year: Any) -> None:
    """increase(x[360d]) now is what the counter gained."""
    end = START * 1000 + DAYS * DAY_MS
    long, raw = (
        ask(old, "increase(steady_total[360d])", end, end, 0),
        evaluate(Raw(year), "increase(steady_total[360d])", end, end, 0),
    )
    assert long.values[0, 0] == pytest.approx(raw.values[0, 0], rel=1e-4)


@pytest.mark.feature("M6")
async def test_the_finest_that_is_left_answers(opened: Opener, year: Any) -> None:
    """Days whose 5 minute buckets have expired answer at an hour, whatever the step."""
    clock = ManualClock(float(START + 40 * 86_400))
    store = await opened(clock, retention_5m_days=0)
    times, labels, values = year
    await fill(store, times[: 5 * PER_DAY], labels, values[:, : 5 * PER_DAY])
    for day in store.days():
        await store.drop_day(day)
    assert store.history.months(300_000) == []
    assert store.history.months(HOUR) == ["2025-01"]
    start = START * 1000 + DAY_MS
    found = ask(store, "max_over_time(gauge[1h])", start, start + DAY_MS, 15 * 60_000)
    assert found.present.all()


@pytest.mark.feature("M6")
async def test_today_is_aggregated_as_it_is_read(opened: Opener, year: Any) -> None:
    """A question over old and new days is whole: a day that is not over yet is joined to the rest."""
    clock = ManualClock(float(START + 3 * 86_400 + 50_000))
    store = await opened(clock)
    times, labels, values = year
    until = 3 * PER_DAY + 400
    await fill(store, times[:until], labels, values[:, :until])
    await store.drop_day("2025-01-01")
    await store.drop_day("2025-01-02")
    end = int(times[until - 1])
    found = ask(store, "increase(steady_total[3d])", end, end, 0)
    assert found.values[0, 0] == pytest.approx(values[0, until - 1] - values[0, 400], rel=0.01)
    found = ask(store, "gauge", START * 1000 + HOUR, end, HOUR)
    assert found.present.all()


@pytest.mark.feature("M6")
async def test_a_changed_day_is_made_anew_and_deleted_series_are_gone(opened: Opener, year: Any) -> None:
    """Deleting samples takes them out of the long history too, with raw samples or without."""
    clock = ManualClock(float(START + 4 * 86_400))
    store = await opened(clock)
    times, labels, values = year
    await fill(store, times[: 3 * PER_DAY], labels, values[:, : 3 * PER_DAY])
    await store.drop_day("2025-01-01")
    await store.history.make(store._days["2025-01-02"])
    await store.delete([[Matcher("__name__", "=", "gauge")]], START * 1000, START * 1000 + 2 * DAY_MS)
    end = START * 1000 + 3 * DAY_MS
    assert not ask(store, "gauge", START * 1000, START * 1000 + 2 * DAY_MS, HOUR).labels
    assert ask(store, "gauge", START * 1000, end, HOUR).labels
    assert not store.history.has("2025-01-02", HOUR), "it is made anew of what is left"
    await store.drop_day("2025-01-02")
    assert not ask(store, "gauge", START * 1000, START * 1000 + 2 * DAY_MS, HOUR).labels
    assert ask(store, "steady_total", START * 1000, START * 1000 + 2 * DAY_MS, HOUR).labels
    assert len(store.series([[Matcher("__name__", "=", "steady_total")]], START * 1000, end)) == 1


@pytest.mark.feature("M6")
async def test_native_histograms_keep_the_newest_of_each_bucket(opened: Opener) -> None:
    """The rate of a native histogram over deleted days is that of its buckets' last samples."""
    clock = ManualClock(float(START))
    store = await opened(clock)
    for i in range(240):
        at = (START + i * 60) * 1000
        clock.advance(60)
        one = Histogram(schema=0, count=10.0 * i, sum=5.0 * i, positive={1: 10.0 * i}, zero_threshold=0.0)
        await store.append("t", at, [({"__name__": "h"}, one)])
    clock.advance(3 * 86_400)
    await store.seal_due()
    await store.drop_day("2025-01-01")
    at = (START + 3 * 3600) * 1000
    found = ask(store, "histogram_count(rate(h[10m]))", at - HOUR, at, 10 * 60_000)
    assert found.values == pytest.approx(10 / 60, rel=1e-6)
    found = ask(store, "histogram_count(increase(h[5m]))", at - HOUR, at, 10 * 60_000)
    assert found.values == pytest.approx(50, rel=1e-6)


@pytest.mark.feature("M6")
async def test_a_restart_finds_the_long_history(opened: Opener, year: Any) -> None:
    """What was downsampled before a restart answers after it, and is dropped by month."""
    clock = ManualClock(float(START + 4 * 86_400))
    times, labels, values = year
    store = await opened(clock)
    await fill(store, times[:PER_DAY], labels, values[:, :PER_DAY])
    await store.drop_day("2025-01-01")
    store = await opened(clock)
    assert store.days() == []
    assert store.oldest() == START
    assert ask(store, "gauge", START * 1000 + HOUR, START * 1000 + DAY_MS, HOUR).present.all()
    copy = store.directory / "copy.db"
    await store.history.snapshot_month(HOUR, "2025-01", copy)
    assert copy.stat().st_size > 0
    await store.history.drop_month(HOUR, "2025-01")
    await store.history.drop_month(300_000, "2025-01")
    assert not ask(store, "gauge", START * 1000 + HOUR, START * 1000 + DAY_MS, HOUR).labels


@pytest.mark.feature("M6")
async def test_a_restart_makes_no_day_anew(opened: Opener) -> None:
    """A day that is over keeps its file as it is once compacted, so its history is still the file's own."""
    clock = ManualClock(float(START))
    store = await opened(clock)
    for i in range(300):
        clock.advance(60)
        await store.append("t", (START + i * 60) * 1000, [({"__name__": "n"}, float(i))])
    clock.advance(2 * 86_400)
    await store.seal_due()
    day = store._days["2025-01-01"]
    await day.file.compact()
    assert await store.history.make(day)
    for _ in range(2):
        store = await opened(clock)
        day = store._days["2025-01-01"]
        await day.file.compact()
        assert not store.history.missing(day)
