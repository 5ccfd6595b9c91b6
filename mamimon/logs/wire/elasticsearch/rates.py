"""`rate`: sums, or counts, by a unit of time, in the buckets of a `date_histogram`."""

from __future__ import annotations

from typing import Any

from mamimon.logs.clauses import Row
from mamimon.logs.wire.elasticsearch.aggregations import Agg, numbers
from mamimon.logs.wire.elasticsearch.errors import illegal, parsing, unknown_field
from mamimon.logs.wire.elasticsearch.measures import Sums

_UNITS_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_CALENDAR = {"M": 1, "q": 3, "y": 12}


class Rate(Agg):
    """`rate`; the histogram that it stands in divides by its steps."""

    def setup(self) -> None:
        if unknown := set(self.body) - {"field", "unit", "mode", "missing", "format"}:
            raise unknown_field("rate", min(unknown))
        self.unit = str(self.body.get("unit") or "")
        if self.unit and self.unit not in {*_UNITS_MS, *_MONTHS}:
            raise illegal(f"Unsupported unit {self.unit[:40]}")
        self.mode = str(self.body.get("mode", "sum"))
        if self.mode not in {"sum", "value_count"}:
            raise illegal(f"Unsupported rate mode {self.mode[:40]}")
        if "mode" in self.body and not self.field:
            raise illegal("The mode parameter is only supported with field or script")

    def state(self) -> Sums:
        return Sums()

    def add(self, state: Sums, row: Row) -> None:
        for value in numbers(self, row) if self.field else [1.0]:
            state.add(value, row.weight)

    def result(self, state: Sums) -> dict[str, Any]:
        return {"value": state.count if self.mode == "value_count" else state.sum}

    def steps(self, length_ms: int, unit: str) -> float:
        """How many of the unit a step of the histogram has."""
        if self.unit in _MONTHS:
            if unit not in _CALENDAR:
                raise illegal(
                    f"Cannot use month-based rate unit [{self.unit}] with non-month based calendar interval"
                    f" histogram [{unit or 'fixed'}] only week, day, hour, minute and second are supported"
                )
            return _CALENDAR[unit] / _MONTHS[self.unit]
        return length_ms / _UNITS_MS[self.unit] if self.unit else 1.0


def divide(subs: dict[str, Agg], bucket: dict[str, Any], length_ms: int, unit: str) -> None:
    """Make the sums of a step of time, and of the buckets in it, rates."""
    for name, agg in subs.items():
        if isinstance(agg, Rate):
            bucket[name]["value"] /= agg.steps(length_ms, unit)
        elif agg.subs and not agg.timed:
            inner = bucket[name].get("buckets", [bucket[name]])
            for one in inner.values() if isinstance(inner, dict) else inner:
                divide(agg.subs, one, length_ms, unit)


def check(aggs: dict[str, Agg], timed: bool) -> None:
    """Refuse a rate that no histogram of time is around."""
    for name, agg in aggs.items():
        if isinstance(agg, Rate) and not timed:
            raise parsing(
                f"The rate aggregation [{name}] can only be used inside a date histogram aggregation or"
                " composite aggregation with exactly one date histogram value source"
            )
        check(agg.subs, timed or agg.timed)


KINDS: dict[str, type[Agg]] = {"rate": Rate}
