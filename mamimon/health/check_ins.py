"""Check-ins of Sentry's cron monitors as heartbeats of the same name."""

from __future__ import annotations

from typing import Protocol

from mamimon.health.heartbeats import Heartbeats
from mamimon.problems import bad_input


class Reported(Protocol):
    """What a check-in says: who, what happened, and how often it is expected (a schedule or seconds)."""

    slug: str
    action: str
    detail: str
    period_s: float
    schedule: str
    zone: str
    grace_s: float


async def take_check_in(heartbeats: Heartbeats, taken: set[str], reported: Reported) -> None:
    """Ping the heartbeat that a monitor stands for; one that is not there is made from its schedule."""
    found = next((beat for beat in heartbeats.all() if beat.name == reported.slug), None)
    if found is None:
        if not reported.schedule and not reported.period_s:
            raise bad_input(
                f"there is no heartbeat named {reported.slug}",
                "make it, or send the monitor's schedule along",
            )
        found = await heartbeats.add(
            reported.slug,
            reported.period_s or 86_400.0,
            reported.grace_s,
            taken,
            schedule=reported.schedule,
            zone=reported.zone,
        )
    await heartbeats.ping(found.id, reported.action, "sentry", reported.detail.encode())
