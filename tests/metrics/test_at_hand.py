"""Small questions are answered on the event loop, from memory only, and as a thread would answer them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.promql import evaluate
from mamimon.metrics.query import LocalBackend
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.problems import Problem
from mamimon.storage import Core, Database

START = 1_767_225_600 + 20 * 3600  # 2026-01-01 20:00:00 UTC
NOW = START + 6 * 3600

SMALL = [
    "vector(1)",
    "1 + 2",
    'x{n="3"}',
    'rate(x{n="3"}[5m]) * 2',
    'sum by (job) (x{job="few"})',
    'x{n="3"} offset 1h',
    'absent(x{n="none"})',
    'label_replace(x{n="3"}, "a", "$1", "n", "(.*)")',
    'x{n="3"}[2m]',
]
LARGE = ["x", 'x{n=~"3"}', "{job!='a'}", "max_over_time(x{n='3'}[1h:1s])", "info(x)", "1 + " * 40 + "1", "x{"]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[SeriesStore, LocalBackend]]:
    """Six hours over midnight of a hundred series, sealed but for the last window."""
    clock = ManualClock(float(START))
    store = SeriesStore(tmp_path / "metrics", Settings(), clock)
    await store.open()
    for at in range(START, NOW + 1, 60):
        clock.jump(max(0.0, at - clock.now()))
        day = await store.day_of(at * 1000)
        ids = [
            day.index.id_of({"__name__": "x", "n": str(n), "job": "few" if n < 5 else "many"})
            for n in range(100)
        ]
        await store.write([Scrape("s", at * 1000, np.asarray(ids), np.arange(100.0) + at)])
    await store.seal_due()
    state = await Database.open(tmp_path / "state.db")
    backend = LocalBackend(Core(Settings(), clock, tmp_path, state), store)
    yield store, backend
    backend.close()
    await store.close()
    await state.close()


@pytest.mark.feature("M3")
@pytest.mark.parametrize("text", SMALL)
async def test_the_answer_is_that_of_a_thread(opened: tuple[SeriesStore, LocalBackend], text: str) -> None:
    """Once what it reads is decoded, a small question has the answer that the whole store gives."""
    store, backend = opened
    source = store.source(max_samples=1_000_000, deadline=time.monotonic() + 60)
    whole = await asyncio.to_thread(evaluate, source, text, NOW * 1000, NOW * 1000, 0)
    found = backend.at_hand(text, NOW)
    assert found is not None
    assert (found.kind, found.labels, found.text) == (whole.kind, whole.labels, whole.text)
    assert np.array_equal(found.values, whole.values)
    assert [one[1].tolist() for one in found.series] == [one[1].tolist() for one in whole.series]


@pytest.mark.feature("M3")
@pytest.mark.parametrize("text", LARGE)
async def test_what_may_take_long_goes_to_a_thread(
    opened: tuple[SeriesStore, LocalBackend], text: str
) -> None:
    """Many series, regular expressions, subqueries, long texts and mistakes are not for the loop."""
    _, backend = opened
    assert backend.at_hand(text, NOW) is None


@pytest.mark.feature("M3")
async def test_nothing_is_read_from_a_file(opened: tuple[SeriesStore, LocalBackend]) -> None:
    """A sealed window that is not decoded goes to a thread, which decodes it for the next question."""
    store, backend = opened
    for day in store.days_between(START * 1000, NOW * 1000):
        store._cache.forget(day.file)
    assert backend.at_hand('x{n="3"}', NOW) is not None
    past = NOW - 3 * 3600
    assert backend.at_hand('x{n="3"}', past) is None
    there = await backend.instant('x{n="3"}', past)
    again = backend.at_hand('x{n="3"}', past)
    assert again is not None and again.values.tolist() == there.values.tolist() == [[3.0 + past]]
    # Before the first day the long history may know more.
    assert backend.at_hand('x{n="3"}', START - 90_000) is None


@pytest.mark.feature("M3")
async def test_mistakes_are_told_as_by_a_thread(opened: tuple[SeriesStore, LocalBackend]) -> None:
    """What cannot be evaluated raises the same problem."""
    _, backend = opened
    text = 'x{job="few"} + on (job) x{job="few"}'
    with pytest.raises(Problem, match="many-to-many"):
        backend.at_hand(text, NOW)
