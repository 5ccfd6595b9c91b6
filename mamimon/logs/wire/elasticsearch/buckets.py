"""Bucket aggregations: rows divided by time, value, range or filter, with aggregations inside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from mamimon.logs.clauses import Row
from mamimon.logs.dateformat import write_date
from mamimon.logs.regexes import lucene_regex
from mamimon.logs.store.tally import Grain
from mamimon.logs.text import shown
from mamimon.logs.wire.elasticsearch import pipelines
from mamimon.logs.wire.elasticsearch.aggregations import (
    MOST_BUCKETS,
    Agg,
    Bucket,
    need_field,
    numbers,
)
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.sorting import ranked

_CANDIDATES = 1_000_000


class Keyed(Agg):
    """Buckets that come up as rows name them."""

    def state(self) -> dict[Any, Bucket]:
        return {}

    def keys(self, row: Row) -> list[Any]:
        """The buckets of a row."""
        raise NotImplementedError

    def add(self, state: dict[Any, Bucket], row: Row) -> None:
        keys = self.keys(row)
        for key in dict.fromkeys(keys) if len(keys) > 1 else keys:
            bucket = state.get(key)
            if bucket is None:
                if len(state) >= _CANDIDATES:
                    raise too_many_buckets()
                bucket = state[key] = Bucket(self.subs)
            bucket.add(self.subs, row)


class Terms(Keyed):
    """`terms`: the commonest values."""

    def setup(self) -> None:
        need_field(self)
        self.size = int(self.body.get("size", 10))
        self.least = int(self.body.get("min_doc_count", 1))
        self.order = read_order(self.body.get("order", {"_count": "desc"}))
        for path, _ in self.order:
            first = re.split(r"[.>\[]", path)[0].strip()
            if first not in {"_count", "_key"} and first not in self.subs:
                raise EsError(
                    400,
                    "aggregation_execution_exception",
                    f"Invalid aggregation order path [{path[:80]}]. The provided aggregation"
                    f" [{first[:80]}] either does not exist, or is a pipeline aggregation and cannot be"
                    " used to sort the buckets.",
                )
        self.include = self._partition() or value_filter(self.body.get("include"))
        self.exclude = value_filter(self.body.get("exclude"))

    def _partition(self) -> Callable[[str], bool] | None:
        spec = self.body.get("include")
        if not isinstance(spec, dict):
            return None
        count, wanted = int(spec.get("num_partitions", 0)), int(spec.get("partition", -1))
        if not 0 <= wanted < count:
            raise illegal(f"[include] needs a partition below [num_partitions], found [{wanted}]")
        return lambda text: crc32(text.encode("utf-8", "replace")) % count == wanted

    def grain(self) -> Grain | None:
        return self.values_grain()

    def keys(self, row: Row) -> list[Any]:
        found = self.values(row)
        if self.field == "level" and len(found) > 1:
            # A line's own spelling and our normal one are one value here.
            found = found[-1:]
        if self.include is not None:
            found = [v for v in found if self.include(shown(v))]
        if self.exclude is not None:
            found = [v for v in found if not self.exclude(shown(v))]
        if self.value_type == "date" and self.field != "@timestamp":
            return [int(value) for value in numbers(self, row)]
        return [("b", v) if isinstance(v, bool) else v for v in found]

    def result(self, state: dict[Any, Bucket]) -> dict[str, Any]:
        found = [(k, b) for k, b in state.items() if b.count >= self.least]
        total = sum(bucket.count for _, bucket in found)
        if all(kind == "_count" for kind, _ in self.order) or not self.order:
            # Only the winners are written out: writing inner answers is the costly part.
            down = not self.order or self.order[0][1]
            found.sort(
                key=lambda pair: (-pair[1].count if down else pair[1].count, rank(pair[0], self.value_type))
            )
            found = found[: self.size]
            buckets = [self._bucket(key, bucket) for key, bucket in found]
        else:
            found.sort(key=lambda pair: rank(pair[0], self.value_type))
            buckets = [self._bucket(key, bucket) for key, bucket in found]
            buckets = ordered(buckets, self.order, self.value_type)[: self.size]
        shown_count = sum(one["doc_count"] for one in buckets)
        return {
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": total - shown_count,
            "buckets": buckets,
        }

    def _bucket(self, key: Any, bucket: Bucket) -> dict[str, Any]:
        head: dict[str, Any] = {"key": key}
        if isinstance(key, tuple):
            head = {"key": int(key[1]), "key_as_string": shown(key[1])}
        elif self.value_type == "date" and isinstance(key, int):
            head = {"key": key, "key_as_string": write_date(key, str(self.body.get("format", "")))}
        if self.body.get("show_term_doc_count_error"):
            head["doc_count_error_upper_bound"] = 0
        return {**head, **bucket.write(self.subs)}


def plain_key(key: Any) -> Any:
    """A bucket's key without its type mark."""
    return key[1] if isinstance(key, tuple) else key


def rank(key: Any, kind: str = "") -> tuple[int, Any]:
    """How keys of any type are ordered: none, numbers, text, and combinations part by part."""
    if isinstance(key, list):
        return (3, [rank(part) for part in key])
    key = plain_key(key)
    if key is None:
        return (0, 0)
    return (1, float(key)) if isinstance(key, (int, float)) else (2, ranked(kind, shown(key)))


def too_many_buckets() -> EsError:
    """More buckets than an answer may have."""
    return EsError(
        400,
        "too_many_buckets_exception",
        f"Trying to create too many buckets. Must be less than or equal to: [{MOST_BUCKETS}]",
        max_buckets=MOST_BUCKETS,
    )


def value_filter(spec: Any) -> Any:
    """`include`/`exclude` of `terms`: a list of values or a regular expression."""
    if spec is None:
        return None
    if isinstance(spec, list):
        return {shown(value) for value in spec}.__contains__
    return lucene_regex(str(spec)).fullmatch


def read_order(spec: Any) -> list[tuple[str, bool]]:
    """`order` as (path, descending) pairs."""
    given = spec if isinstance(spec, list) else [spec]
    if not all(isinstance(one, dict) for one in given):
        raise parsing("Must specify at least one field for [order]")
    pairs = [pair for one in given for pair in one.items()]
    for _, way in pairs:
        if str(way).lower() not in {"asc", "desc"}:
            raise parsing(f"Unknown order direction [{str(way)[:40]}]")
    return [("_key" if name == "_term" else name, str(way).lower() == "desc") for name, way in pairs]


def ordered(
    buckets: list[dict[str, Any]], order: list[tuple[str, bool]], kind: str = ""
) -> list[dict[str, Any]]:
    """Buckets by keys, counts or inner answers; the last named decides last. `kind`: the keys' type."""
    for path, down in reversed(order):
        own = kind if path == "_key" else ""
        buckets.sort(
            key=lambda bucket, path=path, own=own: rank(pipelines.reach(bucket, path), own),  # type: ignore[misc]
            reverse=down,
        )
    return buckets
