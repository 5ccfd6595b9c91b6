"""The time that a line begins with, in the forms that programs write.

Sources: ISO 8601; RFC 3164; Python's and Java's logging; nginx, Apache, PHP, MySQL, PostgreSQL, Spark and
glog; multilog's TAI64N; epoch numbers. A time without a zone is in the zone that the caller names.
"""

from __future__ import annotations

import datetime as dt
import re

from mamimon.logs.wire.local_time import nearest

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(MONTHS)
_CLOCK = r"(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_HOURS = {
    "Z": 0, "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "TRT": 3, "MSK": 3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11,
}  # fmt: skip
_NAMED = "|".join(sorted(_HOURS, key=len, reverse=True))
_ZONE = rf"(?: ?(?P<z>[+-]\d\d:?\d\d|{_NAMED})(?![A-Za-z0-9]))?"
_TIGHT = r"(?P<h>\d\d):?(?P<m>\d\d):?(?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?"
_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?"
_FORMS = [
    re.compile(form)
    for form in (
        rf"(?P<Y>\d{{4}})[-/](?P<M>\d\d)[-/](?P<D>\d\d)[T ] ?{_CLOCK}{_ZONE}",
        rf"(?P<N>{_MONTH}) {{1,2}}(?P<D>\d{{1,2}})(?: (?P<Y>\d{{4}}))? {_CLOCK}{_ZONE}",
        rf"{_WEEKDAY} (?P<N>{_MONTH}) {{1,2}}(?P<D>\d{{1,2}}) {_CLOCK}{_ZONE} (?P<Y>\d{{4}})",
        rf"(?P<D>\d\d)[-/ ](?P<N>{_MONTH})[-/ ](?P<Y>\d{{4}})[: ]{_CLOCK}{_ZONE}",
        rf"(?P<y>\d\d)/(?P<M>\d\d)/(?P<D>\d\d) {_CLOCK}{_ZONE}",
        rf"(?P<M>\d{{1,2}})/(?P<D>\d{{1,2}})/(?P<Y>\d{{4}}),? {_CLOCK}(?: ?(?P<p>[AP]M))?{_ZONE}",
        rf"(?P<D>\d\d)\.(?P<M>\d\d)\.(?P<Y>\d{{4}}) {_CLOCK}{_ZONE}",
        rf"(?P<Y>\d{{4}})(?P<M>\d\d)(?P<D>\d\d)[.T -]{_TIGHT}{_ZONE}",
        rf"(?P<y>\d\d)(?P<M>\d\d)(?P<D>\d\d) {{1,2}}{_CLOCK}",
        rf"(?P<Y>\d{{4}})-(?P<j>\d{{3}})[T ]{_CLOCK}{_ZONE}",
    )
]
_GLOG = re.compile(r"[IWEFD](?P<M>\d\d)(?P<D>\d\d) {1,2}" + _CLOCK)
_EPOCH = re.compile(r"(\d{10}|\d{13}|\d{16}|\d{19})(?:\.(\d{1,9}))?(?=[\s:\]|]|$)")
_TAI = re.compile(r"@4([0-9a-f]{15})([0-9a-f]{8})(?=\s|$)")
_BEFORE = re.compile(r"[\[\"(]?")


def leading(text: str, zone: dt.tzinfo | None, reference: float) -> tuple[float, int] | None:
    """Epoch seconds of the time that the text begins with, and where the rest begins; None without one.

    `reference` is when the file was written last: a date without a year is the latest one that is at
    most a day after it. Brackets or quotes around the time belong to it.
    """
    opened = _BEFORE.match(text)
    start = opened.end() if opened else 0
    found = _read(text, start, zone, reference)
    if found is None:
        return None
    seconds, end = found
    if start and text[end : end + 1] in {"]", '"', ")"}:
        end += 1
    while text[end : end + 1] in {" ", "\t", ":"}:
        end += 1
    return seconds, end


def _read(text: str, start: int, zone: dt.tzinfo | None, reference: float) -> tuple[float, int] | None:
    first = text[start : start + 1]
    if not first or (first not in "@IWEFD" and not first.isdigit() and first not in "JFMASONDTW"):
        return None
    for form in _FORMS:
        if found := form.match(text, start):
            seconds = _seconds(found, zone, reference)
            if seconds is not None:
                return seconds, found.end()
    if found := _GLOG.match(text, start):
        seconds = _seconds(found, zone, reference)
        return None if seconds is None else (seconds, found.end())
    if found := _EPOCH.match(text, start):
        whole = found[1]
        value = int(whole) / 10 ** (len(whole) - 10) + (float("0." + found[2]) if found[2] else 0.0)
        return (value, found.end()) if 1e9 <= value < 4e9 else None
    if found := _TAI.match(text, start):
        # TAI was 10 seconds ahead of UTC when counting began; the leap seconds since are multilog's too.
        return int(found[1], 16) - 10 + int(found[2], 16) / 1e9, found.end()
    return None


def _seconds(found: re.Match[str], zone: dt.tzinfo | None, reference: float) -> float | None:
    parts = found.groupdict()
    year = int(parts["Y"]) if parts.get("Y") else None
    if parts.get("y"):
        year = 2000 + int(parts["y"])
    month = MONTHS.index(parts["N"]) + 1 if parts.get("N") else int(parts.get("M") or 1)
    day = int(parts.get("D") or 1)
    hour = int(parts["h"])
    if parts.get("p"):
        hour = hour % 12 + (12 if parts["p"] == "PM" else 0)
    fraction = parts.get("f")
    rest = int(fraction) / 10 ** len(fraction) if fraction else 0.0
    name = parts.get("z")
    tz = _offset(name) if name else zone
    clock = (hour, int(parts["m"]), min(int(parts["s"]), 59))
    if year is None:
        return _latest(month, day, clock, rest, tz, reference)
    try:
        moment = dt.datetime(year, month, day, *clock)  # noqa: DTZ001 - `nearest` knows the zone
    except ValueError:
        return None
    if parts.get("j"):
        moment += dt.timedelta(days=int(parts["j"]) - 1)
    return nearest(moment, tz, reference) + rest


def _latest(
    month: int, day: int, clock: tuple[int, int, int], rest: float, tz: dt.tzinfo | None, reference: float
) -> float | None:
    year = dt.datetime.fromtimestamp(reference, dt.UTC).year + 1
    for candidate in range(year, year - 9, -1):
        try:
            moment = dt.datetime(candidate, month, day, *clock)  # noqa: DTZ001 - `nearest` knows the zone
        except ValueError:
            continue
        seconds = nearest(moment, tz, reference) + rest
        if seconds <= reference + 86_400:
            return seconds
    return None


def _offset(name: str) -> dt.tzinfo:
    if name in _HOURS:
        return dt.timezone(dt.timedelta(hours=_HOURS[name]))
    digits = name[1:].replace(":", "")
    gap = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return dt.timezone(-gap if name[0] == "-" else gap)
