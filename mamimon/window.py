"""The time window that a page or an API call asks for: `since=1h`, or `start=` and `end=`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import msgspec

from mamimon.problems import bad_input

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_NOW = re.compile(r"now(?:-(\d{1,7}[smhdw]))?(?:/([hdwMy]))?")
_LONGEST_S = 3700 * 86_400.0
_OFFERED = ("5m", "15m", "1h", "6h", "24h", "7d")


class Window(msgspec.Struct, frozen=True):
    """`[start, end)` in epoch seconds; `since` is the relative form it came from, or empty."""

    start: float
    end: float
    since: str = ""

    def step(self, points: int = 120) -> float:
        """The smallest round number of seconds that cuts the window into at most `points` steps."""
        raw = (self.end - self.start) / points
        return float(next((step for step in _STEPS if step >= raw), _STEPS[-1] * (1 + raw // _STEPS[-1])))

    def query(self) -> str:
        """The window as the query string that reads back as it."""
        return f"since={self.since}" if self.since else f"start={self.start:.3f}&end={self.end:.3f}"


def read_window(query: Mapping[str, str], now: float, default: str = "1h") -> Window:
    """The window of a query string; a value that cannot be read raises `BAD_INPUT` naming it."""
    if query.get("start") or query.get("end"):
        zone = _zone(query.get("tz", ""))
        end = instant(query.get("end", ""), now, zone, last=True) if query.get("end") else now
        start = instant(query["start"], now, zone) if query.get("start") else end - seconds(default)
        if not 0 < end - start <= _LONGEST_S:
            raise bad_input("start must lie before end, by ten years at most")
        return Window(start, end)
    since = query.get("since") or default
    # The present millisecond belongs to it: what was stored just now must be seen.
    return Window(now - seconds(since), now + 0.001, since)


def fitting(oldest: float | None, now: float, most: str = "1h") -> str:
    """The shortest length offered by the pages that reaches back to `oldest`, at most `most`.

    A page that opens on a server of a few minutes would show an empty hour otherwise.
    """
    if oldest is None:
        return most
    reach = min(now - oldest, seconds(most))
    return next((length for length in _OFFERED if reach <= seconds(length) < seconds(most)), most)


def seconds(text: str) -> float:
    """A duration such as `90s`, `15m` or `7d` in seconds."""
    found = re.fullmatch(r"(\d{1,7})([smhdw])", text.strip())
    value = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < value <= _LONGEST_S:
        raise bad_input(f"{text[:40]!r} is not a duration", "write it as 15m, 1h or 7d")
    return float(value)


def instant(text: str, now: float, zone: dt.tzinfo = dt.UTC, *, last: bool = False) -> float:
    """An instant in epoch seconds from `now`, `now-1h`, `now-1d/d`, epoch seconds or ISO 8601.

    `/d` is the beginning of that day in `zone`, or its end where `last` is set; so with `/h`, `/w`, `/M` and
    `/y`. A time without a zone of its own is in `zone`.
    """
    text = text.strip()
    if text.startswith("now"):
        found = _NOW.fullmatch(text)
        if found is None:
            raise bad_input(f"{text[:40]!r} is not a time", "write now, now-1h or now-1d/d")
        at = now - seconds(found[1]) if found[1] else now
        return _rounded(at, found[2], zone, last) if found[2] else at
    try:
        value = float(text)
    except ValueError:
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            raise bad_input(f"{text[:40]!r} is not a time", "write epoch seconds or ISO 8601") from None
        value = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    if not 0 <= value <= 32_503_680_000:
        raise bad_input(f"{text[:40]!r} is not a time between 1970 and 3000")
    return value


def _zone(name: str) -> dt.tzinfo:
    if not name:
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise bad_input(f"{name[:60]!r} is not a time zone", "write it as Europe/Istanbul or UTC") from None


def _rounded(at: float, unit: str, zone: dt.tzinfo, last: bool) -> float:
    """The beginning of the unit that `at` lies in, or of the next one."""
    moment = dt.datetime.fromtimestamp(at, zone).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    if unit != "h":
        moment = moment.replace(hour=0)
    match unit:
        case "w":
            moment -= dt.timedelta(days=moment.weekday())
        case "M":
            moment = moment.replace(day=1)
        case "y":
            moment = moment.replace(month=1, day=1)
    if last:
        # Far enough to be in the next one, whatever the month or a clock change makes of it.
        step = {"h": 1, "d": 24, "w": 7 * 24, "M": 31 * 24, "y": 366 * 24}[unit]
        moment += dt.timedelta(hours=step)
        moment = {"M": moment.replace(day=1), "y": moment.replace(month=1, day=1)}.get(unit, moment)
    return moment.replace(tzinfo=zone).timestamp()
