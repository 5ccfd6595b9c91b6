"""Check-ins of jobs: the `check_in` item and `/api/<project>/cron/<slug>/<key>/`; they become heartbeats."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mamimon.errors.scrub import scrub_text
from mamimon.errors.values import text

_SLUG = re.compile(r"[a-zA-Z0-9_\-]{1,50}")
_UNITS = {
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
_ACTIONS = {"in_progress": "start", "ok": "", "error": "fail"}


class CheckIn(msgspec.Struct, kw_only=True):
    """A job's report: `action` is that of a ping; the rhythm in seconds or as a cron expression."""

    slug: str
    action: str
    detail: str
    period_s: float = 0.0
    schedule: str = ""
    zone: str = "UTC"
    grace_s: float = 300.0


def read_check_in(raw: dict[str, Any]) -> CheckIn:
    """One check-in; raises `ValueError` for what is none."""
    slug = text(raw.get("monitor_slug"), 60)
    if not _SLUG.fullmatch(slug):
        raise ValueError("a check-in without a monitor's slug")
    status = text(raw.get("status"), 20)
    if status not in _ACTIONS:
        raise ValueError("a check-in's status is in_progress, ok or error")
    made = CheckIn(slug=slug, action=_ACTIONS[status], detail=_detail(raw))
    config = raw.get("monitor_config")
    if isinstance(config, dict):
        _rhythm(made, config)
    return made


def _rhythm(made: CheckIn, config: dict[str, Any]) -> None:
    schedule = config.get("schedule")
    if not isinstance(schedule, dict):
        raise ValueError("a monitor's schedule is an object")
    value = schedule.get("value")
    if schedule.get("type") == "crontab":
        made.schedule = text(value, 200)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:
        made.period_s = value * _UNITS.get(text(schedule.get("unit"), 10), 0)
    if not made.schedule and not made.period_s:
        raise ValueError("a monitor's schedule is a crontab, or a number and a unit")
    made.zone = text(config.get("timezone"), 60) or "UTC"
    margin = config.get("checkin_margin")
    if isinstance(margin, int) and not isinstance(margin, bool) and 0 < margin <= 40_320:
        made.grace_s = margin * 60.0


def _detail(raw: dict[str, Any]) -> str:
    parts = [scrub_text(text(raw.get(key), 400))[:100] for key in ("environment", "release")]
    duration = raw.get("duration")
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        parts.append(f"{duration:g} s")
    return " · ".join(part for part in parts if part)
