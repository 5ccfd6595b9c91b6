"""Dates as Elasticsearch understands them: ISO 8601, epoch numbers, and date math (`now-1h/d`)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo

from mamimon.problems import bad_input

_ISO = re.compile(
    r"^(\d{4})(?:-?(\d{2})(?:-?(\d{2}))?)?"
    r"(?:[T ](\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?)?)?"
    r"\s*(Z|z|[+-]\d{2}(?::?\d{2})?|UTC)?$"
)
_DOTTED = re.compile(r"^(\d{4})[./](\d{1,2})[./](\d{1,2})(?:[T ](.*))?$")
_MATH = re.compile(r"([+-]\d+|/)([yMwdhHms])")
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "H": 3_600, "m": 60, "s": 1}


def zone(name: str) -> dt.tzinfo:
    """A time zone by name (`Europe/Istanbul`) or offset (`+03:00`); an unknown one is `BAD_INPUT`."""
    if not name or name in {"Z", "UTC"}:
        return dt.UTC
    if found := re.fullmatch(r"([+-])(\d{1,2}):?(\d{2})?", name):
        gap = dt.timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return dt.timezone(-gap if found[1] == "-" else gap)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise bad_input(f"unknown time zone {name[:60]}") from None


def parse_iso(text: str, tz: dt.tzinfo = dt.UTC) -> float | None:
    """Epoch seconds of an ISO 8601 date, of any precision down to the year; None where it is none."""
    if len(text) == 24 and text[19] == "." and text[23] == "Z" and (millis := text[20:23]).isdecimal():
        # What most programs write, 2026-11-24T20:41:07.123Z, by way of its second.
        begun = _second(text[:19])
        if begun is not None:
            return begun + int(millis) / 1000
    found = _ISO.match(text)
    if found is None:
        dotted = _DOTTED.match(text)
        if dotted is None:
            return None
        rest = f"T{dotted[4]}" if dotted[4] else ""
        found = _ISO.match(f"{dotted[1]}-{int(dotted[2]):02}-{int(dotted[3]):02}{rest}")
        if found is None:
            return None
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if month is None and len(text) > 4:
        return None
    try:
        moment = dt.datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            min(int(second or 0), 59),
            tzinfo=_offset(offset) if offset else tz,
        )
    except ValueError:
        return None
    return moment.timestamp() + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


@lru_cache(4096)
def _second(text: str) -> float | None:
    return parse_iso(text) if text[4] == text[7] == "-" and text[13] == text[16] == ":" else None


def _offset(text: str) -> dt.tzinfo:
    if text in {"Z", "z", "UTC"}:
        return dt.UTC
    digits = text[1:].replace(":", "")
    gap = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return dt.timezone(-gap if text[0] == "-" else gap)


def epoch(value: float) -> float:
    """Seconds from an epoch number in seconds, milli-, micro- or nanoseconds, told by its size."""
    size = abs(value)
    if size < 1e11:
        return value
    if size < 1e14:
        return value / 1e3
    return value / 1e6 if size < 1e17 else value / 1e9


def parse_time(value: object) -> float | None:
    """Epoch seconds of a time stamp as programs write it (ISO text or an epoch number), or None."""
    if not isinstance(value, str):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return epoch(float(value)) if value > 0 else None
        return None
    if not value:
        return None
    seconds = parse_iso(value)
    if seconds is None and re.fullmatch(r"\d{9,19}(?:\.\d+)?", value):
        seconds = epoch(float(value))
    return seconds


def parse_bound(
    text: str,
    now: float,
    *,
    up: bool = False,
    tz: dt.tzinfo = dt.UTC,
    read: Callable[[str], tuple[float, str] | None] | None = None,
    first_day: bool = False,
) -> float | None:
    """Epoch seconds of a range's end: a date, an epoch number or date math; None where it is none.

    `up` rounds a date of less precision (`2026-11`, `now/d`) to its last millisecond, as `lte` and
    `gt` do. `read` reads dates of another format: the seconds and the finest unit that is named.
    `first_day`: Elasticsearch's ranges round a year or a month to the end of its first day.
    """
    anchor, math = text, ""
    if text.startswith("now"):
        anchor, math = "now", text[3:]
    elif "||" in text:
        anchor, _, math = text.partition("||")
    if anchor == "now":
        seconds: float | None = now
    elif read is not None:
        found = read(anchor)
        if found is not None and found[1] and up and not math:
            return shift(found[0], 1, "d" if first_day and found[1] in "yM" else found[1], tz) - 0.001
        seconds = None if found is None else found[0]
    elif re.fullmatch(r"-?\d{5,19}(\.\d+)?", anchor):
        seconds = float(anchor) / 1e3
    else:
        seconds = parse_iso(anchor, tz)
        if seconds is not None and up and not math:
            return _fill(anchor if not first_day or len(anchor) > 9 else "YYYY-MM-DD", seconds, tz)
    if seconds is None or not math:
        return seconds
    return _calculate(math, seconds, up, tz)


def _fill(text: str, seconds: float, tz: dt.tzinfo) -> float:
    unit = {4: "y", 7: "M", 10: "d", 13: "h", 16: "m", 19: "s"}.get(len(text))
    if unit is None:
        return seconds
    return shift(seconds, 1, unit, tz) - 0.001


def _calculate(math: str, seconds: float, up: bool, tz: dt.tzinfo) -> float | None:
    position = 0
    for found in _MATH.finditer(math):
        if found.start() != position:
            return None
        position = found.end()
        step, unit = found.groups()
        if step == "/":
            seconds = floor(seconds, unit, tz)
            if up:
                seconds = shift(seconds, 1, unit, tz) - 0.001
        else:
            seconds = shift(seconds, int(step), unit, tz)
    return seconds if position == len(math) else None


def shift(seconds: float, count: int, unit: str, tz: dt.tzinfo = dt.UTC) -> float:
    """`count` units later; months and years keep the day of the month where they can, days the clock."""
    if unit in "hHms":
        return seconds + count * _SECONDS[unit]
    moment = dt.datetime.fromtimestamp(seconds, tz)
    try:
        if unit in "dw":
            moved = (moment.replace(tzinfo=None) + dt.timedelta(seconds=count * _SECONDS[unit])).replace(
                tzinfo=tz
            )
        else:
            months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
            year, month = divmod(months, 12)
            last = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
            moved = moment.replace(year=year, month=month + 1, day=min(moment.day, last))
    except (ValueError, OverflowError):
        raise bad_input("date math leaves the calendar") from None
    return moved.timestamp()


def floor(seconds: float, unit: str, tz: dt.tzinfo = dt.UTC) -> float:
    """The start of the unit that holds the instant, in the time zone; weeks start on Monday."""
    moment = dt.datetime.fromtimestamp(seconds, tz)
    if unit == "s":
        return moment.replace(microsecond=0).timestamp()
    if unit == "m":
        return moment.replace(second=0, microsecond=0).timestamp()
    moment = moment.replace(minute=0, second=0, microsecond=0)
    if unit in "hH":
        return moment.timestamp()
    moment = moment.replace(hour=0)
    if unit == "w":
        moment = (moment.replace(tzinfo=None) - dt.timedelta(days=moment.weekday())).replace(tzinfo=tz)
    elif unit == "M":
        moment = moment.replace(day=1)
    elif unit == "q":
        moment = moment.replace(day=1, month=(moment.month - 1) // 3 * 3 + 1)
    elif unit == "y":
        moment = moment.replace(day=1, month=1)
    return moment.timestamp()


def iso(seconds: float) -> str:
    """`2026-11-24T13:45:01.250Z`, as Elasticsearch writes dates."""
    # Rounded first: 1.2499999 must not become .249 because a float is near.
    millis = round(seconds * 1000)
    base = dt.datetime.fromtimestamp(millis // 1000, dt.UTC)
    return f"{base:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03}Z"
