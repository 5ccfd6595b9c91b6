"""Pipeline aggregations: numbers made of the buckets around them, after all rows are counted."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from mamimon.logs.wire.elasticsearch.aggregations import Agg
from mamimon.logs.wire.elasticsearch.errors import illegal


class Pipeline(Agg):
    """Counts no rows; `over` fills it in for each bucket of its parent."""

    def setup(self) -> None:
        path = self.body.get("buckets_path")
        if not isinstance(path, str):
            raise illegal("[buckets_path] must be given as one path")
        self.path = path

    def state(self) -> None:
        return None

    def add(self, state: None, row: Any) -> None:
        """A pipeline counts no rows."""

    def result(self, state: None) -> dict[str, Any]:
        return {"value": None}

    def over(self, values: list[float | None]) -> list[float | None]:
        """A value a bucket."""
        raise NotImplementedError


class Derivative(Pipeline):
    """`derivative`."""

    def over(self, values: list[float | None]) -> list[float | None]:
        gaps = [None if a is None or b is None else b - a for a, b in pairwise(values)]
        return [None, *gaps] if values else []


class CumulativeSum(Pipeline):
    """`cumulative_sum`."""

    def over(self, values: list[float | None]) -> list[float | None]:
        total = 0.0
        found: list[float | None] = []
        for value in values:
            total += value or 0.0
            found.append(total)
        return found


class SerialDiff(Pipeline):
    """`serial_diff`."""

    def over(self, values: list[float | None]) -> list[float | None]:
        lag = max(1, int(self.body.get("lag", 1)))
        return [
            None if i < lag or value is None or (before := values[i - lag]) is None else value - before
            for i, value in enumerate(values)
        ]


class Siblings(Pipeline):
    """`avg_bucket` and its like: one number of another aggregation's buckets."""

    kind = ""

    def of(self, values: list[float]) -> float | None:
        """The number."""
        if self.kind == "sum":
            return sum(values)
        if not values:
            return None
        return {"avg": sum(values) / len(values), "min": min(values), "max": max(values)}[self.kind]


class AvgBucket(Siblings):
    """`avg_bucket`."""

    kind = "avg"


class SumBucket(Siblings):
    """`sum_bucket`."""

    kind = "sum"


class MinBucket(Siblings):
    """`min_bucket`."""

    kind = "min"


class MaxBucket(Siblings):
    """`max_bucket`."""

    kind = "max"


def check(aggs: dict[str, Agg]) -> None:
    """A sibling pipeline must name an aggregation beside it."""
    for name, agg in aggs.items():
        if isinstance(agg, Siblings) and agg.path.split(">")[0].strip() not in aggs:
            raise illegal(f"No aggregation found for path [{agg.path[:80]}] of [{name}]")


def apply(subs: dict[str, Agg], buckets: list[dict[str, Any]]) -> None:
    """Fill in the pipelines inside the buckets of their parent."""
    for name, agg in subs.items():
        if isinstance(agg, Pipeline) and not isinstance(agg, Siblings):
            values = [reach(bucket, agg.path) for bucket in buckets]
            for bucket, value in zip(buckets, agg.over(values), strict=True):
                if value is None:
                    bucket.pop(name, None)
                else:
                    bucket[name] = {"value": value}


def siblings(aggs: dict[str, Agg], answer: dict[str, Any]) -> None:
    """Fill in the pipelines that stand beside the aggregation they read."""
    for name, agg in aggs.items():
        if isinstance(agg, Siblings):
            first, _, rest = agg.path.partition(">")
            buckets = answer[first.strip()].get("buckets", [])
            buckets = list(buckets.values()) if isinstance(buckets, dict) else buckets
            found = [value for b in buckets if (value := reach(b, rest.strip() or "_count")) is not None]
            answer[name] = {"value": agg.of(found)}


def reach(bucket: dict[str, Any], path: str) -> Any:
    """What a path like `_count`, `cost`, `cost.avg` or `inner>cost` leads to in a bucket."""
    if path == "_count":
        return bucket["doc_count"]
    if path == "_key":
        return bucket["key"]
    at: Any = bucket
    for step in path.split(">"):
        name, _, part = step.strip().partition(".")
        at = at.get(name) if isinstance(at, dict) else None
        if isinstance(at, dict):
            if part:
                at = (
                    at.get("values", {}).get(part, at.get(part))
                    if isinstance(at.get("values"), dict)
                    else at.get(part)
                )
            elif "value" in at:
                at = at["value"]
    return at.get("doc_count") if isinstance(at, dict) else at


KINDS: dict[str, type[Agg]] = {
    "derivative": Derivative,
    "cumulative_sum": CumulativeSum,
    "serial_diff": SerialDiff,
    "avg_bucket": AvgBucket,
    "sum_bucket": SumBucket,
    "min_bucket": MinBucket,
    "max_bucket": MaxBucket,
}
