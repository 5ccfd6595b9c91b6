"""`date_histogram` and `histogram`: rows divided by steps of time and of numbers."""

from __future__ import annotations

import datetime as dt
import math
from functools import partial
from typing import Any

from mamimon.logs import dates
from mamimon.logs.clauses import Row
from mamimon.logs.dateformat import read_date, write_date
from mamimon.logs.store.tally import Grain
from mamimon.logs.text import shown
from mamimon.logs.wire.elasticsearch import pipelines, rates
from mamimon.logs.wire.elasticsearch.aggregations import (
    MOST_BUCKETS,
    Bucket,
    interval_ms,
    need_field,
    number_text,
    numbers,
)
from mamimon.logs.wire.elasticsearch.bounds import Bounds, check_inside, number_end, read_bounds
from mamimon.logs.wire.elasticsearch.buckets import Keyed, ordered, read_order, too_many_buckets
from mamimon.logs.wire.elasticsearch.errors import EsError, bad_date, illegal, unparsed
from mamimon.problems import Problem

_CALENDAR = {
    "minute": "m", "1m": "m", "hour": "h", "1h": "h", "day": "d", "1d": "d", "week": "w", "1w": "w",
    "month": "M", "1M": "M", "quarter": "q", "1q": "q", "year": "y", "1y": "y", "second": "s", "1s": "s",
}  # fmt: skip


class DateHistogram(Keyed):
    """`date_histogram`: fixed or calendar steps, in a time zone, empty steps filled in."""

    timed = True

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
        self.extended, self.hard = self._bounds("extended_bounds"), self._bounds("hard_bounds")
        check_inside(self.extended, self.hard)

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
        if self.hard is not None:
            # As there: the start of a step, offset and all, beside the bounds' steps without it.
            low, high = self.hard.low, self.hard.high
            state = {
                k: b for k, b in state.items() if (low is None or low <= k) and (high is None or k < high)
            }
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
        if self.subs:
            for one in buckets:
                rates.divide(self.subs, one, self.next(one["key"]) - one["key"], self.unit)
        buckets = ordered(buckets, self.order)
        pipelines.apply(self.subs, buckets)
        if self.body.get("keyed"):
            return {"buckets": {one["key_as_string"]: one for one in buckets}}
        return {"buckets": buckets}

    def _filled(self, keys: list[int]) -> list[int]:
        # Elasticsearch rounds the bounds first and moves them by the offset then.
        bounds = (self.extended or Bounds()).moved(lambda end: end + self.offset)
        ends = bounds.around(list(keys))
        if ends is None:
            return []
        filled = [int(ends[0])]
        while filled[-1] < ends[1]:
            filled.append(self.next(filled[-1]))
            if len(filled) > MOST_BUCKETS:
                raise too_many_buckets()
        return filled

    def _bounds(self, name: str) -> Bounds | None:
        """Bounds as the starts of the steps that hold them, were there no offset."""
        given = read_bounds("date_histogram", name, self.body.get(name), self._end)
        if given is None:
            return None
        if given.low is not None and given.high is not None and given.low > given.high:
            raise illegal(
                f"[{name}.min][{given.low:.0f}] cannot be greater than [{name}.max][{given.high:.0f}]"
            )
        return given.moved(lambda end: self.floor(int(end) + self.offset) - self.offset)

    def _end(self, given: Any) -> float:
        if isinstance(given, int):
            return given
        reader = partial(read_date, form=self.form, tz=self.tz) if self.form else None
        seconds = dates.parse_bound(shown(given), self.now, tz=self.tz, read=reader)
        if seconds is None:
            raise bad_date(shown(given), self.form)
        return round(seconds * 1000)


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
        self.extended, self.hard = self._bounds("extended_bounds"), self._bounds("hard_bounds")
        check_inside(self.extended, self.hard)

    def _bounds(self, name: str) -> Bounds | None:
        given = read_bounds("histogram", name, self.body.get(name), number_end("histogram", name))
        if given and given.low is not None and given.high is not None and given.low > given.high:
            raise unparsed("histogram", name, f"max bound [{given.high}] must be greater than min bound")
        return given

    def grain(self) -> Grain | None:
        return self.values_grain()

    def keys(self, row: Row) -> list[float]:
        return [
            math.floor((v - self.offset) / self.step) * self.step + self.offset for v in numbers(self, row)
        ]

    def result(self, state: dict[float, Bucket]) -> dict[str, Any]:
        if self.hard is not None:
            # The bounds are beside steps without their offset, as there, and both belong to it.
            low, high = self.hard.low, self.hard.high
            starts = {key: round((key - self.offset) / self.step) * self.step for key in state}
            state = {
                k: b
                for k, b in state.items()
                if (low is None or low <= starts[k]) and (high is None or starts[k] <= high)
            }
        keys = sorted(state)
        ends = (self.extended or Bounds()).around(keys)
        if self.least == 0 and ends is not None:
            first, last = (math.floor((end - self.offset) / self.step) for end in ends)
            if last - first > MOST_BUCKETS:
                raise too_many_buckets()
            keys = [i * self.step + self.offset for i in range(first, last + 1)]
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
