"""The column groups of a sealed chunk."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.model import Matcher
from mamimon.metrics.store import SeriesStore, grouping
from mamimon.metrics.store.index import key_of


def keys_of(sizes: dict[str, int]) -> list[bytes]:
    """The sorted label texts of some metrics of so many series."""
    return sorted(
        key_of({"__name__": name, "instance": "h:9100", "n": f"{number:03}"})
        for name, size in sizes.items()
        for number in range(size)
    )


def test_groups_follow_metrics() -> None:
    """A metric of some size has groups of its own; small ones share, and none is larger than may be."""
    assert grouping.cuts(keys_of({"a": 5, "b": 5, "c": 5, "d": 5, "x": 100})) == [0, 20, 84, 120]
    assert grouping.cuts(keys_of({"a": 3, "x": 64, "y": 64})) == [0, 3, 67, 131]
    assert grouping.cuts(keys_of({"x": 1})) == [0, 1]
    assert grouping.cuts([b'{"a":"1"}', b'{"a":"2"}']) == [0, 2]


def test_groups_cover_every_series_once() -> None:
    """Whatever metrics there are."""
    rng = random.Random(5)
    for _ in range(300):
        sizes = {f"m{number}": rng.choice((1, 2, 7, 15, 16, 63, 64, 65, 200)) for number in range(9)}
        keys = keys_of(sizes)
        cuts = grouping.cuts(keys)
        assert cuts[0] == 0
        assert cuts[-1] == len(keys)
        widths = [end - begin for begin, end in pairwise(cuts)]
        assert min(widths) > 0
        assert max(widths) <= grouping.MOST
        assert grouping.unpack(grouping.pack(cuts), len(keys)) == cuts
    assert grouping.unpack(b"", 70) == [0, 32, 64, 70]


@pytest.mark.feature("M3")
async def test_series_of_any_group_are_found(tmp_path: Path) -> None:
    """Runs of series, single ones and scattered ones come back as they were written, also after a restart."""
    clock = ManualClock(1_767_225_600.0)
    store = SeriesStore(tmp_path / "metrics", Settings(), clock)
    await store.open()
    start = int(clock.now()) * 1000
    sizes = {"a": 5, "b": 40, "c": 3, "d": 150, "e": 1}
    clock.advance(14_500)
    for scrape in range(60):
        samples = [
            ({"__name__": name, "n": str(number)}, float(number * 1000 + scrape + ord(name)))
            for name, size in sizes.items()
            for number in range(size)
        ]
        await store.append("t", start + scrape * 15_000, samples)
    assert await store.seal_due() == 1
    for _ in range(2):
        for name, size in sizes.items():
            for wanted in (".*", "1?[0-4]", "3", "14.|2", "none"):
                source = store.source(max_samples=10**9, deadline=1e12)
                matchers = [Matcher("__name__", "=", name), Matcher("n", "=~", wanted)]
                found = source.select(matchers, start, start + 60 * 15_000)
                for block in found.blocks:
                    for row, values in zip(block.rows.tolist(), block.values, strict=True):
                        number = int(found.labels[row]["n"])
                        assert values.tolist() == [number * 1000 + one + ord(name) for one in range(60)]
                rows = np.concatenate([block.rows for block in found.blocks] or [np.empty(0)])
                assert sorted(rows.tolist()) == list(range(len(found.labels)))
                expected = [str(one) for one in range(size) if re.fullmatch(wanted, str(one))]
                assert sorted(labels["n"] for labels in found.labels) == sorted(expected)
        await store.close()
        store = SeriesStore(tmp_path / "metrics", Settings(), clock)
        await store.open()
    await store.close()
