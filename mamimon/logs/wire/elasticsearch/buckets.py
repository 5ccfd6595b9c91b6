"""Bucket aggregations: rows divided by time, value, range or filter, with aggregations inside."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from mamimon.logs import dates
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
    interval_ms,
    need_field,
    number_text,
    numbers,
)
from mamimon.logs.wire.elasticsearch.errors import EsError, bad_date, illegal, parsing, unparsed
from mamimon.logs.wire.elasticsearch.sorting import ranked
from mamimon.problems import Problem

_CALENDAR = {
    "minute": "m", "1m": "m", "hour": "h", "1h": "h", "day": "d", "1d": "d", "week": "w", "1w": "w",
    "month": "M", "1M": "M", "quarter": "q", "1q": "q", "year": "y", "1y": "y", "second": "s", "1s": "s",
}  # fmt: skip
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


class DateHistogram(Keyed):
    """`date_histogram`: fixed or calendar steps, in a time zone, empty steps filled in."""

    def setup(self) -> None:
        fixed = self.body.get("fixed_interval")
        calendar = self.body.get("calendar_interval")
        old = self.body.get("interval")
        if old is not None and not (fixed or calendar):
            fixed, calendar = (None, old) if str(old) in _CALENDAR else (old, None)
        if fixed is None and calendar is None:
            raise illegal("Invalid interval specified, must be non-null and non-empty")
        if fixed is not None and calendar is not None:
            raise unparsed(
                "date_histogram",
                "calendar_interval",
                "Cannot use [calendar_interval] with [fixed_interval] configuration option.",
            )
        self.tz_name = str(self.body.get("time_zone") or "")
        try:
            self.tz = dates.zone(self.tz_name)
        except Problem as problem:
            raise unparsed("date_histogram", "time_zone", problem.detail) from None
        self.form = str(self.body.get("format", ""))
        self.unit = _CALENDAR.get(str(calendar), "") if calendar else ""
        if calendar and not self.unit:
            raise unparsed(
                "date_histogram",
                "calendar_interval",
                f"The supplied interval [{str(calendar)[:40]}] could not be parsed as a calendar interval.",
            )
        try:
            self.step = interval_ms(str(fixed)) if fixed else 0
        except EsError as error:
            raise unparsed("date_histogram", "fixed_interval", error.reason) from None
        offset = str(self.body.get("offset") or "0ms")
        self.offset = (-1 if offset[0] == "-" else 1) * (
            interval_ms(offset.lstrip("+-")) if offset.strip("+-") not in {"0ms", "0", "0s"} else 0
        )
        self.least = int(self.body.get("min_doc_count", 0))
        self.order = read_order(self.body.get("order", {"_key": "asc"}))
        self._memo: dict[int, int] = {}
        self._starts: dict[int, int] = {}

    def keys(self, row: Row) -> list[int]:
        if self.field == "@timestamp":
            return [self.floor(row.time_us // 1000)]
        return [self.floor(int(value)) for value in numbers(self, row)]

    def grain(self) -> Grain | None:
        if self.field != "@timestamp" or self.unit == "s":
            return None
        if self.unit or self.tz is not dt.UTC:
            # Zones are a multiple of a quarter of an hour from UTC, at all times that logs are from.
            return Grain(math.gcd(60_000 if self.unit == "m" else 900_000, self.step, self.offset) * 1000)
        return Grain(math.gcd(self.step, self.offset) * 1000)

    def floor(self, ms: int) -> int:
        """The start of the step that holds the millisecond."""
        ms -= self.offset
        if not self.unit and self.tz is dt.UTC:
            return ms // self.step * self.step + self.offset
        # Offsets of zones and starts of units change at whole minutes only.
        minute = ms // 60_000
        known = self._memo.get(minute)
        if known is None:
            at = minute * 60.0
            if self.unit:
                known = round(dates.floor(at, self.unit, self.tz) * 1000)
            else:
                gap = dt.datetime.fromtimestamp(at, self.tz).utcoffset() or dt.timedelta()
                known = round(gap.total_seconds() * 1000)
            self._memo[minute] = known
        if self.unit == "s":
            return ms // 1000 * 1000 + self.offset
        if not self.unit:
            known = self._utc((ms + known) // self.step * self.step)
        return known + self.offset

    def _utc(self, local_ms: int) -> int:
        """The instant at which the zone's clock shows the time."""
        known = self._starts.get(local_ms)
        if known is None:
            shown_time = dt.datetime.fromtimestamp(local_ms / 1000, dt.UTC).replace(tzinfo=self.tz)
            known = self._starts[local_ms] = round(shown_time.timestamp() * 1000)
        return known

    def next(self, ms: int) -> int:
        """The start of the step behind this one."""
        if not self.unit:
            if self.tz is dt.UTC:
                return ms + self.step
            gap = dt.datetime.fromtimestamp((ms - self.offset) / 1000, self.tz).utcoffset() or dt.timedelta()
            return self._utc(ms - self.offset + round(gap.total_seconds() * 1000) + self.step) + self.offset
        unit, count = ("M", 3) if self.unit == "q" else (self.unit, 1)
        return round(dates.shift((ms - self.offset) / 1000, count, unit, self.tz) * 1000) + self.offset

    def result(self, state: dict[int, Bucket]) -> dict[str, Any]:
        bounds = self._bounds(self.body.get("hard_bounds"))
        if bounds:
            low, high = map(self.floor, bounds)
            # As there: from the step of the lower bound to that of the upper one, which is left out.
            state = {k: b for k, b in state.items() if low <= k < high}
        keys = sorted(state)
        if self.least == 0:
            keys = self._filled(keys)
        found = [(key, state.get(key) or Bucket(self.subs)) for key in keys]
        found = [(key, bucket) for key, bucket in found if bucket.count >= self.least]
        buckets = [
            {
                "key_as_string": write_date(key, self.form, self.tz_name),
                "key": key,
                **bucket.write(self.subs),
            }
            for key, bucket in found
        ]
        buckets = ordered(buckets, self.order)
        pipelines.apply(self.subs, buckets)
        if self.body.get("keyed"):
            return {"buckets": {one["key_as_string"]: one for one in buckets}}
        return {"buckets": buckets}

    def _filled(self, keys: list[int]) -> list[int]:
        ends = self._bounds(self.body.get("extended_bounds"))
        low, high = (keys[0], keys[-1]) if keys else (None, None)
        if ends:
            # Elasticsearch rounds the bounds first and moves them by the offset then.
            first, last = (self.floor(end + self.offset) for end in ends)
            low = first if low is None else min(low, first)
            high = last if high is None else max(high, last)
        if low is None or high is None:
            return []
        filled = [low]
        while filled[-1] < high:
            filled.append(self.next(filled[-1]))
            if len(filled) > MOST_BUCKETS:
                raise too_many_buckets()
        return filled

    def _bounds(self, spec: Any) -> tuple[int, int] | None:
        if not isinstance(spec, dict):
            return None
        ends: list[int] = []
        for name in ("min", "max"):
            given = spec.get(name)
            if isinstance(given, int):
                ends.append(given)
                continue
            seconds = dates.parse_bound(shown(given), self.now, tz=self.tz)
            if seconds is None:
                raise bad_date(shown(spec.get(name)))
            ends.append(round(seconds * 1000))
        if ends[0] > ends[1]:
            raise illegal(f"[extended_bounds.min][{ends[0]}] cannot be greater than [max][{ends[1]}]")
        return ends[0], ends[1]


class Histogram(Keyed):
    """`histogram` of numbers."""

    def setup(self) -> None:
        need_field(self)
        self.step = float(self.body.get("interval") or 0)
        if self.step <= 0:
            why = "[interval] must be >0 for histogram aggregation [histogram]"
            raise unparsed("histogram", "interval", why) if "interval" in self.body else illegal(why)
        self.offset = float(self.body.get("offset", 0))
        self.least = int(self.body.get("min_doc_count", 0))
        self.order = read_order(self.body.get("order", {"_key": "asc"}))

    def grain(self) -> Grain | None:
        return self.values_grain()

    def keys(self, row: Row) -> list[float]:
        return [
            math.floor((v - self.offset) / self.step) * self.step + self.offset for v in numbers(self, row)
        ]

    def result(self, state: dict[float, Bucket]) -> dict[str, Any]:
        keys = sorted(state)
        bounds = self.body.get("extended_bounds")
        if self.least == 0 and (keys or bounds):
            low = math.floor(
                (min([*keys[:1], *([float(bounds["min"])] if bounds else [])]) - self.offset) / self.step
            )
            high = math.floor(
                (max([*keys[-1:], *([float(bounds["max"])] if bounds else [])]) - self.offset) / self.step
            )
            if high - low > MOST_BUCKETS:
                raise too_many_buckets()
            keys = [i * self.step + self.offset for i in range(low, high + 1)]
        form = str(self.body.get("format") or "")
        buckets = [
            {
                **({"key_as_string": number_text(key, form)} if form else {}),
                "key": key,
                **(state.get(key) or Bucket(self.subs)).write(self.subs),
            }
            for key in keys
        ]
        buckets = ordered([one for one in buckets if one["doc_count"] >= self.least], self.order)
        pipelines.apply(self.subs, buckets)
        return {"buckets": {str(b["key"]): b for b in buckets} if self.body.get("keyed") else buckets}


class Terms(Keyed):
    """`terms`: the commonest values."""

    def setup(self) -> None:
        need_field(self)
        self.size = int(self.body.get("size", 10))
        self.least = int(self.body.get("min_doc_count", 1))
        self.order = read_order(self.body.get("order", {"_count": "desc"}))
        for path, _ in self.order:
            first = re.split(r"[.>]", path)[0].strip()
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
        pipelines.apply(self.subs, buckets)
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
