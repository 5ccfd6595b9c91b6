"""When a disk will be full."""

from __future__ import annotations

import pytest

from mamimon.health.trend import Trend

pytestmark = pytest.mark.feature("H1")
GIB = 2.0**30


def grown(rate_per_hour: float, hours: float, drop_at: float | None = None) -> Trend:
    """A trend of `hours` with a point a minute; at `drop_at` a log of 3 GiB is rotated away."""
    trend = Trend()
    for minute in range(int(hours * 60) + 1):
        used = 10 * GIB + rate_per_hour * minute / 60
        if drop_at is not None and minute / 60 >= drop_at:
            used -= 3 * GIB
        trend.add(minute * 60.0, used)
    return trend


def test_steady_growth() -> None:
    """1 GiB an hour fills the 8 GiB that are left after 2 hours in 8 hours."""
    assert grown(GIB, 2).full_in_s(20 * GIB) == pytest.approx(8 * 3600, rel=0.01)


def test_a_rotated_log_does_not_turn_the_trend_around() -> None:
    """The rate stays 1 GiB an hour although 3 GiB went at once."""
    assert grown(GIB, 8, drop_at=6).full_in_s(20 * GIB) == pytest.approx(5 * 3600, rel=0.35)


def test_nothing_is_foretold_too_early_or_of_what_shrinks() -> None:
    """Twenty minutes are too few, and what stays or shrinks never fills."""
    assert grown(GIB, 0.3).full_in_s(20 * GIB) is None
    assert grown(0, 3).full_in_s(20 * GIB) is None
    assert grown(-GIB, 3).full_in_s(20 * GIB) is None


def test_a_clock_that_is_set_back_starts_anew() -> None:
    """Points of the future are of no use."""
    trend = grown(GIB, 3)
    trend.add(0.0, 10 * GIB)
    assert trend.full_in_s(20 * GIB) is None
