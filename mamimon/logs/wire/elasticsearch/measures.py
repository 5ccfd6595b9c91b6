"""Metric aggregations: one number or a few of a field's values."""

from __future__ import annotations

import math
from typing import Any

from mamimon.logs.clauses import Clause, Row
from mamimon.logs.dateformat import write_date
from mamimon.logs.store.tally import Grain
from mamimon.logs.text import number_of, shown
from mamimon.logs.wire.elasticsearch.aggregations import Agg, need_field, number_text, numbers
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, unbuilt, unparsed

_MOST_VALUES = 1_000_000


class Sums:
    """Count, extremes, and compensated sums of values and of their squares."""

    __slots__ = ("carry", "count", "high", "low", "mean", "spread", "total")

    def __init__(self) -> None:
        self.count = 0
        self.low = math.inf
        self.high = -math.inf
        self.total = 0.0
        self.carry = 0.0
        self.mean = 0.0
        self.spread = 0.0

    def add(self, value: float, weight: int = 1) -> None:
        """A value that came so often: Neumaier's sum and Welford's variance."""
        self.count += weight
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        more = value * weight
        new = self.total + more
        self.carry += (self.total - new) + more if abs(self.total) >= abs(more) else (more - new) + self.total
        self.total = new
        gap = value - self.mean
        self.mean += gap * weight / self.count
        self.spread += gap * (value - self.mean) * weight

    @property
    def sum(self) -> float:
        """The sum."""
        return self.total + self.carry


class _Measure(Agg):
    """Feeds numbers to `Sums`."""

    def setup(self) -> None:
        need_field(self)

    def state(self) -> Sums:
        return Sums()

    def add(self, state: Sums, row: Row) -> None:
        for value in numbers(self, row):
            state.add(value, row.weight)

    def grain(self) -> Grain | None:
        return self.values_grain()

    def valued(self, value: float | None) -> dict[str, Any]:
        answer: dict[str, Any] = {"value": value}
        if value is not None and self.spelled:
            answer["value_as_string"] = self.spell(value)
        return answer

    @property
    def spelled(self) -> bool:
        """Whether numbers are also shown as the dates or truths that they stand for, or in a format."""
        return self.value_type in {"date", "boolean"} or "format" in self.body

    def spell(self, value: float) -> str:
        """A number as the field's type shows it."""
        form = str(self.body.get("format") or "")
        if self.value_type == "date":
            return write_date(math.floor(value), form)
        return shown(value != 0) if self.value_type == "boolean" and not form else number_text(value, form)


class Avg(_Measure):
    """`avg`."""

    def result(self, state: Sums) -> dict[str, Any]:
        return self.valued(state.sum / state.count if state.count else None)


class Sum(_Measure):
    """`sum`."""

    def result(self, state: Sums) -> dict[str, Any]:
        return self.valued(state.sum)


class Min(_Measure):
    """`min`."""

    def result(self, state: Sums) -> dict[str, Any]:
        return self.valued(state.low if state.count else None)


class Max(_Measure):
    """`max`."""

    def result(self, state: Sums) -> dict[str, Any]:
        return self.valued(state.high if state.count else None)


class Stats(_Measure):
    """`stats`."""

    def result(self, state: Sums) -> dict[str, Any]:
        some = state.count > 0
        found = {
            "min": state.low if some else None,
            "max": state.high if some else None,
            "avg": state.sum / state.count if some else None,
            "sum": state.sum,
        }
        spelled = {
            f"{name}_as_string": self.spell(value) for name, value in found.items() if value is not None
        }
        return {"count": state.count, **found, **(spelled if self.spelled and some else {})}


class ExtendedStats(Stats):
    """`extended_stats`."""

    def setup(self) -> None:
        super().setup()
        self.sigma = float(self.body.get("sigma", 2.0))
        if self.sigma < 0:
            raise unparsed("extended_stats", "sigma", "[sigma] must be greater than or equal to 0")

    def result(self, state: Sums) -> dict[str, Any]:
        answer = super().result(state)
        count = state.count
        variance = max(0.0, state.spread) / count if count else None
        sampled = state.spread / (count - 1) if count > 1 else None
        sigma = self.sigma
        deviation = math.sqrt(variance) if variance is not None else None
        mean = answer["avg"]
        squares = state.spread + count * state.mean**2 if count else 0.0
        bounds: dict[str, Any] = dict.fromkeys(
            ("upper", "lower", "upper_population", "lower_population", "upper_sampling", "lower_sampling")
        )
        if deviation is not None:
            bounds.update(upper=mean + sigma * deviation, lower=mean - sigma * deviation)
            bounds.update(upper_population=bounds["upper"], lower_population=bounds["lower"])
            bounds.update(upper_sampling="NaN", lower_sampling="NaN")
            if sampled is not None:
                sample = math.sqrt(max(0.0, sampled))
                bounds.update(upper_sampling=mean + sigma * sample, lower_sampling=mean - sigma * sample)
        return {
            **answer,
            "sum_of_squares": squares if count else None,
            "variance": variance,
            "variance_population": variance,
            "variance_sampling": "NaN" if count == 1 else sampled,
            "std_deviation": deviation,
            "std_deviation_population": deviation,
            "std_deviation_sampling": "NaN"
            if count == 1
            else math.sqrt(sampled)
            if sampled is not None and sampled >= 0
            else None,
            "std_deviation_bounds": bounds,
        }


class ValueCount(Agg):
    """`value_count`."""

    def setup(self) -> None:
        need_field(self)

    def state(self) -> list[int]:
        return [0]

    def add(self, state: list[int], row: Row) -> None:
        state[0] += len(self.values(row)) * row.weight

    def grain(self) -> Grain | None:
        return self.values_grain()

    def result(self, state: list[int]) -> dict[str, Any]:
        return {"value": state[0]}


class Cardinality(Agg):
    """`cardinality`: exact; more distinct values than memory allows is an error, not a guess."""

    def setup(self) -> None:
        need_field(self)

    def state(self) -> set[Any]:
        return set()

    def add(self, state: set[Any], row: Row) -> None:
        state.update(shown(value) for value in self.values(row))
        if len(state) > _MOST_VALUES:
            raise EsError(
                400,
                "too_many_buckets_exception",
                f"more than {_MOST_VALUES} distinct values of [{self.field}]",
            )

    def grain(self) -> Grain | None:
        return self.values_grain()

    def result(self, state: set[Any]) -> dict[str, Any]:
        return {"value": len(state)}


class Percentiles(Agg):
    """`percentiles`: exact, with linear interpolation between neighbours."""

    def setup(self) -> None:
        need_field(self)
        asked = self.body.get("percents", [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0])
        # Grafana sends them as text.
        found = [number_of(shown(one)) for one in asked] if isinstance(asked, list) else [None]
        if not found or not all(one is not None and 0 <= one <= 100 for one in found):
            raise unbuilt("percentiles", "[percents] must be numbers from 0 to 100")
        self.percents = [one for one in found if one is not None]

    def state(self) -> list[float]:
        return []

    def add(self, state: list[float], row: Row) -> None:
        state += numbers(self, row) * row.weight
        if len(state) > _MOST_VALUES:
            raise EsError(
                400, "too_many_buckets_exception", f"percentiles of more than {_MOST_VALUES} values"
            )

    def grain(self) -> Grain | None:
        return self.values_grain()

    def result(self, state: list[float]) -> dict[str, Any]:
        state.sort()
        found = [(p, quantile(state, p / 100)) for p in self.percents]
        if self.body.get("keyed", True):
            return {"values": {str(p): value for p, value in found}}
        return {"values": [{"key": p, "value": value} for p, value in found]}


def quantile(ordered: list[float], q: float) -> float | None:
    """The value below which a share `q` of the sorted values lies, between neighbours on a line."""
    if not ordered:
        return None
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class PercentileRanks(Percentiles):
    """`percentile_ranks`."""

    def setup(self) -> None:
        asked = self.body.get("values")
        found = [number_of(shown(one)) for one in asked] if isinstance(asked, list) else []
        if not found or None in found:
            raise unbuilt("percentile_ranks", "[values] must not be null or empty, and be numbers")
        self.percents = [one for one in found if one is not None]

    def result(self, state: list[float]) -> dict[str, Any]:
        from bisect import bisect_right

        state.sort()
        found = [(v, 100.0 * bisect_right(state, v) / len(state) if state else None) for v in self.percents]
        if self.body.get("keyed", True):
            return {"values": {str(v): rank for v, rank in found}}
        return {"values": [{"key": v, "value": rank} for v, rank in found]}


_MOST_HITS = 100


class TopHits(Agg):
    """`top_hits`: the newest lines of a bucket, or the first by one sort key."""

    def setup(self) -> None:
        from mamimon.logs.wire.elasticsearch.sorting import Sort

        self.size, self.start = int(float(self.body.get("size", 3))), int(float(self.body.get("from", 0)))
        for name, value in (("size", self.size), ("from", self.start)):
            if value < 0:
                raise illegal(f"[{name}] must be greater than or equal to 0. Found [{value}]")
        if self.size + self.start > _MOST_HITS:
            raise illegal(
                "Top hits result window is too large, the top hits aggregator's from + size must be less than"
                f" or equal to: [{_MOST_HITS}] but was [{self.size + self.start}]."
            )
        self.sort = Sort.read(self.body.get("sort"))
        if self.body.get("script_fields"):
            raise illegal("[script_fields] is not supported by a log store")
        self.clause: Clause | None = None
        self.named: list[tuple[str, Clause]] = []

    def searched(self, clause: Clause, named: list[tuple[str, Clause]]) -> None:
        self.clause, self.named = clause, named

    def told(self, kinds: dict[str, str]) -> None:
        super().told(kinds)
        self.sort = self.sort.typed(kinds)

    def asked(self) -> set[str]:
        return self.sort.fields()

    def state(self) -> dict[str, Any]:
        return {"count": 0, "rows": []}

    def add(self, state: dict[str, Any], row: Row) -> None:
        state["count"] += 1
        row.keep()
        state["rows"].append((self.sort.key(row), row))
        if len(state["rows"]) > 4 * (self.start + self.size) + 16:
            self._cut(state)

    def _cut(self, state: dict[str, Any]) -> None:
        state["rows"].sort(key=lambda pair: pair[0])
        del state["rows"][self.start + self.size :]

    def result(self, state: dict[str, Any]) -> dict[str, Any]:
        from mamimon.logs.wire.elasticsearch.marking import read_marks
        from mamimon.logs.wire.elasticsearch.sources import Sources

        self._cut(state)
        sources = Sources.read(self.body)
        sources.clause, sources.named = self.clause, self.named
        sources.marks = read_marks(self.body.get("highlight"), self.now)
        hits = [sources.hit(row, self.sort) for _, row in state["rows"][self.start :]]
        return {
            "hits": {"total": {"value": state["count"], "relation": "eq"}, "max_score": None, "hits": hits}
        }


class TopMetrics(TopHits):
    """`top_metrics`: fields of the first line by a sort key."""

    def result(self, state: dict[str, Any]) -> dict[str, Any]:
        self._cut(state)
        asked = self.body.get("metrics", [])
        names = [m["field"] for m in (asked if isinstance(asked, list) else [asked])]
        return {
            "top": [
                {
                    "sort": self.sort.values(row),
                    "metrics": {n: next(iter(row.values(n)), None) for n in names},
                }
                for _, row in state["rows"][: int(self.body.get("size", 1))]
            ]
        }


KINDS: dict[str, type[Agg]] = {
    "avg": Avg,
    "sum": Sum,
    "min": Min,
    "max": Max,
    "stats": Stats,
    "extended_stats": ExtendedStats,
    "value_count": ValueCount,
    "cardinality": Cardinality,
    "percentiles": Percentiles,
    "percentile_ranks": PercentileRanks,
    "top_hits": TopHits,
    "top_metrics": TopMetrics,
}
