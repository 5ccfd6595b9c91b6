"""The time window that pages and calls ask for."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from mamimon.problems import Problem
from mamimon.window import instant, read_window

ISTANBUL = ZoneInfo("Europe/Istanbul")
BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 11, 28, 10, 40, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "zone", "last", "wanted"),
    [
        ("now", dt.UTC, False, "2026-11-28T10:40:00+00:00"),
        ("now-1h", dt.UTC, False, "2026-11-28T09:40:00+00:00"),
        ("now/h", dt.UTC, False, "2026-11-28T10:00:00+00:00"),
        ("now-1d/d", dt.UTC, False, "2026-11-27T00:00:00+00:00"),
        ("now-1d/d", dt.UTC, True, "2026-11-28T00:00:00+00:00"),
        ("now/d", ISTANBUL, False, "2026-11-27T21:00:00+00:00"),
        ("now/w", dt.UTC, False, "2026-11-23T00:00:00+00:00"),
        ("now/M", dt.UTC, True, "2026-12-01T00:00:00+00:00"),
        ("now/y", dt.UTC, True, "2027-01-01T00:00:00+00:00"),
        ("2026-11-28 10:00", ISTANBUL, False, "2026-11-28T07:00:00+00:00"),
        ("2026-11-28T10:00:00Z", ISTANBUL, False, "2026-11-28T10:00:00+00:00"),
    ],
)
def test_instants(text: str, zone: dt.tzinfo, last: bool, wanted: str) -> None:
    """Relative, rounded and absolute times, in the zone of who asks."""
    assert dt.datetime.fromtimestamp(instant(text, NOW, zone, last=last), dt.UTC).isoformat() == wanted


def test_a_day_of_a_clock_change_is_as_long_as_it_is() -> None:
    """The day on which the clocks go back has 25 hours."""
    now = dt.datetime(2026, 10, 25, 12, tzinfo=dt.UTC).timestamp()
    window = read_window({"start": "now/d", "end": "now/d", "tz": "Europe/Berlin"}, now)
    assert window.end - window.start == 25 * 3600


@pytest.mark.parametrize(
    "query",
    [
        {"start": "now-1d/x"},
        {"start": "now+1d"},
        {"start": "now", "tz": "../etc/passwd"},
        {"start": "now", "tz": "Nowhere/There"},
        {"start": "yesterday"},
    ],
)
def test_what_is_no_time_is_refused(query: dict[str, str]) -> None:
    """It raises, naming what cannot be read."""
    with pytest.raises(Problem, match=r"is not a time"):
        read_window(query, NOW)
