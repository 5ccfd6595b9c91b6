"""Delta points of OTLP summed up into cumulative ones, as OpenTelemetry's deltatocumulative does.

The sums live in memory: a restart is a counter reset, a stream that is silent for five minutes is
forgotten, and their number is bounded. Source: opentelemetry-collector-contrib,
processor/deltatocumulativeprocessor (README).
"""

from __future__ import annotations

import msgspec

from mamimon.metrics.wire.otlp.model import CUMULATIVE, DELTA, Batch, Buckets, Metric, Point

STALE_NS = 300 * 1_000_000_000
MOST_BUCKETS = 16_384
_sorted = msgspec.json.Encoder(order="sorted").encode


class Deltas:
    """The running sums of every stream of deltas."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sums: dict[bytes, Point] = {}
        self._newest = 0

    def convert(self, batch: Batch) -> tuple[int, list[str]]:
        """Turn the delta points of a batch into cumulative ones, in place.

        Answers how many were dropped, and why (one sentence a reason).
        """
        dropped, reasons = 0, dict[str, None]()
        for resource in batch:
            for scope in resource.scopes:
                converted: set[int] = set()
                for metric in scope.metrics:
                    if metric.temporality != DELTA or metric.kind not in ("sum", "histogram", "exponential"):
                        continue
                    base = (resource.attributes, scope.name, metric.name, metric.unit, metric.kind)
                    metric.temporality = CUMULATIVE
                    converted.add(id(metric))
                    kept = []
                    for point in metric.points:
                        reason = self._take(_sorted((*base, point.attributes)), metric, point)
                        if reason:
                            dropped += 1
                            reasons[f"{metric.name}: {reason}"] = None
                        else:
                            kept.append(point)
                    metric.points = kept
                scope.metrics = [one for one in scope.metrics if one.points or id(one) not in converted]
        return dropped, list(reasons)

    def _take(self, key: bytes, metric: Metric, point: Point) -> str:
        """Add a point to its stream and make it cumulative; answers why it cannot be."""
        if point.stale:
            self._sums.pop(key, None)
            return ""
        self._newest = max(self._newest, point.time_ns)
        sums = self._sums.get(key)
        if sums is None:
            if len(self._sums) >= self._most:
                self._forget()
            if len(self._sums) >= self._most:
                return f"more than {self._most} streams of deltas"
            point.start_ns = point.start_ns or point.time_ns
        elif point.time_ns <= sums.time_ns:
            return "a delta point is older than the one before it"
        else:
            try:
                _add(sums, point, metric.kind)
            except ValueError as error:
                return str(error)
        self._sums[key] = msgspec.structs.replace(point, exemplars=[])
        return ""

    def _forget(self) -> None:
        """Drop what has been silent for so long that it would be stale anyway."""
        self._sums = {
            key: point for key, point in self._sums.items() if self._newest - point.time_ns < STALE_NS
        }


def _add(sums: Point, point: Point, kind: str) -> None:
    """Make `point` the sum of itself and what came before it."""
    if kind == "histogram" and (point.bounds != sums.bounds or len(point.counts) != len(sums.counts)):
        # Other buckets are another histogram: it begins here.
        return
    point.start_ns = sums.start_ns
    if kind == "sum":
        point.value = (point.value or 0.0) + (sums.value or 0.0)
        return
    point.count += sums.count
    point.sum = None if point.sum is None or sums.sum is None else point.sum + sums.sum
    if kind == "histogram":
        point.counts = [a + b for a, b in zip(point.counts, sums.counts, strict=True)]
        return
    scale = min(point.scale, sums.scale)
    point.positive = _merged(point.positive, point.scale - scale, sums.positive, sums.scale - scale)
    point.negative = _merged(point.negative, point.scale - scale, sums.negative, sums.scale - scale)
    point.scale = scale
    point.zero_count += sums.zero_count


def _merged(one: Buckets, down: int, other: Buckets, other_down: int) -> Buckets:
    """The buckets of both, each made coarser by `2^down`."""
    counts: dict[int, int] = {}
    for buckets, shift in ((one, down), (other, other_down)):
        for place, count in enumerate(buckets.counts):
            if count:
                index = (buckets.offset + place) >> shift
                counts[index] = counts.get(index, 0) + count
    if not counts:
        return Buckets()
    low, high = min(counts), max(counts)
    if high - low >= MOST_BUCKETS:
        raise ValueError(f"more than {MOST_BUCKETS} buckets")
    return Buckets(low, [counts.get(index, 0) for index in range(low, high + 1)])
