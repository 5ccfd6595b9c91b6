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
from mamimon.metrics.model import QueryResult
from mamimon.metrics.promql import evaluate
from mamimon.metrics.query import LocalBackend
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.store.index import decode_labels
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
    # An hour before the first day the long history may know more.
    assert backend.at_hand('x{n="3"}', START - 90_000) is None


@pytest.mark.feature("M3")
async def test_over_hours_only_few_series_are_at_hand(opened: tuple[SeriesStore, LocalBackend]) -> None:
    """A name alone is of too many series; one chosen by its labels has the answer of a thread."""
    _, backend = opened
    long = NOW - 6 * 3600, NOW, 60
    for text in ("x", "sum(x)", 'x{job="many"}'):
        assert backend.at_hand(text, *long) is None
    for text in ('rate(x{n="3"}[5m])', "vector(time())"):
        whole = await backend.range(text, *long)
        found = backend.at_hand(text, *long)
        assert found is not None, text
        assert found.labels == whole.labels
        assert np.array_equal(found.values, whole.values, equal_nan=True)


@pytest.mark.feature("M3")
async def test_mistakes_are_told_as_by_a_thread(opened: tuple[SeriesStore, LocalBackend]) -> None:
    """What cannot be evaluated raises the same problem."""
    _, backend = opened
    text = 'x{job="few"} + on (job) x{job="few"}'
    with pytest.raises(Problem, match="many-to-many"):
        backend.at_hand(text, NOW)


def _few(backend: LocalBackend, text: str, at: float, lookback_s: float | None = None) -> object:
    found = backend.few(text, at, lookback_s)
    if found is None:
        return None
    return (found.kind, sorted((sorted(decode_labels(key).items()), repr(v)) for key, v in found.rows))


def _ranged(store: SeriesStore, text: str, start: float, end: float, step: float) -> QueryResult:
    source = store.source(max_samples=1_000_000, deadline=time.monotonic() + 60)
    last = end if step else start
    return evaluate(source, text, round(start * 1000), round(last * 1000), round(step * 1000))


def _shown(found: QueryResult) -> object:
    """A result's parts for a comparison bit by bit."""
    values = np.where(found.present, found.values, 0.0).tolist()
    raw = [(when.tolist(), list(map(repr, own.tolist()))) for when, own in found.series]
    rows = zip(
        [sorted(one.items()) for one in found.labels],
        found.present.tolist() or [()] * len(found.labels),
        [list(map(repr, row)) for row in values] or raw,
        strict=True,
    )
    return found.kind, sorted(rows), found.times.tolist(), found.warnings, found.infos


def _whole(store: SeriesStore, text: str, at: float, lookback_s: float = 300) -> object:
    source = store.source(max_samples=1_000_000, deadline=time.monotonic() + 60)
    lookback = round(lookback_s * 1000)
    found = evaluate(source, text, round(at * 1000), round(at * 1000), 0, lookback_ms=lookback)
    labels = [sorted(one.items()) for one in (found.labels if found.kind == "vector" else [{}])]
    return (found.kind, sorted(zip(labels, map(repr, found.values[:, 0].tolist()), strict=True)))


@pytest.mark.feature("M3")
async def test_few_samples_are_found_without_arrays(opened: tuple[SeriesStore, LocalBackend]) -> None:
    """Numbers and the newest samples of few series are those of the engine, open or decoded."""
    store, backend = opened
    texts = [
        "1.5",
        "vector(-Inf)",
        "(vector(3))",
        'x{n="3"}',
        'x{job="few"}',
        '{n="7", job="many"}',
        'x{n="no"}',
    ]
    texts += ['x{n="3"} offset 1h', f'x{{n="3"}} @ {START + 60}', f'x{{n="3"}} @ {START + 60} offset -1m']
    for at in (NOW, NOW + 0.5, NOW - 30, NOW + 299, NOW + 300, NOW - 3600, START, START + 4 * 3600 - 1):
        for text in texts:
            whole = await asyncio.to_thread(_whole, store, text, at)
            found = _few(backend, text, at)
            # Over midnight, and before the first day, the engine has to look.
            assert found == whole or (found is None and at <= NOW - 3600), (text, at)
    assert backend.few('x{n="3"}', NOW) is not None
    assert backend.few('x{n="3"}', NOW - 3600) is not None
    for text in (
        "x",
        'x{n=~"3"}',
        'rate(x{n="3"}[5m])',
        'x{n="3"} offset (1m)',
        "x{",
        "1 + 1",
        'x{n="3"} smoothed',
    ):
        assert backend.few(text, NOW) is None
    assert backend.few('x{n="3"}', NOW, 901.0) is None
    assert _few(backend, 'x{n="3"}', NOW + 60, 60.0) == _whole(store, 'x{n="3"}', NOW + 60, 60.0)


@pytest.mark.feature("M3")
async def test_few_samples_with_gaps_ends_and_two_sources(tmp_path: Path) -> None:
    """Whatever scrapes lack, end, repeat or bring late, and wherever it lies, the sample is the engine's."""
    random = np.random.default_rng(5)
    begin = START - 20 * 3600 + 7000
    clock = ManualClock(float(begin))
    store = SeriesStore(tmp_path / "metrics", Settings(), clock)
    await store.open()
    state = await Database.open(tmp_path / "state.db")
    backend = LocalBackend(Core(Settings(), clock, tmp_path, state), store)
    texts = [f'x{{n="{n}"}}' for n in range(8)] + ['{job="a"}', '{job="b"}']
    compared = left = ranges = 0
    for at in range(begin, begin + 1500, 15):
        clock.jump(max(0.0, at - clock.now()))
        day = await store.day_of(at * 1000)
        for source in ("one", "two", "two") if random.random() < 0.9 else ():
            late = 30 if random.random() < 0.1 else 0
            chosen = [n for n in range(8) if random.random() < 0.7 and (n < 5 or source == "two")]
            ids = [
                day.index.id_of({"__name__": "x", "n": str(n), "job": "a" if n < 4 else "b"}) for n in chosen
            ]
            values = np.where(random.random(len(ids)) < 0.1, np.nan, random.random(len(ids)))
            whole = random.random() < 0.5 and not late
            scrape = Scrape(source, (at - late) * 1000, np.asarray(ids, dtype=np.int64), values, whole=whole)
            await store.write([scrape])
        if at % 300 == 0:
            await store.seal_due()
        for text in texts:
            asked = at - int(random.integers(0, 400))
            lookback = float(random.choice([20, 60, 300]))
            whole_answer = _whole(store, text, asked, lookback)  # decodes what it reads
            found = _few(backend, text, asked, lookback)
            compared += found is not None
            left += found is None
            assert found in (None, whole_answer), (text, asked, lookback)
        for text in texts[:8]:
            for asked in (text, f"rate({text}[1m])", f"{text} - {text} offset 1m", f"{text}[2m]"):
                span = at - 600, at - 100, 0 if asked.endswith("]") else int(random.integers(5, 90))
                whole_range = _shown(_ranged(store, asked, *span))  # decodes what it reads
                at_hand = backend.at_hand(asked, *(span[:1] if not span[2] else span))
                if at_hand is not None:
                    ranges += 1
                    assert _shown(at_hand) == whole_range, (asked, span)
    assert compared > left
    assert ranges > 1000
    backend.close()
    await store.close()
    await state.close()
