"""Times of day without an offset: which instant a clock on the wall meant."""

from __future__ import annotations

import datetime as dt


def nearest(naive: dt.datetime, zone: dt.tzinfo | None, now: float) -> float:
    """Epoch seconds of a wall clock's time in `zone` (None: this machine's).

    In the hour that is told twice when summer time ends, the one that is nearer to `now`.
    """
    try:
        both = [naive.replace(fold=fold, tzinfo=zone).timestamp() for fold in (0, 1)]
    except (ValueError, OverflowError):  # the first and last days of the calendar
        return naive.replace(tzinfo=dt.UTC).timestamp()
    return min(both, key=lambda seconds: abs(seconds - now))
