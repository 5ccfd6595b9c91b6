"""Small blocks evaluated together give what each gives alone, bit by bit, from a real store."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels, QueryResult
from mamimon.metrics.promql import evaluate, stacked
from mamimon.metrics.promql.values import are_there
from mamimon.metrics.promql.windows import Windows
from mamimon.metrics.store import SeriesStore, scrape_of
from mamimon.metrics.store.scrape import Scrape

START_S = 1_767_225_600  # 2026-01-01 00:00:00 UTC
START = START_S * 1000
SCRAPES = 360
"""At 30 s three hours: a sealed chunk and an open one."""

Sample = tuple[Labels, float | Histogram]


def times_of(target: int, random: np.random.Generator) -> list[int]:
    """Most targets are scraped evenly at an instant of their own."""
    times = START + np.arange(SCRAPES) * 30_000 + target * 3_370
    if target == 4:  # about the instants of the steps
        times = START + np.arange(1, SCRAPES) * 30_000 + random.integers(-3, 4, SCRAPES - 1)
    if target == 5:  # scrapes that failed
        times = np.delete(times, [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 200])
    if target == 6:  # begins later
        times = times[SCRAPES // 2 :]
    return [int(at) for at in times]


def samples_of(target: int, number: int, random: np.random.Generator) -> list[Sample]:
    """What a target shows at one of its scrapes."""
    base = {"job": f"j{target % 3}", "instance": f"host{target}:9100"}
    found: list[Sample] = []
    for n in range(4):
        value = float(number * (n + 2) % (900 + 40 * n) + target)
        if target in (3, 7):
            value += random.random()
        if target == 3 and n == 1 and number % 50 == 7:
            value = math.nan
        if target == 8 and n == 2 and 100 < number < 150:
            continue  # a series that ends and comes again
        name: Labels = {"__name__": "x_total", "n": str(n), **base}
        if target == 9 and n == 0 and number % 3:
            found.append((name, Histogram(schema=0, count=value, sum=1.0, positive={1: value})))
            continue
        found.append((name, value))
        found.append(({**name, "__name__": "gauge"}, random.normal()))
    if target == (1 if number < 170 else 2):  # one that moves from target to target
        found.append(({"__name__": "x_total", "n": "moving", "job": "j0"}, float(number)))
    return found


async def filled(directory: Path) -> SeriesStore:
    """A store of ten targets, the first window of two hours sealed."""
    clock = ManualClock(float(START_S + 3 * 3600 + 60))
    store = SeriesStore(directory, Settings(), clock)
    await store.open()
    random = np.random.default_rng(11)
    day = await store.day_of(START)
    scrapes: list[Scrape] = []
    for target in range(10):
        for number, at in enumerate(times_of(target, random)):
            # A push leaves what it does not name alone, and may come late.
            samples = samples_of(target, number, random)
            scrapes.append(scrape_of(day, f"t{target}", at, samples, whole=target != 7))
    late = [one for one in scrapes if one.source == "t7"][100:110:2]
    scrapes = [one for one in scrapes if all(one is not other for other in late)]
    scrapes.sort(key=lambda one: one.at)
    await store.write(scrapes)
    store.set_out_of_order(10 * 3600.0)
    await store.write(late)
    assert await store.seal_due() == 10
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeriesStore]:
    """Shared by all cases, which only read."""
    with asyncio.Runner() as runner:
        made = runner.run(filled(tmp_path_factory.mktemp("stacked")))
        yield made
        runner.run(made.close())


def asked(store: SeriesStore, text: str, step: int) -> QueryResult:
    source = store.source(max_samples=10_000_000, deadline=time.monotonic() + 60, step_ms=step)
    return evaluate(source, text, START + 600_000, START + 10_700_000, step)


RANGES = [
    "rate(x_total[5m])",
    "increase(x_total[10m])",
    "delta(gauge[10m])",
    "irate(x_total[5m])",
    "idelta(gauge[5m])",
    "max_over_time(gauge[10m])",
    "min_over_time(x_total[5m])",
    "sum_over_time(x_total[5m])",
    "avg_over_time(gauge[5m])",
    "count_over_time(x_total[5m])",
    "first_over_time(gauge[4m])",
    "last_over_time(x_total[4m])",
    "present_over_time(x_total[1m])",
    "resets(x_total[20m])",
    "changes(gauge[5m])",
    "quantile_over_time(0.7, gauge[5m])",
    "mad_over_time(gauge[5m])",
    "stddev_over_time(gauge[5m])",
    "deriv(gauge[5m])",
    "predict_linear(gauge[5m], 600)",
    "double_exponential_smoothing(gauge[5m], 0.5, 0.3)",
    "ts_of_max_over_time(gauge[5m])",
    "ts_of_first_over_time(gauge[5m])",
    "ts_of_last_over_time(x_total[5m])",
    "absent_over_time(x_total[2m] offset 15m)",
    "max_over_time(rate(x_total[5m])[20m:1m])",
    "rate(x_total[5m] offset 7m)",
    "rate(x_total[5m] @ end())",
]
INSTANTS = [
    "x_total",
    "gauge",
    "timestamp(x_total)",
    "timestamp(gauge offset 3m)",
    "topk(3, x_total)",
    "sum by (job) (gauge)",
    "x_total - gauge",
    'gauge{instance=~"host[3-5]:9100"}',
]


@pytest.mark.feature("M3")
@pytest.mark.parametrize("step", [60_000, 17_000, 1_200_000])
@pytest.mark.parametrize("text", RANGES + INSTANTS)
def test_together_is_as_alone(
    store: SeriesStore, monkeypatch: pytest.MonkeyPatch, text: str, step: int
) -> None:
    """Targets with times of their own, gaps, late starts and ends, native histograms, late samples."""
    together = asked(store, text, step)
    monkeypatch.setattr(stacked, "FEW", sys.maxsize)
    alone = asked(store, text, step)
    assert len(together.labels) > 0
    assert together.labels == alone.labels
    assert (together.present == alone.present).all()
    numbers = together.present
    assert (together.histograms is None) == (alone.histograms is None)
    if together.histograms is not None and alone.histograms is not None:
        # As texts: some have a NaN in them, which is not equal to itself.
        assert list(map(repr, together.histograms[numbers])) == list(map(repr, alone.histograms[numbers]))
        numbers = numbers & ~are_there(together.histograms)
    mine, theirs = together.values[numbers], alone.values[numbers]
    if text.startswith(("sum_over", "avg_over")):  # prefix sums of other rows may spare a correction
        np.testing.assert_allclose(mine, theirs, rtol=1e-15)
    else:
        assert (mine.view(np.int64) == theirs.view(np.int64))[~(np.isnan(mine) & np.isnan(theirs))].all()
    assert (together.infos, together.warnings) == (alone.infos, alone.warnings)


@pytest.mark.feature("M3")
def test_even_targets_are_one_matrix(store: SeriesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly scraped targets are worked on at once, those with gaps apart from those without."""
    seen: list[tuple[int, int, bool]] = []
    made = stacked.Stack._tile

    def tile(self: stacked.Stack, *given: object, plain: bool) -> Windows:
        found = made(self, *given, plain=plain)  # type: ignore[arg-type]
        seen.append((len(set(found.target_of.tolist())), found.exact.shape[0], plain))
        return found

    monkeypatch.setattr(stacked.Stack, "_tile", tile)
    # Of ten targets 4, 5 and 6 are uneven and 9 has histograms; the moving series is even on its own.
    asked(store, "rate(x_total[5m])", 60_000)
    assert seen == [(5, 17, True), (2, 8, False)]
    seen.clear()
    asked(store, "gauge", 60_000)
    assert seen == [(5, 20, True), (2, 8, False)]


@pytest.mark.feature("M3")
def test_a_stack_is_read_in_parts_of_the_cache(store: SeriesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a tile's samples are put together at once; the answer is the same."""
    whole = asked(store, "rate(x_total[5m])", 60_000)
    rows: list[int] = []
    read = stacked.Stack._read

    def counted(self: stacked.Stack, blocks: list[object], count: int) -> object:
        rows.append(count)
        return read(self, blocks, count)  # type: ignore[arg-type]

    monkeypatch.setattr(stacked.Stack, "_read", counted)
    monkeypatch.setattr(stacked, "TILE_CELLS", 3_000)
    parts = asked(store, "rate(x_total[5m])", 60_000)
    assert rows == [8, 8, 8, 1]
    assert (parts.present == whole.present).all()
    assert np.array_equal(parts.values[whole.present], whole.values[whole.present], equal_nan=True)
