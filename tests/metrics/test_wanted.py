"""What is kept of a question for the next one is what the next one would find."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.model import ABSENT_BITS, Matcher
from mamimon.metrics.promql import evaluate
from mamimon.metrics.store import SeriesStore, scrape_of
from mamimon.metrics.store.index import SeriesIndex
from mamimon.metrics.store.wanted import Asked

START = 1_767_225_600  # 2026-01-01 00:00:00 UTC
MATCHERS = [
    (Matcher("__name__", "=", "m"),),
    (Matcher("__name__", "=", "m"), Matcher("n", "=~", "[0-3]")),
    (Matcher("n", "=", "7"),),
    (Matcher("n", "!=", "1"), Matcher("__name__", "=", "m")),
]
Series = tuple[str, ...]
Known = dict[Series, dict[int, float]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[SeriesStore, ManualClock]]:
    """An empty store."""
    clock = ManualClock(float(START + 3600))
    store = SeriesStore(tmp_path / "metrics", Settings(), clock)
    await store.open()
    yield store, clock
    await store.close()


def found(store: SeriesStore, matchers: tuple[Matcher, ...], start: int, end: int) -> Known:
    source = store.source(max_samples=10_000_000, deadline=time.monotonic() + 60)
    selection = source.select(matchers, start, end)
    out: Known = {}
    for block in selection.blocks:
        for row, values in zip(block.rows.tolist(), block.values, strict=True):
            there = values.view(np.int64) != ABSENT_BITS
            samples = dict(zip(block.times[there].tolist(), values[there].tolist(), strict=True))
            labels = tuple(selection.labels[row].values())
            assert labels not in out
            out[labels] = samples
    return {labels: samples for labels, samples in out.items() if samples}


@pytest.mark.feature("M3")
@pytest.mark.parametrize("seed", range(3))
async def test_the_same_question_again_and_again(opened: tuple[SeriesStore, ManualClock], seed: int) -> None:
    """New series, sealed and late samples, other days, sources that share series: all are seen at once."""
    random = np.random.default_rng(seed)
    store, clock = opened
    store.set_out_of_order(4 * 3600.0)
    known: Known = defaultdict(dict)
    numbers = {source: [str(n) for n in range(4)] for source in ("a", "b", "c")}
    for turn in range(40):
        clock.advance(float(random.integers(1, 9000)))
        for source, own in numbers.items():
            if random.random() < 0.2:
                own.append(str(random.integers(4, 12)))
            if random.random() < 0.2 and len(own) > 2:
                own.pop(int(random.integers(len(own))))
            for late in random.integers(0, 7000, random.integers(1, 4)).tolist():
                at = round(clock.now() * 1000) - late * 1000
                # One series is whoever's sends it; every source has the others to itself.
                sent = {(n, "" if n == "7" else source): float(random.normal()) for n in own}
                named = [
                    ({"__name__": "m", "n": n, **({"source": mine} if mine else {})}, value)
                    for (n, mine), value in sent.items()
                ]
                day = await store.day_of(at)
                await store.write([scrape_of(day, source, at, named, whole=False)])
                for (n, mine), value in sent.items():
                    known[("m", n, mine) if mine else ("m", n)].setdefault(at, value)
        if turn % 3 == 0:
            await store.seal_due()
        if turn == 25:
            end = round(clock.now() * 1000)
            await store.delete([(Matcher("n", "=", "2"),)], end - 20_000_000, end - 9_000_000)
            for labels, samples in known.items():
                if labels[1] == "2":
                    for at in [at for at in samples if end - 20_000_000 <= at <= end - 9_000_000]:
                        del samples[at]
        for matchers in MATCHERS:
            now = round(clock.now() * 1000)
            start = now - int(random.integers(0, 150_000_000))
            end = min(now, start + int(random.integers(1, 90_000_000)))
            conditions = [(matcher.name, accepts(matcher)) for matcher in matchers]
            wanted = {}
            for labels, samples in known.items():
                named_labels = dict(zip(("__name__", "n", "source"), labels, strict=False))
                inside = {at: value for at, value in samples.items() if start <= at <= end}
                if inside and all(accept(named_labels.get(name, "")) for name, accept in conditions):
                    wanted[labels] = inside
            got = found(store, matchers, start, end)
            assert got.keys() == wanted.keys()
            for labels, samples in wanted.items():
                if labels[1] == "7":  # of two sources' samples at one instant either may be taken
                    assert got[labels].keys() == samples.keys()
                else:
                    assert got[labels] == samples


def accepts(matcher: Matcher) -> Callable[[str], bool]:
    if matcher.op in ("=", "!="):
        return lambda value: (value == matcher.value) == (matcher.op == "=")
    return lambda value: re.fullmatch(matcher.value, value) is not None


@pytest.mark.feature("M3")
def test_what_is_kept_is_bounded() -> None:
    """Thousands of different questions leave no more than the budget; a large one is not kept."""
    index = SeriesIndex()
    for n in range(3000):
        index.id_of({"__name__": "m", "n": str(n), "tens": str(n // 10)})
    asked = Asked(index, most_bytes=100_000)
    for turn in range(2):
        for n in range(300):
            wanted = asked.match([Matcher("tens", "=", str(n))])
            assert wanted.listed == list(range(n * 10, n * 10 + 10))
            assert [one["n"] for one in wanted.labels] == sorted(str(i) for i in wanted.listed)
            assert wanted.places(np.arange(3000)[::-1]) is not None
            assert asked.held_bytes < 120_000, (turn, n)
    again = asked.match([Matcher("tens", "=", "299")])
    assert again is asked.match([Matcher("tens", "=", "299")])
    large = [Matcher("__name__", "=", "m")]
    assert asked.match(large) is not asked.match(large)
    index.id_of({"__name__": "m", "n": "new", "tens": "299"})
    assert asked.match([Matcher("tens", "=", "299")]).listed == [*again.listed, 3000]


@pytest.mark.feature("M3")
async def test_no_question_changes_what_others_get(opened: tuple[SeriesStore, ManualClock]) -> None:
    """Labels are shared between questions: functions that make others leave them as they are."""
    store, _ = opened
    at = START * 1000 + 3_500_000
    await store.append("t", at, [({"__name__": "m", "n": str(n), "job": "j"}, 1.0) for n in range(3)])
    await store.append("u", at, [({"__name__": "b", "job": "j", "zone": "z"}, 1.0)])
    for text in (
        'label_replace(m, "n", "x$1", "n", "(.*)")',
        'label_join(m, "__name__", "-", "n", "job")',
        "sum without (n) (m)",
        "rate(m[5m])",
        "m * on (job) group_left (zone) b",
        "count_values('n', m)",
        "-m",
        "absent(m)",
        "info(m)",
    ):
        for step in (0, 1000):
            source = store.source(max_samples=1000, deadline=time.monotonic() + 60)
            evaluate(source, text, at, at + 2 * step, step)
            assert list(found(store, MATCHERS[0], 0, at)) == [("m", "j", str(n)) for n in range(3)]


@pytest.mark.feature("M3")
async def test_rows_are_in_the_order_of_labels(opened: tuple[SeriesStore, ManualClock]) -> None:
    """However series came: so a sealed chunk's rows follow one another, and an answer is in order already."""
    store, clock = opened
    for turn in range(3):
        at = START * 1000 + turn * 1000
        samples = [({"__name__": "m", "n": f"{n * 7 % 20:02}"}, 1.0) for n in range(20)]
        await store.append("t", at, samples)
    clock.advance(3 * 3600)
    await store.seal_due()
    source = store.source(max_samples=1000, deadline=time.monotonic() + 60)
    selection = source.select(MATCHERS[0], 0, 1 << 50)
    assert [labels["n"] for labels in selection.labels] == [f"{n:02}" for n in range(20)]
    assert [block.rows.tolist() for block in selection.blocks] == [list(range(20))]
