"""Pipeline aggregations: numbers made of the buckets around them, after all rows are counted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from mamimon.logs.text import number_of, shown
from mamimon.logs.wire.elasticsearch.aggregations import Agg, interval_ms, number_text
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing

Value = float | None
_OPTIONS = {"buckets_path", "gap_policy", "format"}
_GAPS = {"skip": math.nan, "insert_zeros": 0.0}


class Pipeline(Agg):
    """Counts no rows; `over` fills it in for each bucket of its parent."""

    name = ""
    options: frozenset[str] = frozenset()

    def setup(self) -> None:
        path = self.body.get("buckets_path")
        if isinstance(path, list) and len(path) == 1:
            path = path[0]
        if not isinstance(path, str):
            raise parsing("Missing required field [buckets_path]: one path, as text")
        self.path = path
        if unknown := set(self.body) - _OPTIONS - self.options:
            raise parsing(f"Unexpected token VALUE_STRING [{min(unknown)[:80]}] in [{self.name}]")
        policy = str(self.body.get("gap_policy", "skip")).lower()
        if policy not in _GAPS:
            raise parsing(f"Invalid gap policy: [{policy[:40]}], accepted values: [insert_zeros, skip]")
        self.gap = _GAPS[policy]

    def whole(self, name: str, default: int, least: int) -> int:
        """An option that is a whole number."""
        number = number_of(shown(self.body.get(name, default)))
        if number is None or number != int(number) or number < least:
            raise parsing(f"[{name}] of [{self.name}] must be a whole number from {least}")
        return int(number)

    def state(self) -> None:
        return None

    def add(self, state: None, row: Any) -> None:
        """A pipeline counts no rows."""

    def result(self, state: None) -> dict[str, Any]:
        return {"value": None}

    def read(self, bucket: dict[str, Any], path: str) -> Value:
        """The bucket's value; what there is in a gap's place where it has none; None without the answer."""
        if path == "_count":
            return float(bucket["doc_count"])
        if first_of(path) not in bucket and path != "_key":
            return None
        found = reach(bucket, path)
        usable = isinstance(found, (int, float)) and math.isfinite(found) and bucket.get("doc_count", 1) > 0
        return float(found) if usable else self.gap

    def over(self, values: list[Value]) -> list[Value]:
        """A value a bucket."""
        raise NotImplementedError

    def written(self, value: float, buckets: Sequence[dict[str, Any]], at: int) -> dict[str, Any]:
        """What stands in a bucket."""
        if not math.isfinite(value):
            return {"value": None}
        form = str(self.body.get("format") or "")
        return {"value": value, **({"value_as_string": number_text(value, form)} if form else {})}


class Derivative(Pipeline):
    """`derivative`."""

    name = "derivative"
    options = frozenset({"unit"})

    def setup(self) -> None:
        super().setup()
        unit = self.body.get("unit")
        self.unit_ms = interval_ms(str(unit)) if unit else 0

    def over(self, values: list[Value]) -> list[Value]:
        gaps = [None if a is None or b is None else b - a for a, b in pairwise(values)]
        return [None, *gaps] if values else []

    def written(self, value: float, buckets: Sequence[dict[str, Any]], at: int) -> dict[str, Any]:
        answer = super().written(value, buckets, at)
        if self.unit_ms:
            steps = (buckets[at]["key"] - buckets[at - 1]["key"]) / self.unit_ms
            answer["normalized_value"] = value / steps if math.isfinite(value) else None
        return answer


class CumulativeSum(Pipeline):
    """`cumulative_sum`."""

    name = "cumulative_sum"

    def over(self, values: list[Value]) -> list[Value]:
        total = 0.0
        found: list[Value] = []
        for value in values:
            total += value if value is not None and math.isfinite(value) else 0.0
            found.append(total)
        return found


class SerialDiff(Pipeline):
    """`serial_diff`."""

    name = "serial_diff"
    options = frozenset({"lag"})

    def setup(self) -> None:
        super().setup()
        self.lag = self.whole("lag", 1, 1)

    def over(self, values: list[Value]) -> list[Value]:
        found: list[Value] = []
        for i, value in enumerate(values):
            before = values[i - self.lag] if i >= self.lag else None
            gap = math.nan if value is None or before is None else value - before
            found.append(gap if math.isfinite(gap) else None)
        return found


class MovingFunction(Pipeline):
    """`moving_fn`, with the functions that Elasticsearch's `MovingFunctions` has; other scripts are none."""

    name = "moving_fn"
    options = frozenset({"window", "shift", "script"})

    def setup(self) -> None:
        super().setup()
        if "window" not in self.body or "script" not in self.body:
            raise illegal("[moving_fn] needs a [window] and a [script]")
        self.window = self.whole("window", 1, 1)
        self.shift = self.whole("shift", 0, -(2**31))
        script = self.body["script"]
        self.function = _function(str(script.get("source", "") if isinstance(script, dict) else script))

    def over(self, values: list[Value]) -> list[Value]:
        known = [value for value in values if value is not None and math.isfinite(value)]
        found: list[Value] = []
        at = 0
        for value in values:
            if value is None or not math.isfinite(value):
                found.append(None)
                continue
            low, high = (
                min(max(end, 0), len(known)) for end in (at - self.window + self.shift, at + self.shift)
            )
            found.append(self.function(known[low:high]))
            at += 1
        return found


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _deviation(values: list[float]) -> float:
    mean = _mean(values)
    return math.sqrt(_mean([(value - mean) ** 2 for value in values])) if values else math.nan


def _linear(values: list[float]) -> float:
    # The sum of the weights begins with 1 there too.
    weights = 1 + len(values) * (len(values) + 1) // 2
    return math.fsum(value * n for n, value in enumerate(values, 1)) / weights if values else math.nan


def _exponential(alpha: float) -> Callable[[list[float]], float]:
    def mean(values: list[float]) -> float:
        found = math.nan
        for n, value in enumerate(values):
            found = value * alpha + found * (1 - alpha) if n else value
        return found

    return mean


_FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "max": lambda values: max(values, default=math.nan),
    "min": lambda values: min(values, default=math.nan),
    "sum": math.fsum,
    "unweightedAvg": _mean,
    "linearWeightedAvg": _linear,
}
_CALL = re.compile(r"\s*(?:return\s+)?MovingFunctions\.(\w+)\(\s*values\s*(?:,\s*(.+?)\s*)?\)\s*;?\s*")


def _function(script: str) -> Callable[[list[float]], float]:
    found = _CALL.fullmatch(script)
    name, argument = (found[1], found[2]) if found else ("", None)
    if name in _FUNCTIONS and argument is None:
        return _FUNCTIONS[name]
    if name == "stdDev" and (argument or "").replace(" ", "") == "MovingFunctions.unweightedAvg(values)":
        return _deviation
    alpha = number_of(argument) if name == "ewma" and argument else None
    if alpha is None:
        raise illegal(f"scripts are not supported by a log store, but for MovingFunctions: [{script[:80]}]")
    return _exponential(alpha)


class Siblings(Pipeline):
    """`avg_bucket` and its like: one number of another aggregation's buckets."""

    beside = True
    kind = ""

    def of(self, pairs: list[tuple[str, float]]) -> dict[str, Any]:
        """The answer, of keys and values."""
        values = [value for _, value in pairs]
        if self.kind == "sum":
            return {"value": math.fsum(values)}
        if self.kind == "avg":
            return {"value": math.fsum(values) / len(values) if values else None}
        best = (max if self.kind == "max" else min)(values, default=None)
        return {"value": best, "keys": [key for key, value in pairs if value == best]}


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


class StatsBucket(Siblings):
    """`stats_bucket`."""

    def of(self, pairs: list[tuple[str, float]]) -> dict[str, Any]:
        values = [value for _, value in pairs]
        total = math.fsum(values)
        return {
            "count": len(values),
            "min": min(values, default=None),
            "max": max(values, default=None),
            "avg": total / len(values) if values else None,
            "sum": total,
        }


def first_of(path: str) -> str:
    """The aggregation that a path begins with."""
    return re.split(r"[.>\[]", path)[0].strip()


def check(aggs: dict[str, Agg], parent: dict[str, Any]) -> None:
    """A sibling pipeline must name an aggregation beside it; the others stand in a histogram without gaps."""
    own = next((body for kind, body in parent.items() if kind in {"histogram", "date_histogram"}), None)
    for name, agg in aggs.items():
        if not isinstance(agg, Pipeline):
            continue
        first = first_of(agg.path)
        if isinstance(agg, Siblings):
            if first not in aggs:
                raise _invalid(f"No aggregation found for path [{agg.path[:80]}] of [{name}]")
        elif not isinstance(own, dict):
            raise _invalid(
                f"{agg.name} aggregation [{name}] must have a histogram, date_histogram or"
                " auto_date_histogram as parent"
            )
        elif str(own.get("min_doc_count", 0)) != "0":
            raise _invalid(
                f"parent histogram of {agg.name} aggregation [{name}] must have min_doc_count of 0"
            )
        elif first not in {*aggs, "_count", "_key", "_bucket_count"}:
            raise _invalid(f"No aggregation found for path [{agg.path[:80]}]")


def _invalid(why: str) -> EsError:
    return EsError(400, "action_request_validation_exception", f"Validation Failed: 1: {why};")


def apply(subs: dict[str, Agg], buckets: list[dict[str, Any]]) -> None:
    """Fill in the pipelines inside the buckets of their parent, after those that they read."""
    waiting = {
        name: agg for name, agg in subs.items() if isinstance(agg, Pipeline) and not isinstance(agg, Siblings)
    }
    while waiting:
        ready = [n for n, agg in waiting.items() if first_of(agg.path) not in waiting]
        if not ready:
            raise illegal(f"Cyclical dependency found with pipeline aggregators: [{min(waiting)[:80]}]")
        for name in ready:
            agg = waiting.pop(name)
            values = agg.over([agg.read(bucket, agg.path) for bucket in buckets])
            for at, (bucket, value) in enumerate(zip(buckets, values, strict=True)):
                if value is None:
                    bucket.pop(name, None)
                else:
                    bucket[name] = agg.written(value, buckets, at)


def siblings(aggs: dict[str, Agg], answer: dict[str, Any]) -> None:
    """Fill in the pipelines that stand beside the aggregation they read."""
    for name, agg in aggs.items():
        if isinstance(agg, Siblings):
            first, _, rest = agg.path.partition(">")
            buckets = answer[first.strip()].get("buckets", [])
            path = rest.strip() or "_count"
            pairs = [
                (str(key), value)
                for key, bucket in (buckets.items() if isinstance(buckets, dict) else _keyed(buckets))
                if (value := agg.read(bucket, path)) is not None and math.isfinite(value)
            ]
            answer[name] = agg.of(pairs)


def _keyed(buckets: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(shown(one.get("key_as_string", one.get("key"))), one) for one in buckets]


def reach(bucket: dict[str, Any], path: str) -> Any:
    """What a path like `_count`, `cost`, `cost.avg`, `cost[avg]` or `inner>cost` leads to in a bucket."""
    if path == "_count":
        return bucket["doc_count"]
    if path == "_key":
        return bucket["key"]
    at: Any = bucket
    for step in path.split(">"):
        found = re.fullmatch(r"([^.\[]*)(?:\.(.+)|\[(.+)\])?", step.strip())
        name, part = (found[1], found[2] or found[3]) if found else (step.strip(), None)
        at = at.get(name) if isinstance(at, dict) else None
        if isinstance(at, dict):
            if part:
                at = _part(at, part.strip("'\""))
            elif "value" in at:
                at = at["value"]
    return at.get("doc_count") if isinstance(at, dict) else at


def _part(answer: dict[str, Any], part: str) -> Any:
    """One of several numbers: a percentile, or a part of statistics."""
    values = answer.get("values")
    if isinstance(values, list):
        values = {str(one["key"]): one["value"] for one in values}
    if isinstance(values, dict):
        number = number_of(part)
        return values.get(part, values.get(str(number)) if number is not None else None)
    bounds = answer.get("std_deviation_bounds", {})
    if part.startswith(("std_upper", "std_lower", "std_deviation_bounds_")):
        return bounds.get(re.sub(r"std_(deviation_bounds_)?", "", part))
    return answer.get(part)


KINDS: dict[str, type[Agg]] = {
    "derivative": Derivative,
    "cumulative_sum": CumulativeSum,
    "serial_diff": SerialDiff,
    "moving_fn": MovingFunction,
    "avg_bucket": AvgBucket,
    "sum_bucket": SumBucket,
    "min_bucket": MinBucket,
    "max_bucket": MaxBucket,
    "stats_bucket": StatsBucket,
}
