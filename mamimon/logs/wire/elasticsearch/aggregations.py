"""Aggregations: a tree of counters that each matching row is fed into.

An `Agg` is what was asked; `state()` makes an empty counter, `add` feeds it a row, `result` writes
it as Elasticsearch does. All are exact; what would need more memory than is allowed is an error.
"""

from __future__ import annotations

import math
import re
from typing import Any

from mamimon.logs import dates
from mamimon.logs.clauses import Clause, Row
from mamimon.logs.store.summary import grouping
from mamimon.logs.store.tally import Grain
from mamimon.logs.text import number_of
from mamimon.logs.wire.elasticsearch.dsl import Dsl
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.known import METRICS, check_aggregation, refuse_known

MOST_BUCKETS = 65_536


class Agg:
    """What all aggregations share: their name, their own body, and those inside them."""

    beside = False
    """Whether it is made of the answers beside it."""
    timed = False
    """Whether its buckets are steps of time."""

    def __init__(self, body: dict[str, Any], subs: dict[str, Agg], meta: Any, now: float) -> None:
        self.body = body
        self.now = now
        self.subs = subs
        self.meta = meta
        self.field = str(body.get("field", ""))
        self.value_type = "date" if self.field == "@timestamp" else ""
        self.setup()

    def told(self, kinds: dict[str, str]) -> None:
        """Learn the fields' types."""
        self.value_type = kinds.get(self.field, self.value_type)
        for sub in self.subs.values():
            sub.told(kinds)

    def searched(self, clause: Clause, named: list[tuple[str, Clause]]) -> None:
        """Learn what the search looks for, and the parts of it that have a name."""
        for sub in self.subs.values():
            sub.searched(clause, named)

    def asked(self) -> set[str]:
        """The fields whose types matter."""
        return {self.field}

    def setup(self) -> None:
        """Read the body; raises `EsError`."""

    def state(self) -> Any:
        """An empty counter."""
        raise NotImplementedError

    def add(self, state: Any, row: Row) -> None:
        """Feed one row."""
        raise NotImplementedError

    def result(self, state: Any) -> dict[str, Any]:
        """The answer."""
        raise NotImplementedError

    def grain(self) -> Grain | None:
        """How fine the rows must be, if rows that stand for many lines will do; None if not."""
        return None

    def values_grain(self) -> Grain | None:
        """The grain of what looks at the field's values alone."""
        fields = grouping(self.field)
        return None if fields is None else Grain(fields=fields)

    def values(self, row: Row) -> list[Any]:
        """The field's values, or the stand-in for none."""
        found = row.values(self.field)
        if not found and "missing" in self.body:
            return [self.body["missing"]]
        return found


class Bucket:
    """A count and the counters of the aggregations inside."""

    __slots__ = ("count", "states")

    def __init__(self, subs: dict[str, Agg]) -> None:
        self.count = 0
        self.states = {name: sub.state() for name, sub in subs.items()} if subs else {}

    def add(self, subs: dict[str, Agg], row: Row) -> None:
        """Count one row."""
        self.count += row.weight
        for name, sub in subs.items():
            sub.add(self.states[name], row)

    def write(self, subs: dict[str, Agg]) -> dict[str, Any]:
        """Count and inner answers."""
        return {"doc_count": self.count, **write(subs, self.states)}


def fields(*several: dict[str, Agg]) -> set[str]:
    """The fields of aggregations and of those inside them."""
    found: set[str] = set()
    for aggs in several:
        for agg in aggs.values():
            found |= agg.asked() | fields(agg.subs)
    return found


def grain_of(aggs: dict[str, Agg]) -> Grain | None:
    """The grain that serves all of the aggregations."""
    found = Grain()
    for agg in aggs.values():
        one, inner = agg.grain(), grain_of(agg.subs)
        if one is None or inner is None:
            return None
        found = found & one & inner
    return found


def write(aggs: dict[str, Agg], states: dict[str, Any]) -> dict[str, Any]:
    """The answers of several aggregations."""
    answer: dict[str, Any] = {}
    for name, agg in aggs.items():
        answer[name] = agg.result(states[name])
        if agg.meta is not None:
            answer[name]["meta"] = agg.meta
    if any(agg.beside for agg in aggs.values()):
        from mamimon.logs.wire.elasticsearch import pipelines

        pipelines.siblings(aggs, answer)
    return answer


def read(body: Any, now: float, depth: int = 0, parent: Any = None) -> dict[str, Agg]:
    """The `aggs` object of a request."""
    if not isinstance(body, dict):
        raise parsing("aggregations must be an object")
    if depth > 10:
        raise illegal("aggregations are nested too deep")
    from mamimon.logs.wire.elasticsearch import divisions, measures, pipelines, rates

    kinds: dict[str, type[Agg]] = {**measures.KINDS, **divisions.KINDS, **pipelines.KINDS, **rates.KINDS}
    found: dict[str, Agg] = {}
    for name, spec in body.items():
        if not name or set("[]>") & set(name):
            raise parsing(
                f"Invalid aggregation name [{name[:80]}]. Aggregation names can contain any character except"
                " '[', ']', and '>'"
            )
        if not isinstance(spec, dict):
            raise parsing(f"Expected [START_OBJECT] under [{name}]")
        names = [key for key in spec if key not in {"aggs", "aggregations", "meta"}]
        if len(names) != 1:
            raise parsing(f"Found {len(names)} aggregation type definitions in [{name}]: one is needed")
        subs = read(spec.get("aggs", spec.get("aggregations", {})), now, depth + 1, spec)
        kind = kinds.get(names[0])
        if kind is None:
            refuse_known(names[0])
            raise EsError(
                400,
                "parsing_exception",
                f"Unknown aggregation type [{names[0]}] did you mean something else?",
            )
        own = spec[names[0]]
        if not isinstance(own, dict):
            raise parsing(f"[{names[0]}] must be an object")
        check_aggregation(names[0], own)
        if subs and names[0] in METRICS:
            raise EsError(
                400,
                "aggregation_initialization_exception",
                f"Aggregator [{name}] of type [{names[0]}] cannot accept sub-aggregations",
            )
        if "script" in own and "field" not in own and names[0] not in pipelines.KINDS:
            raise illegal("scripts are not supported by a log store")
        found[name] = kind(own, subs, spec.get("meta"), now)
    pipelines.check(found, parent or {})
    if not depth:
        rates.check(found, timed=False)
    return found


def numbers(agg: Agg, row: Row) -> list[float]:
    """The field's values as numbers; dates count in milliseconds, booleans as 0 and 1."""
    found: list[float] = []
    for value in agg.values(row):
        if isinstance(value, (int, float)):
            found.append(float(value))
        elif isinstance(value, str):
            number = number_of(value)
            if number is None and (seconds := dates.parse_iso(value)) is not None:
                number = seconds * 1000
            if number is not None:
                found.append(number)
    return found


def number_key(value: float) -> float | int:
    """Whole numbers without a fraction where JSON readers want them so."""
    return int(value) if value == math.floor(value) and abs(value) < 1e15 else value


def number_text(value: float, form: str) -> str:
    """A number by a decimal pattern such as `#,##0.0#`."""
    whole, _, fraction = form.partition(".")
    text = f"{value:,.{len(fraction)}f}" if "," in whole else f"{value:.{len(fraction)}f}"
    for optional in reversed(fraction):
        if optional != "#" or not text.endswith("0"):
            break
        text = text[:-1]
    return text.removesuffix(".")


def filter_of(query: Any, now: float) -> Clause:
    """The clause of a filter inside an aggregation."""
    return Dsl(now).read(query)


def need_field(agg: Agg) -> None:
    """Refuse an aggregation that names no field."""
    if not agg.field:
        raise illegal("Required one of fields [field, script], but none were specified. ")


def interval_ms(text: str) -> int:
    """Milliseconds of `30s`, `1m`, `12h`, `7d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|micros|nanos)", text.strip())
    if not found:
        raise illegal(
            f"failed to parse setting [interval] with value [{text[:40]}] "
            " as a time value: unit is missing or unrecognized"
        )
    unit = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}.get(found[2])
    if unit is None or float(found[1]) * unit < 1:
        raise illegal("Zero or negative time interval not supported")
    return int(float(found[1]) * unit)
