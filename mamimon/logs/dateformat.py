"""The date formats that queries name: Java's patterns (`yyyy/MM/dd HH:mm`) and Elasticsearch's names."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

from mamimon.logs.dates import iso, parse_iso, zone
from mamimon.problems import bad_input

_EPOCH = {"epoch_millis": 1000.0, "epoch_second": 1.0}
_NAMED = re.compile(r"(strict_)?(date|basic|year|hour|iso8601|ordinal|week|time|t_time)[a-z_]*")
_PATTERN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|(.)", re.DOTALL)
_WORDS = {"MMM": "%b", "MMMM": "%B", "EEE": "%a", "EEEE": "%A", "E": "%a", "a": "%p"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PARTS = {
    "y": "year",
    "u": "year",
    "M": "month",
    "d": "day",
    "H": "hour",
    "h": "hour",
    "m": "minute",
    "s": "second",
}
_ORDER = "yMdHms"
_CYCLE_MS = 146_097 * 86_400_000
_FAR_MS = 20 * _CYCLE_MS


def read_date(text: str, form: str, tz: dt.tzinfo = dt.UTC) -> tuple[float, str] | None:
    """Epoch seconds of `text` by one of the formats (joined by `||`), and the finest unit it names.

    The unit is one of `y M d H m s`, or empty where nothing is left to round; None where no format
    fits. A pattern letter that is not known is `BAD_INPUT`.
    """
    for part in form.split("||"):
        if part in _EPOCH:
            if re.fullmatch(r"-?\d{1,19}(\.\d{1,9})?", text):
                return float(text) / _EPOCH[part], ""
        elif _NAMED.fullmatch(part):
            seconds = parse_iso(text, tz)
            if seconds is not None:
                return seconds, {4: "y", 7: "M", 10: "d", 13: "H", 16: "m", 19: "s"}.get(len(text), "")
        elif (found := _by_pattern(text, part, tz)) is not None:
            return found
    return None


def _by_pattern(text: str, pattern: str, tz: dt.tzinfo) -> tuple[float, str] | None:
    expression, finest = _compiled(pattern)
    found = expression.fullmatch(text)
    if found is None:
        return None
    parts = found.groupdict()
    offset = parts.get("zone")
    month = parts.get("month") or "1"
    hour = int(parts.get("hour") or 0)
    if half := parts.get("half"):
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    try:
        moment = dt.datetime(
            int(parts.get("year") or 1970),
            int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1,
            int(parts.get("day") or 1),
            hour,
            int(parts.get("minute") or 0),
            int(parts.get("second") or 0),
            tzinfo=zone("" if offset in {"Z", "z"} else offset) if offset else tz,
        )
    except ValueError:
        return None
    fraction = parts.get("fraction")
    return moment.timestamp() + (int(fraction) / 10 ** len(fraction) if fraction else 0.0), finest


@lru_cache(64)
def _compiled(pattern: str) -> tuple[re.Pattern[str], str]:
    parts: list[str] = []
    finest = ""
    for found in _PATTERN.finditer(pattern):
        quoted, letter, other = found[1], found[2], found[3]
        if letter is None:
            parts.append(re.escape((quoted or "'").replace("''", "'") if other is None else other))
            continue
        width = len(found[0])
        if letter in _PARTS:
            name = _PARTS[letter]
            if letter == "M" and width > 2:
                parts.append(r"(?P<month>[A-Za-z]+)")
            elif letter in "yu":
                parts.append(r"(?P<year>\d{4})" if width != 2 else r"(?P<year>\d{2})")
            else:
                parts.append(rf"(?P<{name}>\d{{1,2}})" if width == 1 else rf"(?P<{name}>\d{{{width}}})")
            unit = {"u": "y", "h": "H"}.get(letter, letter)
            if not finest or _ORDER.index(unit) > _ORDER.index(finest):
                finest = unit
        elif letter == "S":
            parts.append(rf"(?P<fraction>\d{{{width}}})")
        elif letter in "XxZz":
            parts.append(r"(?P<zone>Z|[+-]\d{2}:?(?:\d{2})?|[A-Za-z_]+(?:/[A-Za-z_]+)?)")
        elif letter in "Ea":
            parts.append(r"(?P<half>[AaPp][Mm])" if letter == "a" else r"[A-Za-z]+")
        else:
            raise bad_input(f"Invalid format: [{pattern[:80]}]: Unknown pattern letter: {letter}")
    try:
        return re.compile("".join(parts)), "" if "S" in pattern and "fraction" in "".join(parts) else finest
    except re.error:
        raise bad_input(f"Invalid format: [{pattern[:80]}]") from None


def _year(number: int) -> str:
    """A year as Java writes it: with its sign where it has more than four digits."""
    return f"{number:04}" if 0 <= number <= 9999 else f"{number:+05}"


def write_date(ms: float, form: str, tz_name: str = "") -> str:
    """A date as the first of the formats shows it; without one as Elasticsearch's default does."""
    first = form.split("||", maxsplit=1)[0]
    if first == "epoch_millis":
        return str(int(ms))
    if first == "epoch_second":
        return str(int(ms // 1000))
    if not 0 <= ms < _FAR_MS:
        # A sum of dates is no date of Python's calendar, which repeats after 400 years.
        cycles, near = divmod(int(ms), _CYCLE_MS)
        return re.sub(
            r"\d{4}", lambda y: _year(int(y[0]) + 400 * cycles), write_date(near, form, tz_name), count=1
        )
    moment = dt.datetime.fromtimestamp(ms / 1000, zone(tz_name))
    if not first or first.startswith(
        ("strict_date_optional", "date_optional", "date_time", "strict_date_time", "iso8601")
    ):
        return moment.isoformat(timespec="milliseconds") if moment.utcoffset() else iso(ms / 1000)
    named = {"date": "yyyy-MM-dd", "basic_date": "yyyyMMdd", "year": "yyyy", "year_month": "yyyy-MM"}
    first = named.get(first.removeprefix("strict_"), first)
    return "".join(_written(found, moment, int(ms) % 1000) for found in _PATTERN.finditer(first))


def _written(found: re.Match[str], moment: dt.datetime, millis: int) -> str:
    quoted, letter, other = found[1], found[2], found[3]
    if letter is None:
        return (quoted or "'").replace("''", "'") if other is None else other
    token, width = found[0], len(found[0])
    if token in _WORDS:
        return moment.strftime(_WORDS[token])
    if letter in "yu":
        return f"{moment.year % 100:02}" if width == 2 else f"{moment.year:0{width}}"
    if letter == "h":
        return f"{moment.hour % 12 or 12:0{width}}"
    if letter in _PARTS:
        return f"{getattr(moment, _PARTS[letter]):0{width}}"
    if letter == "S":
        return f"{millis:03}".ljust(width, "0")[:width]
    if letter in "XxZz":
        offset = moment.strftime("%z")
        if letter == "X" and not moment.utcoffset():
            return "Z"
        return f"{offset[:3]}:{offset[3:]}" if width in {3, 5} or letter == "z" else offset
    return token
