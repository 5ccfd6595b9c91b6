"""When a job is expected: by a cron expression and a time zone, read as Debian's cron does (cronsim)."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from mamimon.problems import bad_input


def check(schedule: str, zone: str) -> None:
    """Raise `Problem(BAD_INPUT)` for an expression or a zone that cannot be, or a time that never comes."""
    from cronsim import CronSimError

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise bad_input(f"unknown time zone {zone[:60]!r}", "as in Europe/Istanbul") from None
    try:
        following(schedule, zone, 0.0)
    except CronSimError as error:
        raise bad_input(f"not a cron expression: {error}", "five fields, as in 0 3 * * *") from None
    except StopIteration:
        raise bad_input("this cron expression never comes") from None


def latest(schedule: str, zone: str, until: float) -> float | None:
    """The last time of the schedule at or before an instant; None without one in living memory."""
    from cronsim import CronSim

    # Backwards cronsim looks before its start, so the second that is asked about belongs to it.
    start = dt.datetime.fromtimestamp(until + 60, ZoneInfo(zone))
    for found in CronSim(schedule, start, reverse=True):
        if found.timestamp() <= until:
            return float(found.timestamp())
    return None


def following(schedule: str, zone: str, after: float) -> float:
    """The first time of the schedule after an instant, in epoch seconds."""
    from cronsim import CronSim

    start = dt.datetime.fromtimestamp(after, ZoneInfo(zone))
    return float(next(CronSim(schedule, start)).timestamp())
