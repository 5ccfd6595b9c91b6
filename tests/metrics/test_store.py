"""The series store on its own: what goes in comes out, over chunks, days, restarts and gaps."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_BITS, STALE_NAN, Matcher, Selection
from mamimon.metrics.store import SeriesStore, codec, scrape_of, table
from mamimon.metrics.store.cache import PartCache
from mamimon.metrics.store.dayfile import DayFile
from mamimon.metrics.store.scrape import Scrape
from mamimon.problems import Problem

START = 1_767_225_600  # 2026-01-01 00:00:00 UTC

Opener = Callable[[], Awaitable[SeriesStore]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Opener, ManualClock]]:
    """Open a store over one directory; again = a restart."""
    clock = ManualClock(float(START))
    stores: list[SeriesStore] = []

    async def run() -> SeriesStore:
        for store in stores:
            await store.close()
        store = SeriesStore(tmp_path / "metrics", Settings(), clock)
        await store.open()
        stores.append(store)
        return store

    yield run, clock
    for store in stores:
        await store.close()


def select(store: SeriesStore, *matchers: Matcher, start: int = 0, end: int = 1 << 50) -> Selection:
    source = store.source(max_samples=10_000_000, deadline=time.monotonic() + 30)
    return source.select(matchers, start, end)


def by_name(selection: Selection) -> dict[str, list[tuple[int, int]]]:
    """Metric name → (ms, bits of the value), without absent samples."""
    out = {}
    for block in selection.blocks:
        for row, values in zip(block.rows.tolist(), block.values, strict=True):
            bits = values.view(np.int64)
            out[selection.labels[row]["__name__"]] = [
                (int(t), int(b)) for t, b in zip(block.times, bits, strict=True) if b != ABSENT_BITS
            ]
    return out


@pytest.mark.feature("M3")
@pytest.mark.parametrize("shape", [(1, 1), (3, 480), (32, 7), (33, 500)])
def test_codec_gives_back_every_bit(shape: tuple[int, int]) -> None:
    """Compression is lossless for numbers, NaN, infinities, gaps and staleness markers."""
    random = np.random.default_rng(shape[1])
    matrix = np.cumsum(random.integers(0, 9, shape), axis=1).astype(float)
    for special in (np.nan, np.inf, -np.inf, -0.0, ABSENT_NAN, STALE_NAN, 5e-324):
        matrix[random.random(shape) < 0.05] = special
    matrix[0] = ABSENT_NAN
    back = codec.decode(codec.encode(matrix))
    assert (back.view(np.int64) == matrix.view(np.int64)).all()


@pytest.mark.feature("M3")
@pytest.mark.parametrize("edge", [2**30 - 1, 2**30, -(2**30), 2**31, 2**53, 0.5, -0.0, math.nan, ABSENT_NAN])
@pytest.mark.parametrize("before", [True, False], ids=["older-file", "now"])
def test_whole_numbers_come_back_as_integers(
    edge: float, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Integers where all are of 30 bits, floats to the bit where one is not, and in files of before that."""
    counters = np.cumsum(np.random.default_rng(1).integers(0, 50, (8, 100)), axis=1).astype(np.float64)
    counters[2], counters[5] = 7.0, -3.0
    for place in ((0, 40), (2, slice(None)), None):
        matrix = counters.copy()
        if place is not None:
            matrix[place] = edge
        with monkeypatch.context() as patch:
            if before:
                patch.setattr(codec, "whole_numbers", lambda _: None)
            blob = codec.encode(matrix)
        found = codec.samples(blob)
        assert (found.dtype == np.int32) == (not before and (place is None or edge == 2**30 - 1))
        assert (found.astype(np.float64).view(np.int64) == matrix.view(np.int64)).all()


class _File:
    """A day file of groups of one number."""

    generation = 0

    def __init__(self) -> None:
        self.read: list[int] = []

    def several(
        self, chunk: int, first: int, last: int, room: codec.Room
    ) -> Iterator[tuple[int, codec.Samples]]:
        for part in range(first, last + 1):
            self.read.append(part)
            out = room((32, 480), np.int32)
            out[:] = part
            yield part, out


def test_the_least_recently_used_decoded_groups_go_first() -> None:
    """The cache stays within its budget, keeps what is asked for and hands out what belongs to a key."""
    file = _File()
    cache = PartCache(1 << 20)
    for part in range(100):
        assert (cache.group(cast("DayFile", file), 1, part).values == part).all()
        assert cache.group(cast("DayFile", file), 1, part // 20).values[31, 479] == part // 20
        assert 0 < cache.held_bytes <= 1 << 20
    assert len(file.read) < 150, "nearly all repeated questions were answered from memory"
    newest = len(file.read)
    cache.group(cast("DayFile", file), 1, 99)
    assert len(file.read) == newest
    cache.forget(cast("DayFile", file))
    assert cache.held_bytes == 0
    cache.group(cast("DayFile", file), 1, 99)
    assert len(file.read) == newest + 1
    cache.ahead(cast("DayFile", file), 1, 97, 99)
    assert len(file.read) == newest + 1, "one of them is in memory"
    cache.ahead(cast("DayFile", file), 1, 90, 92)
    assert (cache.group(cast("DayFile", file), 1, 91).values == 91).all()
    assert file.read[newest + 1 :] == [90, 91, 92]


@pytest.mark.feature("M3")
async def test_samples_survive_sealing_restart_and_midnight(opened: tuple[Opener, ManualClock]) -> None:
    """A series over 26 hours is one block whose samples are those that went in."""
    run, clock = opened
    store = await run()
    sent = []
    for i in range(26 * 60):
        at = (START + i * 60) * 1000
        clock.advance(60)
        await store.append("t", at, [({"__name__": "a"}, float(i)), ({"__name__": "b", "x": "1"}, i % 7)])
        sent.append((at, int(np.float64(i).view(np.int64))))
        if i % 30 == 0:
            await store.seal_due()
    assert by_name(select(store, Matcher("__name__", "=", "a")))["a"] == sent
    store = await run()
    selection = select(store, Matcher("__name__", "=~", "a|b"))
    assert len(selection.blocks) == 1
    assert by_name(selection)["a"] == sent
    part = select(store, Matcher("__name__", "=", "a"), start=sent[100][0], end=sent[200][0])
    assert by_name(part)["a"] == sent[100:201]
    assert store.days() == ["2026-01-01", "2026-01-02"]
    await store.drop_day("2026-01-01")
    assert by_name(select(store, Matcher("__name__", "=", "a")))["a"] == sent[24 * 60 :]
    assert not store.day_path("2026-01-01").exists()


@pytest.mark.feature("M2")
async def test_late_samples_are_written_while_their_window_is_sealed(
    opened: tuple[Opener, ManualClock],
) -> None:
    """A sender that catches up writes into windows that are due: no sample is lost, the file reads back."""
    run, clock = opened
    store = await run()
    clock.advance(6 * 3600)
    sent = [(START + i * 60) * 1000 for i in range(200)]

    async def write() -> None:
        for at in sent:
            await store.append("t", at, [({"__name__": "a"}, at / 1000)])

    async def seal() -> None:
        while not writing.done():
            await store.seal_due()
            await asyncio.sleep(0)

    writing = asyncio.ensure_future(write())
    await asyncio.gather(writing, seal())
    assert [at for at, _ in by_name(select(store, Matcher("__name__", "=", "a")))["a"]] == sent
    store = await run()
    assert [at for at, _ in by_name(select(store, Matcher("__name__", "=", "a")))["a"]] == sent


@pytest.mark.feature("M3")
async def test_vanished_series_are_marked_stale(opened: tuple[Opener, ManualClock]) -> None:
    """A series that a scrape lacks gets one staleness marker, also across midnight and a restart."""
    run, clock = opened
    store = await run()
    clock.advance(2 * 86_400)
    last = (START + 86_400 - 15) * 1000
    await store.append("t", last, [({"__name__": "a"}, 1.0), ({"__name__": "b"}, 2.0)])
    store = await run()
    for i in (1, 2):
        await store.append("t", last + i * 15_000, [({"__name__": "a"}, 1.0)])
    bits = [value for _, value in by_name(select(store, Matcher("__name__", "=", "b")))["b"]]
    assert bits == [int(np.float64(2.0).view(np.int64)), STALE_BITS]
    await store.end("t", last + 60_000)
    assert by_name(select(store, Matcher("__name__", "=", "a")))["a"][-1][1] == STALE_BITS


@pytest.mark.feature("M3")
async def test_late_and_doubled_samples(opened: tuple[Opener, ManualClock]) -> None:
    """A late pushed sample takes its place in time, a doubled one is ignored, what is too late is refused."""
    run, clock = opened
    store = await run()
    clock.advance(7300)

    async def push(at: int, value: float) -> None:
        day = await store.day_of(at)
        await store.write([scrape_of(day, "t", at, [({"__name__": "a"}, value)], whole=False)])

    at = (START + 7200 - 30) * 1000
    for offset, value in ((0, 1.0), (60_000, 3.0), (30_000, 2.0), (30_000, 9.0)):
        await push(at + offset, value)
    await store.seal_due()
    await push(at - 1000, 0.5)
    found = by_name(select(store, Matcher("__name__", "=", "a")))["a"]
    values = np.asarray([bits for _, bits in found]).view(np.float64)
    assert values.tolist() == [0.5, 1.0, 2.0, 3.0]
    with pytest.raises(Problem, match="too far behind"):
        await push(at - 3_600_000, 0.0)
    with pytest.raises(Problem, match="in the future"):
        await push(at + 3_600_000, 0.0)
    with pytest.raises(Problem, match="the clock was set back"):
        await store.append("t", at - 1000, [({"__name__": "a"}, 0.0)])


@pytest.mark.feature("M3")
async def test_one_series_from_two_sources_is_one_block(opened: tuple[Opener, ManualClock]) -> None:
    """A series that two sources feed is merged into a single block."""
    run, _clock = opened
    store = await run()
    at = START * 1000
    await store.append("one", at, [({"__name__": "a"}, 1.0), ({"__name__": "b"}, 1.0)])
    await store.append("two", at + 1000, [({"__name__": "a"}, 2.0)])
    selection = select(store)
    rows = np.concatenate([block.rows for block in selection.blocks]).tolist()
    assert sorted(rows) == [0, 1]
    assert [t for t, _ in by_name(selection)["a"]] == [at, at + 1000]


@pytest.mark.feature("M3")
async def test_matchers_agree_with_a_plain_reading(opened: tuple[Opener, ManualClock]) -> None:
    """Every operator, the empty value and anchored regexes select what their definition says."""
    run, _clock = opened
    store = await run()
    labels = [{"__name__": "m", "job": job, "x": x} for job in ("api", "web", "") for x in ("1", "2", "a.b")]
    await store.append("t", START * 1000, [(one, 0.0) for one in labels])
    cases = {
        Matcher("job", "=", "api"): lambda one: one["job"] == "api",
        Matcher("job", "=", ""): lambda one: one["job"] == "",
        Matcher("job", "!=", ""): lambda one: one["job"] != "",
        Matcher("job", "!=", "api"): lambda one: one["job"] != "api",
        Matcher("job", "=~", "api|web"): lambda one: one["job"] in ("api", "web"),
        Matcher("job", "=~", "a.*"): lambda one: one["job"].startswith("a"),
        Matcher("job", "=~", "a"): lambda one: False,
        Matcher("job", "=~", ".*"): lambda one: True,
        Matcher("job", "=~", ".+"): lambda one: one["job"] != "",
        Matcher("job", "=~", "|web"): lambda one: one["job"] in ("", "web"),
        Matcher("job", "!~", "w.*"): lambda one: not one["job"].startswith("w"),
        Matcher("x", "=~", "a\\.b"): lambda one: one["x"] == "a.b",
        Matcher("none", "=~", "x?"): lambda one: True,
    }
    for matcher, plain in cases.items():
        wanted = [{k: v for k, v in one.items() if v} for one in labels if plain(one)]
        assert select(store, matcher).labels == wanted, matcher
    with pytest.raises(Problem, match="error parsing regexp"):
        select(store, Matcher("job", "=~", "("))


@pytest.mark.feature("M3")
async def test_a_sealed_day_is_small_and_plain_sqlite(opened: tuple[Opener, ManualClock]) -> None:
    """A sealed day of mixed counters and gauges takes under one byte a sample, series readable in SQL."""
    run, clock = opened
    store = await run()
    random = np.random.default_rng(3)
    counters = np.cumsum(random.poisson(3, (480, 150)), axis=0)
    clock.advance(14_500)
    for i in range(480):
        samples = [({"__name__": "requests_total", "n": str(j)}, float(counters[i, j])) for j in range(150)]
        samples += [({"__name__": "limit", "n": str(j)}, 5.0) for j in range(150)]
        await store.append("t", (START + i * 15) * 1000, samples)
    assert await store.seal_due() == 1
    raw = sqlite3.connect(store.day_path("2026-01-01"))
    size = raw.execute("SELECT sum(length(data)) FROM part").fetchone()[0]
    assert size / (480 * 300) < 0.5
    assert raw.execute("SELECT count(*) FROM wal").fetchone()[0] == 0
    label = raw.execute("SELECT json_extract(labels, '$.__name__') FROM series WHERE id = 0").fetchone()[0]
    assert label == "requests_total"
    raw.close()


@pytest.mark.feature("M3")
async def test_a_head_that_grows_too_large_is_sealed_early(tmp_path: Path) -> None:
    """Within a small memory budget nothing is lost while chunks are sealed and samples go on coming."""
    settings, clock = Settings(), ManualClock(float(START))
    settings.metrics.head_bytes = 1 << 20
    store = SeriesStore(tmp_path / "metrics", settings, clock)
    await store.open()
    clock.advance(3600)
    rounds, series = 120, 1500

    async def come() -> None:
        for i in range(rounds):
            samples = [({"__name__": "m", "n": str(j)}, float(i * j)) for j in range(series)]
            await store.append("t", (START + i * 15) * 1000, samples)

    coming = asyncio.create_task(come())
    sealed = 0
    while not coming.done():
        sealed += await store.seal_due()
        await asyncio.sleep(0)
    await coming
    assert sealed >= 1
    selection = select(store, Matcher("__name__", "=", "m"))
    assert sum(block.values.size for block in selection.blocks) == rounds * series
    assert len(selection.blocks) == 1
    numbers = [int(labels["n"]) for labels in selection.labels]
    block = selection.blocks[0]
    expected = np.outer(np.asarray(numbers)[block.rows], np.arange(rounds)).astype(float)
    assert np.array_equal(block.values, expected)
    await store.close()
    again = SeriesStore(tmp_path / "metrics", settings, clock)
    await again.open()
    assert sum(b.values.size for b in select(again, Matcher("__name__", "=", "m")).blocks) == rounds * series
    await again.close()


@pytest.mark.feature("M3")
async def test_a_source_without_a_series_leaves_no_empty_chunk(opened: tuple[Opener, ManualClock]) -> None:
    """States without a single sample are neither logged nor sealed, and the store opens again."""
    run, clock = opened
    store = await run()
    for i in range(3):
        await store.append("empty", (START + i * 15) * 1000, [])
        await store.append("full", (START + i * 15) * 1000, [({"__name__": "a"}, float(i))])
    clock.advance(3 * 3600)
    assert await store.seal_due() >= 1
    store = await run()
    assert len(by_name(select(store, Matcher("__name__", "=", "a")))["a"]) == 3
    assert store.figures()["chunks"] == 1


@pytest.mark.feature("M3")
async def test_a_source_that_has_ended_says_it_once(opened: tuple[Opener, ManualClock]) -> None:
    """The first state without samples marks the end; those after it, and pushes of nothing, add no row."""
    run, clock = opened
    store = await run()
    await store.append("s", START * 1000, [({"__name__": "a"}, 1.0)])
    for i in (1, 2, 3):
        clock.advance(15)
        await store.append("s", (START + i * 15) * 1000, [])
    nothing = np.empty(0, dtype=np.int64)
    await store.write([Scrape("s", (START + 60) * 1000, nothing, nothing.astype(float), whole=False)])
    block = select(store, Matcher("__name__", "=", "a")).blocks[0]
    assert block.times.tolist() == [START * 1000, (START + 15) * 1000]
    assert block.values.view(np.int64)[0].tolist()[1] == STALE_BITS
    clock.advance(3 * 3600)
    await store.append("s", (START + 3 * 3600) * 1000, [])
    assert await store.seal_due() == 1
    found = store.cardinality()
    assert found is not None and (found.open_chunks, found.sealed_chunks) == (0, 1)


@pytest.mark.feature("M3")
async def test_columns_of_a_large_table_are_those_of_its_rows(
    opened: tuple[Opener, ManualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken a few rows at a time, integers or not, they are what the whole matrix has there."""
    run, clock = opened
    store = await run()
    for at in range(START * 1000, (START + 2 * 7200) * 1000, 600_000):
        found = [({"__name__": f"m{n:03}"}, at / 600_000 + (n == 70) / 2) for n in range(90)]
        await store.append("t", at, found)
        clock.advance(600)
    clock.advance(120)
    await store.seal_due()
    (block,) = select(store, Matcher("__name__", "=~", "m.*")).blocks
    assert block.table is not None
    columns = np.array([0, 3, 11, 12, 23])
    whole, plain_whole = block.table.columns(columns)
    monkeypatch.setattr(table, "_MOST_CELLS", 24 * 40)
    parts, plain_parts = block.table.columns(columns)
    assert plain_whole and plain_parts
    assert (parts == whole).all() and (parts == block.values[:, columns]).all()
    some: list[Any] = [slice(0, 24), slice(3, 4), slice(5, 19), slice(12, 24), slice(0, 12)]
    for part in [*some, *(np.arange(*own) for own in ((0, 24, 4), (2, 23, 3), (11, 13), (12, 24, 11)))]:
        out = np.empty((wanted := block.values[:, part]).shape)
        block.table.read(part).write(out)
        assert (out == wanted).all()
