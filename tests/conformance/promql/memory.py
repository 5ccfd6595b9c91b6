"""A series source in memory, for scripts and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mamimon.metrics.histogram import CUSTOM, Hint, Histogram, changed, has_reset
from mamimon.metrics.model import ABSENT_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.promql.values import signature
from mamimon.metrics.regexes import compile_regex


class Memory:
    """All series in one block with holes, or each series in its own without any."""

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self._series: dict[object, tuple[Labels, dict[int, float | Histogram]]] = {}
        self.starts: dict[object, dict[int, int]] = {}

    def add(self, labels: Labels, samples: dict[int, float | Histogram]) -> None:
        self._series.setdefault(signature(labels), (labels, {}))[1].update(samples)

    def add_starts(self, labels: Labels, starts: dict[int, int]) -> None:
        """When the counters of samples began (ms, ms)."""
        self.starts.setdefault(signature(labels), {}).update(starts)

    def add_custom_buckets(self, series: list[tuple[Labels, dict[int, float]]]) -> None:
        """Classic histograms once more as native ones with custom buckets (load_with_nhcb)."""
        found: dict[object, tuple[Labels, dict[int, dict[object, float]]]] = {}
        for labels, samples in series:
            name, _, suffix = labels["__name__"].rpartition("_")
            if suffix not in ("bucket", "sum", "count"):
                continue
            key: object = suffix
            if suffix == "bucket":
                key = float(labels["le"])
            own = {**labels, "__name__": name}
            own.pop("le", None)
            times = found.setdefault(signature(own), (own, {}))[1]
            for time, value in samples.items():
                times.setdefault(time, {}).setdefault(key, value)
        for own, times in found.values():
            self.add(own, {time: _custom(parts) for time, parts in times.items()})

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        chosen = [
            (labels, {time: value for time, value in stored(samples).items() if start_ms <= time <= end_ms})
            for labels, samples in self._series.values()
            if all(matches(matcher, labels) for matcher in matchers)
        ]
        chosen.sort(key=lambda one: signature(one[0]))
        labels = [one[0] for one in chosen]
        groups = [range(len(chosen))] if self.shared else [[row] for row in range(len(chosen))]
        blocks = [self._block(chosen, list(rows)) for rows in groups]
        return Selection(labels, [block for block in blocks if len(block.times)])

    def close(self) -> None:
        """Nothing is held open here."""

    def _block(self, chosen: list[tuple[Labels, dict[int, float | Histogram]]], rows: list[int]) -> Block:
        times = sorted({time for row in rows for time in chosen[row][1]})
        column = {time: number for number, time in enumerate(times)}
        values = np.full((len(rows), len(times)), ABSENT_NAN)
        histograms = np.full(values.shape, None, dtype=object)
        starts = np.zeros(values.shape, dtype=np.int64)
        for number, row in enumerate(rows):
            labels, samples = chosen[row]
            own = self.starts.get(signature(labels), {})
            for time, value in samples.items():
                starts[number, column[time]] = own.get(time, 0)
                if isinstance(value, Histogram):
                    histograms[number, column[time]] = value
                else:
                    values[number, column[time]] = value
        return Block(
            np.array(times, dtype=np.int64),
            np.array(rows, dtype=np.int64),
            values,
            histograms if any(one is not None for one in histograms.flat) else None,
            starts if starts.any() else None,
        )


def _custom(parts: dict[object, float]) -> Histogram:
    bounds = sorted(bound for bound in parts if isinstance(bound, float) and bound < math.inf)
    cumulative = [parts[bound] for bound in bounds]
    count = parts.get("count", parts.get(math.inf, cumulative[-1] if cumulative else 0.0))
    cumulative.append(parts.get(math.inf, count))
    positive = {i: after - before for i, (before, after) in enumerate(pairwise([0.0, *cumulative]))}
    return Histogram(
        schema=CUSTOM,
        count=count,
        sum=parts.get("sum", 0.0),
        custom=tuple(bounds),
        positive={index: value for index, value in positive.items() if value},
    )


def stored(samples: dict[int, float | Histogram]) -> dict[int, float | Histogram]:
    """What Prometheus' store gives back: what it knows about resets depends on the sample before."""
    out: dict[int, float | Histogram] = {}
    before: Histogram | None = None
    for time in sorted(samples):
        value = samples[time]
        if not isinstance(value, Histogram):
            before = None
            out[time] = value
            continue
        out[time] = changed(value, hint=_stored_hint(value, before))
        before = value
    return out


def _stored_hint(value: Histogram, before: Histogram | None) -> Hint:
    if value.hint == "gauge":
        return "gauge"
    if value.hint == "reset":
        return "reset"
    if before is None or before.hint == "gauge":
        return "unknown"
    if value.count < before.count:
        return "unknown"  # a reset starts a chunk, and its first sample comes back without the hint
    if value.schema != before.schema or value.zero_threshold != before.zero_threshold:
        return "unknown"
    if value.custom != before.custom:
        return "unknown"
    return "unknown" if has_reset(changed(value, hint="unknown"), before) else "not_reset"


def matches(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (compile_regex(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")
