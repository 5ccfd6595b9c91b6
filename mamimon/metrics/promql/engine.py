"""Answers PromQL over any `SeriesSource`: instant and range queries with Prometheus 3's semantics.

Windows are left-open, a selector looks back five minutes, staleness markers end a series, metric names
are dropped when the whole query is answered. The work is on whole matrices [series, steps].
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels, QueryResult, SeriesSource
from mamimon.metrics.promql import extended, labelling
from mamimon.metrics.promql.ast import TYPE_NAMES, Expr, Range, Selector, Subquery, type_of, unwrap
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.evaluator import Evaluator
from mamimon.metrics.promql.memory import keep_scratch
from mamimon.metrics.promql.parser import parse
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import (
    METADATA_LABELS,
    Floats,
    Ints,
    Limits,
    Objects,
    Scalar,
    Text,
    Vector,
    are_there,
    signature,
    without,
)
from mamimon.metrics.promql.windows import LazyWindows, Windows

Column = TypeVar("Column", Floats, Objects)
LOOKBACK_MS = 300_000
SUBQUERY_STEP_MS = 60_000
MAX_SAMPLES = 50_000_000


def evaluate(
    source: SeriesSource,
    text: str,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    *,
    lookback_ms: int = LOOKBACK_MS,
    subquery_step_ms: int = SUBQUERY_STEP_MS,
    max_samples: int = MAX_SAMPLES,
    deadline: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    evaluator: Callable[..., Evaluator] = Evaluator,
) -> QueryResult:
    """Evaluate `text` at start, start + step, … up to end; a step of 0 is an instant query at `start_ms`.

    Blocks: call it in a worker thread. Raises `PromQLError`: bad_data for what cannot be read, execution
    for what cannot be answered or would hold more than `max_samples` in memory, timeout past `deadline`
    (of `time.monotonic`), canceled once `stopped()`.
    """

    def check() -> None:
        if stopped():
            raise PromQLError("canceled", "query was canceled in expression evaluation")
        if deadline is not None and time.monotonic() > deadline:
            raise PromQLError("timeout", "query timed out in expression evaluation")

    node = parse(text)
    if step_ms and type_of(node) not in ("scalar", "vector"):
        raise PromQLError(
            "bad_data",
            f"invalid expression type {quote(TYPE_NAMES[type_of(node)])} for range query, "
            "must be Scalar or instant Vector",
        )
    last = start_ms if not step_ms else end_ms
    times = np.arange(start_ms, last + 1, step_ms or 1, dtype=np.int64)
    if not len(times):
        raise PromQLError("bad_data", "end timestamp must not be before start time")
    keep_scratch()
    run = evaluator(
        source,
        text,
        start_ms=start_ms,
        end_ms=last,
        step_ms=step_ms,
        lookback_ms=lookback_ms,
        subquery_step_ms=subquery_step_ms,
        limits=Limits(max_samples=max_samples, check=check),
    )
    with np.errstate(all="ignore"):
        result = _answer(run, node, times)
    result.warnings, result.infos = run.notes.warnings, run.notes.infos
    return result


def _answer(run: Evaluator, node: Expr, times: Ints) -> QueryResult:
    inner = unwrap(node)
    if isinstance(inner, Range | Subquery):
        return _raw(run, inner, times)
    value = run.evaluate(node, times)
    if isinstance(value, Text):
        return _result("string", times, text=value.value)
    if isinstance(value, Scalar):
        vector = Vector(labels=[{}], values=value.values[None, :])
        return _result("matrix" if run.step_ms else "scalar", times, vector)
    kept = np.flatnonzero(value.mask().any(axis=1))
    if len(kept) < len(value.labels):
        value = value.take(kept)
    # A selector's series are different from each other already.
    vector = value if isinstance(inner, Selector) else labelling.finish(value)
    if run.step_ms:
        order = sorted(range(len(vector.labels)), key=lambda row: signature(vector.labels[row]))
        if order != list(range(len(order))):
            vector = vector.take(order)
    return _result("matrix" if run.step_ms else "vector", times, vector)


def _result(kind: str, times: Ints, vector: Vector | None = None, text: str = "") -> QueryResult:
    if vector is None:
        vector = Vector(labels=[], values=np.empty((0, len(times))))
    return QueryResult(
        kind=kind,  # type: ignore[arg-type]
        times=times,
        labels=vector.labels,
        values=vector.values,
        present=vector.mask(),
        text=text,
        histograms=vector.histograms,
    )


def _raw(run: Evaluator, node: Range | Subquery, times: Ints) -> QueryResult:
    """The samples of a range vector themselves (an instant query)."""
    found = run.windows(node, times, stackable=False)
    result = _result("matrix", times)
    result.series = []
    labels: list[Labels] = []
    histograms: list[tuple[Ints, list[Histogram]]] = []
    place_of: dict[tuple[tuple[str, str], ...], int] = {}
    mode = node.selector.mode if isinstance(node, Range) else ""
    for rows, lazy in found.parts:
        part = lazy.whole() if isinstance(lazy, LazyWindows) else lazy
        assert isinstance(part, Windows)
        low, high = int(part.low[0]), int(part.high[0])
        for number, row in enumerate(rows.tolist()):
            samples, stamps = part.rows[number, low:high], part.times[low:high]
            if mode:
                stamps, samples = extended.raw(part, number, smoothed=mode == "smoothed")
            elif part.valid is not None:
                inside = part.valid[number, low:high]
                samples, stamps = samples[inside], stamps[inside]
            own = _histograms(part, number) if not mode else (stamps[:0], [])
            if mode and part.histograms is not None:
                raise PromQLError("execution", f"{mode} modifier is not supported with histograms")
            if not len(stamps) and not own[1]:
                continue
            named = found.labels[row]
            if found.drop_name is not None and found.drop_name[row]:
                named = without(named, METADATA_LABELS)
            place = place_of.setdefault(signature(named), len(labels))
            if place == len(labels):
                labels.append(named)
                result.series.append((stamps, samples))
                histograms.append(own)
            else:  # of another name, which is gone
                result.series[place] = _merged(result.series[place], (stamps, samples))
                both = _merged(
                    *((one[0], np.array(one[1], dtype=object)) for one in (histograms[place], own))
                )
                histograms[place] = both[0], both[1].tolist()
    order = sorted(range(len(labels)), key=lambda number: signature(labels[number]))
    result.labels = [labels[number] for number in order]
    result.series = [result.series[number] for number in order]
    if any(own for _, own in histograms):
        result.series_histograms = [histograms[number] for number in order]
    return result


def _merged(one: tuple[Ints, Column], other: tuple[Ints, Column]) -> tuple[Ints, Column]:
    """The samples of two series that have become one; two at one time are an error."""
    stamps = np.concatenate((one[0], other[0]))
    order = np.argsort(stamps, kind="stable")
    if (np.diff(stamps[order]) == 0).any():
        raise PromQLError("execution", "vector cannot contain metrics with the same labelset")
    return stamps[order], np.concatenate((one[1], other[1]))[order]


def _histograms(part: Windows, row: int) -> tuple[Ints, list[Histogram]]:
    """The native histograms of one row's first window."""
    if part.histograms is None:
        return part.times[:0], []
    inside = slice(int(part.low[0]), int(part.high[0]))
    found = part.histograms[row, inside]
    there = are_there(found)
    return part.times[inside][there], list(found[there])
