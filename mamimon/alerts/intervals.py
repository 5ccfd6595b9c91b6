"""Time intervals of alertmanager.yml: when routes are muted or active."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from mamimon.problems import bad_input

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = tuple(name.lower() for name in calendar.month_name)[1:]
_KEYS = {"times", "weekdays", "days_of_month", "months", "years", "location"}

Range = tuple[int, int]


class Interval(msgspec.Struct, frozen=True):
    """All given parts must contain the instant, seen in `zone`; ranges include both ends."""

    times: tuple[Range, ...] = ()
    """Minutes of the day, the end not included."""
    weekdays: tuple[Range, ...] = ()
    """Monday is 0."""
    days: tuple[Range, ...] = ()
    """Days of the month; negative ones count from its end."""
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    zone: str = "UTC"

    def contains(self, now: float) -> bool:
        """Whether an instant lies in the interval."""
        at = dt.datetime.fromtimestamp(now, ZoneInfo(self.zone))
        minute = at.hour * 60 + at.minute
        last = calendar.monthrange(at.year, at.month)[1]
        days = [tuple(day if day > 0 else last + 1 + day for day in one) for one in self.days]
        return (
            (not self.times or any(start <= minute < end for start, end in self.times))
            and _within(at.weekday(), self.weekdays)
            and _within(at.day, [(max(1, one[0]), min(last, one[1])) for one in days])
            and _within(at.month, self.months)
            and _within(at.year, self.years)
        )

    def edges(self, now: float, days: int) -> Iterator[float]:
        """The instants after `now`, of so many local days, at which the answer may change."""
        zone = ZoneInfo(self.zone)
        today = dt.datetime.fromtimestamp(now, zone).date()
        minutes = sorted({0, *(minute % 1440 for one in self.times for minute in one)})
        for number in range(days):
            day = today + dt.timedelta(days=number)
            for minute in minutes:
                at = dt.datetime.combine(day, dt.time(minute // 60, minute % 60), zone).timestamp()
                if at > now:
                    yield at


def _within(value: int, ranges: Sequence[Range]) -> bool:
    return not ranges or any(start <= value <= end for start, end in ranges)


def read(raw: Mapping[str, Any]) -> Interval:
    """An interval as alertmanager.yml has it; raises `Problem(BAD_INPUT)`."""
    unknown = set(raw) - _KEYS - {"__line__"}
    if unknown:
        raise bad_input(f"unknown field {sorted(unknown)[0]!r} in a time interval")
    zone = str(raw.get("location") or "UTC")
    try:
        ZoneInfo(zone) if zone != "Local" else None
    except (KeyError, ValueError, OSError):
        raise bad_input(f"unknown location {zone[:60]!r}") from None
    if zone == "Local":
        raise bad_input("location Local is not supported", "name the zone, as in Europe/Istanbul")
    return Interval(
        times=tuple(
            (_minute(one.get("start_time")), _minute(one.get("end_time"))) for one in raw.get("times") or []
        ),
        weekdays=tuple(_range(one, _DAYS, 0, 6) for one in raw.get("weekdays") or []),
        days=tuple(_range(one, (), -31, 31) for one in raw.get("days_of_month") or []),
        months=tuple(_range(one, _MONTHS, 1, 12) for one in raw.get("months") or []),
        years=tuple(_range(one, (), 0, 9999) for one in raw.get("years") or []),
        zone=zone,
    )


def _minute(text: Any) -> int:
    found = re.fullmatch(r"(\d\d):(\d\d)", str(text))
    # YAML 1.1 reads an unquoted 09:30 as sixty-based 570, which is the number of minutes we want.
    value = text if isinstance(text, int) else (int(found[1]) * 60 + int(found[2]) if found else -1)
    if not 0 <= value <= 1440:
        raise bad_input(f"not a time of day: {str(text)[:20]!r}", "write it like 09:30")
    return value


def _range(text: Any, names: Sequence[str], low: int, high: int) -> Range:
    parts = [part.strip().lower() for part in str(text).split(":")]
    values = []
    for part in parts:
        if part in names:
            values.append(names.index(part) + (1 if low == 1 else 0))
        elif re.fullmatch(r"-?\d+", part) and names is not _DAYS:
            values.append(int(part))
        else:
            raise bad_input(f"not a range: {str(text)[:40]!r}")
    if len(values) not in {1, 2} or not all(low <= value <= high for value in values):
        raise bad_input(f"not a range: {str(text)[:40]!r}")
    start, end = values[0], values[-1]
    if end < start and (start > 0) == (end > 0):
        raise bad_input(f"the range ends before it starts: {str(text)[:40]!r}")
    return start, end
