"""Bucket aggregations by ranges and filters, and `composite`, which pages through combinations."""

from __future__ import annotations

import math
from typing import Any

from mamimon.logs import dates
from mamimon.logs.clauses import Row
from mamimon.logs.dateformat import read_date, write_date
from mamimon.logs.store.summary import asked_fields
from mamimon.logs.store.tally import Grain
from mamimon.logs.text import number_of, shown
from mamimon.logs.wire.elasticsearch.aggregations import Agg, Bucket, filter_of, need_field, numbers
from mamimon.logs.wire.elasticsearch.buckets import (
    Keyed,
    Terms,
    ordered,
    plain_key,
    rank,
    read_order,
)
from mamimon.logs.wire.elasticsearch.errors import EsError, bad_date, illegal, parsing, unbuilt, unparsed
from mamimon.logs.wire.elasticsearch.histograms import DateHistogram, Histogram
from mamimon.logs.wire.elasticsearch.sorting import Reversed


class RareTerms(Terms):
    """`rare_terms`: the values that come up at most `max_doc_count` times."""

    def setup(self) -> None:
        self.body.setdefault("size", 10_000)
        super().setup()
        self.most = int(self.body.get("max_doc_count", 1))
        self.order = read_order({"_count": "asc"})

    def result(self, state: dict[Any, Bucket]) -> dict[str, Any]:
        rare = {key: bucket for key, bucket in state.items() if bucket.count <= self.most}
        return {"buckets": super().result(rare)["buckets"]}


class MultiTerms(Keyed):
    """`multi_terms`: the commonest combinations."""

    def setup(self) -> None:
        self.fields = [str(one.get("field", "")) for one in self.body.get("terms", [])]
        if len(self.fields) < 2:
            raise unparsed("multi_terms", "terms", "multi term aggregation must has at least 2 terms")
        self.size = int(self.body.get("size", 10))
        self.order = read_order(self.body.get("order", {"_count": "desc"}))

    def keys(self, row: Row) -> list[Any]:
        combined: list[tuple[Any, ...]] = [()]
        for field in self.fields:
            combined = [(*one, value) for one in combined for value in row.values(field)[:20]]
        return combined[:1000]

    def result(self, state: dict[Any, Bucket]) -> dict[str, Any]:
        buckets = [
            {"key": list(key), "key_as_string": "|".join(map(shown, key)), **bucket.write(self.subs)}
            for key, bucket in state.items()
        ]
        total = sum(bucket.count for bucket in state.values())
        buckets.sort(key=lambda b: [rank(part) for part in b["key"]])
        buckets = ordered(buckets, self.order)[: self.size]
        rest = total - sum(one["doc_count"] for one in buckets)
        return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": rest, "buckets": buckets}


class Ranges(Agg):
    """`range` and `date_range`."""

    dated = False
    name = "range"

    def setup(self) -> None:
        self.ranges: list[tuple[str, float, float]] = []
        for one in self.body.get("ranges", []):
            low, high = self._end(one.get("from"), -math.inf), self._end(one.get("to"), math.inf)
            self.ranges.append((str(one.get("key") or f"{self.show(low)}-{self.show(high)}"), low, high))
        if not self.ranges:
            raise illegal(f"No [ranges] specified for the [{self.name}] aggregation")

    def _end(self, value: Any, none: float) -> float:
        if value is None:
            return none
        if not self.dated:
            number = number_of(shown(value))
            if number is None:
                raise EsError(400, "number_format_exception", f'For input string: "{shown(value)[:60]}"')
            return number
        seconds = dates.parse_bound(
            shown(value), self.now, tz=dates.zone(str(self.body.get("time_zone") or ""))
        )
        if seconds is None:
            raise bad_date(shown(value))
        return seconds * 1000

    def grain(self) -> Grain | None:
        return self.values_grain()

    def show(self, value: float) -> str:
        """An end as a bucket's key names it."""
        if math.isinf(value):
            return "*"
        zone = str(self.body.get("time_zone") or "")
        return write_date(value, str(self.body.get("format", "")), zone) if self.dated else str(float(value))

    def state(self) -> list[Bucket]:
        return [Bucket(self.subs) for _ in self.ranges]

    def add(self, state: list[Bucket], row: Row) -> None:
        found = numbers(self, row)
        for bucket, (_, low, high) in zip(state, self.ranges, strict=True):
            if any(low <= value < high for value in found):
                bucket.add(self.subs, row)

    def result(self, state: list[Bucket]) -> dict[str, Any]:
        buckets: list[dict[str, Any]] = []
        for bucket, (key, low, high) in zip(state, self.ranges, strict=True):
            one: dict[str, Any] = {"key": key}
            for name, value in (("from", low), ("to", high)):
                if not math.isinf(value):
                    one[name] = float(value)
                    if self.dated:
                        one[f"{name}_as_string"] = self.show(value)
            buckets.append({**one, **bucket.write(self.subs)})
        if self.body.get("keyed"):
            return {"buckets": {b.pop("key"): b for b in buckets}}
        return {"buckets": sorted(buckets, key=lambda b: (b.get("from", -math.inf), b.get("to", math.inf)))}


class DateRanges(Ranges):
    """`date_range`."""

    dated = True
    name = "date_range"


class Filter(Agg):
    """`filter`."""

    def setup(self) -> None:
        self.clause = filter_of(self.body or None, self.now)

    def state(self) -> Bucket:
        return Bucket(self.subs)

    def add(self, state: Bucket, row: Row) -> None:
        if self.clause.match(row):
            state.add(self.subs, row)

    def grain(self) -> Grain | None:
        fields = asked_fields(self.clause, top=False)
        return None if fields is None else Grain(fields=fields)

    def result(self, state: Bucket) -> dict[str, Any]:
        return state.write(self.subs)


class Sampler(Filter):
    """`sampler`: all of the rows, since none need be left out."""

    def setup(self) -> None:
        self.clause = filter_of(None, self.now)


class Global(Sampler):
    """`global`: every row of the indices, whatever the query asks for; only at the top."""

    def setup(self) -> None:
        if self.body:
            raise illegal("[global] takes no options")
        super().setup()


class Missing(Filter):
    """`missing`: rows without the field."""

    def setup(self) -> None:
        need_field(self)
        self.clause = filter_of({"bool": {"must_not": {"exists": {"field": self.field}}}}, self.now)


class Filters(Agg):
    """`filters`: several named filters."""

    def setup(self) -> None:
        asked = self.body.get("filters")
        if not isinstance(asked, (dict, list)) or not asked:
            raise illegal("[filters] cannot be empty.")
        self.named = isinstance(asked, dict)
        pairs = asked.items() if isinstance(asked, dict) else enumerate(asked)
        self.filters = [(str(name), filter_of(query, self.now)) for name, query in pairs]
        self.other = str(
            self.body.get("other_bucket_key") or ("_other_" if self.body.get("other_bucket") else "")
        )

    def state(self) -> list[Bucket]:
        return [Bucket(self.subs) for _ in range(len(self.filters) + bool(self.other))]

    def add(self, state: list[Bucket], row: Row) -> None:
        matched = False
        for bucket, (_, clause) in zip(state, self.filters, strict=False):
            if clause.match(row):
                matched = True
                bucket.add(self.subs, row)
        if self.other and not matched:
            state[-1].add(self.subs, row)

    def grain(self) -> Grain | None:
        found = Grain()
        for _, clause in self.filters:
            fields = asked_fields(clause, top=False)
            if fields is None:
                return None
            found = found & Grain(fields=fields)
        return found

    def result(self, state: list[Bucket]) -> dict[str, Any]:
        names = [name for name, _ in self.filters] + ([self.other] if self.other else [])
        written = [bucket.write(self.subs) for bucket in state]
        return {"buckets": dict(zip(names, written, strict=True)) if self.named else written}


class Composite(Keyed):
    """`composite`: every combination, page by page."""

    def setup(self) -> None:
        if "sources" not in self.body:
            raise illegal("Required [sources]")
        self.size = int(self.body.get("size", 10))
        self.sources: list[tuple[str, Agg, bool, bool]] = []
        for one in self.body.get("sources", []):
            name, spec = next(iter(one.items()))
            kind, own = next(iter(spec.items()))
            kinds: dict[str, type[Agg]] = {
                "terms": Terms,
                "date_histogram": DateHistogram,
                "histogram": Histogram,
            }
            if kind not in kinds:
                raise parsing(f"invalid source type: {str(kind)[:40]}")
            descending = str(own.get("order", "asc")) == "desc"
            body = {k: v for k, v in own.items() if k not in {"order", "missing_bucket", "missing_order"}}
            self.sources.append(
                (name, kinds[kind](body, {}, None, self.now), descending, bool(own.get("missing_bucket")))
            )
        if not self.sources:
            raise unbuilt("composite", "Composite [sources] cannot be null or empty")
        self.after = self.body.get("after")
        if isinstance(self.after, dict):
            for name, *_ in self.sources:
                if name not in self.after:
                    raise illegal(f"Missing value for [after.{name}]")

    def keys(self, row: Row) -> list[Any]:
        combined: list[tuple[Any, ...]] = [()]
        for _, agg, _, missing in self.sources:
            assert isinstance(agg, Keyed)
            found = agg.keys(row) or ([None] if missing else [])
            combined = [(*one, value) for one in combined for value in found[:20]]
        return combined[:1000]

    def result(self, state: dict[Any, Bucket]) -> dict[str, Any]:
        found = sorted(state.items(), key=lambda pair: self._order(pair[0]))
        if isinstance(self.after, dict):
            after = self._order(
                tuple(self._read(agg, self.after.get(name)) for name, agg, *_ in self.sources)
            )
            found = [pair for pair in found if after < self._order(pair[0])]
        buckets = [{"key": self._shown(key), **bucket.write(self.subs)} for key, bucket in found[: self.size]]
        answer: dict[str, Any] = {"buckets": buckets}
        if buckets:
            answer = {"after_key": buckets[-1]["key"], **answer}
        return answer

    def _shown(self, key: tuple[Any, ...]) -> dict[str, Any]:
        return {
            name: write_date(part, agg.form, agg.tz_name)
            if isinstance(agg, DateHistogram) and agg.form and part is not None
            else plain_key(part)
            for (name, agg, *_), part in zip(self.sources, key, strict=True)
        }

    @staticmethod
    def _read(agg: Agg, value: Any) -> Any:
        """A part of `after` as the buckets are kept."""
        if not isinstance(agg, DateHistogram) or not agg.form or not isinstance(value, str):
            return value
        found = read_date(value, agg.form, agg.tz)
        if found is None:
            raise bad_date(value, agg.form)
        return round(found[0] * 1000)

    def _order(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        ranks = [rank(part) for part in key]
        return tuple(
            Reversed(rank) if down else rank
            for rank, (_, _, down, _) in zip(ranks, self.sources, strict=True)
        )


KINDS: dict[str, type[Agg]] = {
    "date_histogram": DateHistogram,
    "histogram": Histogram,
    "terms": Terms,
    "rare_terms": RareTerms,
    "multi_terms": MultiTerms,
    "range": Ranges,
    "date_range": DateRanges,
    "filter": Filter,
    "sampler": Sampler,
    "global": Global,
    "missing": Missing,
    "filters": Filters,
    "composite": Composite,
}
