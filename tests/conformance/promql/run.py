"""Runs a promqltest script against the engine and says which of its evals fail, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mamimon.metrics.histogram import Histogram, compact
from mamimon.metrics.model import Labels, QueryResult
from mamimon.metrics.promql.engine import evaluate
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.values import describe, signature
from tests.conformance.promql.memory import Memory
from tests.conformance.promql.script import Clear, Eval, HistogramPoint, Load, Point, is_stale, read

EPSILON = 1e-6
_MIN_NORMAL = 2.2250738585072014e-308


@dataclass
class Outcome:
    file: str
    line: int
    failure: str


class Mismatch(Exception):
    """What differs."""


def run(path: Path, new: Callable[[], Memory]) -> list[Outcome]:
    """The outcome of every eval of a script; `new` makes an empty store."""
    memory = new()
    out: list[Outcome] = []
    for command in read(path):
        if isinstance(command, Clear):
            memory.close()
            memory = new()
        elif isinstance(command, Load):
            for labels, values in command.series:
                memory.add(
                    labels,
                    {
                        number * command.step_ms: value.histogram
                        if isinstance(value, HistogramPoint)
                        else value
                        for number, value in enumerate(values)
                        if value is not None
                    },
                )
            for labels, values in command.start_times:
                memory.add_starts(
                    labels,
                    {
                        number * command.step_ms: number * command.step_ms + round(value * 1000)
                        for number, value in enumerate(values)
                        if isinstance(value, float)
                    },
                )
            if command.with_nhcb:
                memory.add_custom_buckets(
                    [
                        (
                            labels,
                            {n * command.step_ms: v for n, v in enumerate(values) if isinstance(v, float)},
                        )
                        for labels, values in command.series
                    ]
                )
        else:
            out.append(Outcome(path.name, command.line, _try(command, memory)))
    memory.close()
    return out


def _try(command: Eval, memory: Memory) -> str:
    try:
        check(command, memory)
    except Mismatch as mismatch:
        return str(mismatch)
    except PromQLError as error:
        return f"error: {error.text}"
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"
    return ""


def check(command: Eval, memory: Memory) -> None:
    """Raise `Mismatch` where the engine's answer is not the expected one."""
    try:
        result = evaluate(memory, command.expr, command.start_ms, command.end_ms, command.step_ms)
    except PromQLError as error:
        wanted = command.expects("fail")
        if not wanted:
            raise
        if not all(one.matches(error.text) for one in wanted):
            raise Mismatch(f"failed with {error.text!r}") from None
        return
    if command.expects("fail"):
        raise Mismatch("did not fail")
    _annotations(command, result)
    _compare(command, result)
    if not command.step_ms and result.kind in ("vector", "scalar") and not command.expects("ordered"):
        _as_range(command, memory)


def _as_range(command: Eval, memory: Memory) -> None:
    """An instant query is also the middle of a range query."""
    if any(word in command.expr for word in ("start()", "end()", "step()", "range()")):
        return
    middle, step = command.start_ms, 60_000
    result = evaluate(memory, command.expr, middle - step, middle + step, step)
    present = result.present[:, 1]
    rows = np.flatnonzero(present)
    instant = QueryResult(
        kind="vector",
        times=result.times[1:2],
        labels=[result.labels[row] for row in rows],
        values=result.values[rows, 1:2],
        present=np.ones((len(rows), 1), dtype=np.bool_),
        histograms=None if result.histograms is None else result.histograms[rows, 1:2],
    )
    if command.scalar is not None:
        instant = QueryResult(
            kind="scalar",
            times=result.times[1:2],
            labels=[{}],
            values=result.values[:, 1:2],
            present=result.present[:, 1:2],
        )
    try:
        _compare(command, instant)
    except Mismatch as mismatch:
        raise Mismatch(f"inside a range query: {mismatch}") from None


def _annotations(command: Eval, result: QueryResult) -> None:
    for kind, said in (("warn", result.warnings), ("info", result.infos)):
        wanted = command.expects(kind)
        for one in wanted:
            if not any(one.matches(text) for text in said):
                raise Mismatch(f"expected {kind} {one.text!r}, got {said}")
        if wanted and any(one.how for one in wanted):
            for text in said:
                if not any(one.matches(text) for one in wanted):
                    raise Mismatch(f"unexpected {kind} {text!r}")
        if command.expects(f"no_{kind}") and said:
            raise Mismatch(f"unexpected {kind} {said}")


def _compare(command: Eval, result: QueryResult) -> None:
    if command.string is not None:
        if result.kind != "string" or result.text != command.string:
            raise Mismatch(f"got {result.kind} {result.text!r}")
        return
    if command.scalar is not None:
        if result.kind != "scalar" or not almost(float(result.values[0, 0]), command.scalar):
            raise Mismatch(f"got {result.kind} {result.values.tolist()}")
        return
    if result.kind == "scalar":
        raise Mismatch(f"got scalar {result.values.tolist()}")
    got = _points(command, result)
    wanted = {signature(labels): values for labels, values in command.series}
    if command.expects("ordered") and list(got) != list(wanted):
        raise Mismatch(f"order {[describe(dict(key)) for key in got]}")
    if set(got) != set(wanted):
        extra = [describe(dict(key)) for key in got if key not in wanted]
        missing = [describe(dict(key)) for key in wanted if key not in got]
        raise Mismatch(f"unexpected series {extra}, missing {missing}")
    for key, values in wanted.items():
        _same(dict(key), got[key], values)


def _points(command: Eval, result: QueryResult) -> dict[tuple[tuple[str, str], ...], dict[int, Any]]:
    out: dict[tuple[tuple[str, str], ...], dict[int, Any]] = {}
    if result.kind == "matrix" and not command.step_ms:
        start, _, step = command.range_times or (0, 0, 1)
        for row, labels in enumerate(result.labels):
            times, values = result.series[row]
            pairs: list[tuple[int, Any]] = list(zip(times.tolist(), values.tolist(), strict=True))
            if result.series_histograms:
                times, histograms = result.series_histograms[row]
                pairs += zip(times.tolist(), histograms, strict=True)
            out[signature(labels)] = {(time - start) // step: value for time, value in pairs}
        return out
    for row, labels in enumerate(result.labels):
        own: dict[int, Any] = {}
        for step in np.flatnonzero(result.present[row]).tolist():
            one = None if result.histograms is None else result.histograms[row, step]
            own[step] = float(result.values[row, step]) if one is None else one
        out[signature(labels)] = own
    return out


def _same(labels: Labels, got: dict[int, Any], values: list[Point]) -> None:
    wanted = {number: value for number, value in enumerate(values) if value is not None}
    if set(got) != set(wanted):
        raise Mismatch(f"{describe(labels)}: points at {sorted(got)}, expected at {sorted(wanted)}: {got}")
    for number, value in wanted.items():
        one = got[number]
        if isinstance(value, HistogramPoint) != isinstance(one, Histogram):
            raise Mismatch(f"{describe(labels)}: {one!r}, expected {value!r}")
        if isinstance(value, HistogramPoint):
            if problem := different(compact(one), compact(value.histogram), hint=value.hint_set):
                shown = f"{compact(one)}, expected {compact(value.histogram)}"
                raise Mismatch(f"{describe(labels)}: {problem} at {number}: {shown}")
        elif not almost(one, value):
            raise Mismatch(f"{describe(labels)}: {one!r} at {number}, expected {value!r}")


def different(got: Histogram, wanted: Histogram, *, hint: bool) -> str:
    """The name of the first field that differs by more than rounding."""
    for name in ("schema", "custom", "zero_threshold"):
        if getattr(got, name) != getattr(wanted, name):
            return name
    for name in ("count", "sum", "zero_count"):
        if not almost(getattr(got, name), getattr(wanted, name)):
            return name
    for name in ("positive", "negative"):
        left, right = getattr(got, name), getattr(wanted, name)
        if set(left) != set(right) or not all(almost(left[index], right[index]) for index in left):
            return name
    return "hint" if hint and got.hint != wanted.hint else ""


def almost(left: float, right: float) -> bool:
    """Equal but for rounding, as Prometheus' tests compare."""
    if is_stale(left) or is_stale(right):
        return is_stale(left) and is_stale(right)
    if math.isnan(left) and math.isnan(right):
        return True
    if left == right:
        return True
    total, difference = abs(left) + abs(right), abs(left - right)
    if left == 0 or right == 0 or total < _MIN_NORMAL:
        return difference < EPSILON * _MIN_NORMAL
    return difference / min(total, 1.7976931348623157e308) < EPSILON
