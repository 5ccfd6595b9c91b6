"""Groups of rows: the quick ways give what the general ones give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mamimon.metrics.promql import sums
from mamimon.metrics.promql.aggregate import choose
from mamimon.metrics.promql.grouping import Groups
from mamimon.metrics.promql.values import Vector


@pytest.mark.feature("M3")
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_groups_of_one_size_are_added_as_others(size: int) -> None:
    """Bit by bit, whether rows of a group lie together or not; beside a larger group nothing is different."""
    random = np.random.default_rng(size)
    values = random.normal(0, 1, (4 * size, 30)) * 10.0 ** random.integers(-9, 9, (4 * size, 30))
    for of in (np.repeat(np.arange(4), size), np.tile(np.arange(4), size)):
        total, lost = sums.compensated(Groups(of, 4), values)
        more = np.concatenate((values, random.normal(0, 1, (size + 1, 30))))
        wider = Groups(np.concatenate((of, np.full(size + 1, 4))), 5)
        other_total, other_lost = sums.compensated(wider, more)
        assert lost is not None and other_lost is not None
        assert (total == other_total[:4]).all() and (lost == other_lost[:4]).all()
        exact = [[math.fsum(values[of == group, step]) for step in range(30)] for group in range(4)]
        np.testing.assert_allclose(total + lost, exact, rtol=1e-15)


@pytest.mark.feature("M3")
@pytest.mark.parametrize("pick", [np.add, np.fmin, np.fmax])
def test_small_and_large_groups_are_reduced_alike(pick: np.ufunc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put in order first, or gone through group by group."""
    random = np.random.default_rng(2)
    values = random.integers(-99, 99, (60, 40)).astype(float)
    if pick is not np.add:
        values[random.random(values.shape) < 0.3] = math.nan
    for of in (np.repeat(np.arange(6), 10) % 3, np.tile(np.arange(3), 20)):
        groups = Groups(of, 3)
        small = sums.reduced(groups, values, pick)
        with monkeypatch.context() as patch:
            patch.setattr(sums, "_SMALL_CELLS", 0)
            large = sums.reduced(groups, values, pick)
        assert np.array_equal(small, large, equal_nan=True)


@pytest.mark.feature("M3")
@pytest.mark.parametrize("series", [9, 100])
@pytest.mark.parametrize("op", ["topk", "bottomk"])
def test_the_best_of_few_and_of_many(op: str, series: int) -> None:
    """Of equal numbers the series that comes first; what is absent never; each step has its own k."""
    random = np.random.default_rng(series)
    values = random.integers(-6, 6, (series, 50)).astype(float)
    present = random.random(values.shape) < 0.7
    present[:, 7] = False
    present[3:, 8] = False
    values[4, 9] = -0.0
    wanted = random.integers(0, 7, 50).astype(float)
    labels = [{"__name__": "m", "n": str(n)} for n in range(series)]
    found = choose(
        op, Vector(labels=labels, values=values, present=present), [], without_names=False, param=wanted
    )
    for step in range(50):
        there = [n for n in range(series) if present[n, step]]
        sign = -1 if op == "topk" else 1
        best = sorted(there, key=lambda n: (sign * values[n, step], n))[: int(wanted[step])]
        assert found.present is not None
        got = [int(one["n"]) for one, here in zip(found.labels, found.present[:, step], strict=True) if here]
        assert got == sorted(best)
