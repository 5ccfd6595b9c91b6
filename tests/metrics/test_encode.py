"""Answers as JSON: every way of writing numbers gives what one number by itself gives."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mamimon.metrics.model import QueryResult
from mamimon.metrics.routes.digits import numbers
from mamimon.metrics.routes.encode import encode
from mamimon.metrics.routes.number import number

ODD = [
    0.0, -0.0, 1.0, -1.0, 0.1, 1e-4, 1e-5, 1e-6, 1e-7, 123456.789, 1e15, 1e16, 1e20, 1e21, 1e300,
    5e-324, 2**32 - 1, 2**32, 2**53, -(2**53), 4294967295.5, math.nan, math.inf, -math.inf, 1 / 3,
    1234567890.125, 1e-5 / 3,
]  # fmt: skip


def matrix(
    values: np.ndarray,
    present: np.ndarray | None = None,
    start_ms: int = 1_767_225_600_000,
    step_ms: int = 15_000,
) -> QueryResult:
    return QueryResult(
        kind="matrix",
        times=start_ms + np.arange(values.shape[1], dtype=np.int64) * step_ms,
        labels=[{"__name__": "x", "n": str(row)} for row in range(len(values))],
        values=values,
        present=np.ones(values.shape, dtype=np.bool_) if present is None else present,
    )


def check(answer: QueryResult) -> None:
    found = json.loads(b"".join(encode(answer)))["result"]
    assert [one["metric"] for one in found] == answer.labels
    for row, one in enumerate(found):
        there = np.flatnonzero(answer.present[row])
        assert [at for at, _ in one["values"]] == (answer.times[there] / 1000).tolist()
        assert [text for _, text in one["values"]] == [number(float(answer.values[row, at])) for at in there]


@pytest.mark.feature("M4")
def test_numbers_are_written_as_prometheus_writes_them() -> None:
    """Plain digits between 1e-6 and 1e21, exponents of two digits beyond, no point in whole numbers."""
    written = dict(zip(map(repr, ODD), numbers(np.array(ODD)), strict=True))
    assert written["1e-07"] == b"1e-07"
    assert written["1e-06"] == b"0.000001"
    assert written["1e+20"] == b"100000000000000000000"
    assert written["1e+21"] == b"1e+21"
    assert written["-0.0"] == b"-0"
    assert written["nan"] == b"NaN"
    assert written["-inf"] == b"-Inf"
    assert [text.decode() for text in written.values()] == [number(value) for value in ODD]
    assert all(
        float(text) == value for text, value in zip(written.values(), ODD, strict=True) if value == value
    )


@pytest.mark.feature("M4")
@pytest.mark.parametrize(
    ("start_ms", "step_ms"),
    [(0, 15_000), (999_999_999_500, 7_500), (1_767_225_600_000, 7_500), (1_767_225_600_000, 15_000)],
)
def test_matrices_of_whole_numbers_fractions_and_gaps(start_ms: int, step_ms: int) -> None:
    """Each path writes the same text as sample by sample."""
    random = np.random.default_rng(5)
    whole = np.floor(10 ** (random.random((40, 300)) * 9.6))
    check(matrix(np.minimum(whole, 2**32 - 1), start_ms=start_ms, step_ms=step_ms))
    check(matrix(whole * 3, start_ms=start_ms, step_ms=step_ms))
    check(matrix(whole * 250_000, start_ms=start_ms, step_ms=step_ms))
    check(matrix(-whole, start_ms=start_ms, step_ms=step_ms))
    check(matrix(random.random((40, 300)) * 1e5, start_ms=start_ms, step_ms=step_ms))
    check(matrix(random.choice(ODD, (40, 300)), start_ms=start_ms, step_ms=step_ms))
    for part in (0.3, 0.7):
        check(
            matrix(
                np.minimum(whole, 99_999),
                random.random((40, 300)) < part,
                start_ms=start_ms,
                step_ms=step_ms,
            )
        )
    check(matrix(np.zeros((3, 1)), start_ms=start_ms, step_ms=step_ms))
    for least, most in (
        (0, 10), (0, 30), (50, 150), (10_000, 99_999), (9_000, 20_000), (0, 10**7 - 1), (0, 10**7 + 9),
        (1, 10**8 - 1), (10**8 - 9, 10**8 + 9),
    ):  # fmt: skip
        check(matrix(np.floor(random.uniform(least, most, (70, 300))), start_ms=start_ms, step_ms=step_ms))
    check(matrix(np.empty((0, 5)), start_ms=start_ms, step_ms=step_ms))
    empty = matrix(whole[:2], np.arange(2)[:, None] * np.ones((2, 300), dtype=np.bool_) > 0)
    bare, full = json.loads(b"".join(encode(empty)))["result"]
    assert bare == {"metric": {"__name__": "x", "n": "0"}}
    assert len(full["values"]) == 300


@pytest.mark.feature("M4")
@pytest.mark.parametrize("steps", [1, 2, 3, 40])
@pytest.mark.parametrize("longest", [0, 60, 900, 40_000])
def test_few_short_numbers_of_series_with_labels_of_any_length(steps: int, longest: int) -> None:
    """One very long label set among many short ones leaves room for all rows, and the end."""
    random = np.random.default_rng(steps)
    for series in (1, 2, 70, 900):
        for where in (0, series // 2, series - 1):
            answer = matrix(np.floor(random.random((series, steps)) * 2))
            answer.labels = [{"n": str(row)} for row in range(series)]
            answer.labels[where]["path"] = "x" * longest
            check(answer)
