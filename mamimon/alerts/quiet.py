"""Why an alert tells nobody: by what, by whom and until when, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from mamimon.alerts.model import Alert
    from mamimon.alerts.service import Alerting


class Quiet(msgspec.Struct, frozen=True):
    """One thing that keeps an alert quiet; `until` in epoch seconds, None where nobody can know."""

    kind: Literal["silence", "inhibition", "maintenance", "interval"]
    name: str
    """The silence's comment, the alert that hides it, the window, or the interval."""
    by: str = ""
    """Who made the silence or the window."""
    until: float | None = None


def reasons(service: Alerting, alert: Alert) -> list[Quiet]:
    """Everything that keeps an alert quiet now; empty where it is told."""
    dispatcher, routing, now = service.dispatcher, service.routing, service.core.clock.now()
    status = dispatcher.status(alert)
    found = [
        Quiet("silence", one.comment, one.created_by, one.ends_at)
        for one in map(dispatcher.silences.get, status.silenced_by)
    ]
    found += [
        Quiet("inhibition", name)
        for name in sorted({dispatcher.alerts[key].name for key in status.inhibited_by})
    ]
    found += [
        Quiet("maintenance", one.name, one.by, one.until) for one in dispatcher.maintenance(alert.labels, now)
    ]
    muted = [(routing.muted_by(route, now), route) for route in routing.route.match(alert.labels)]
    if muted and all(names for names, _ in muted):
        # Told again as soon as one of its routes is.
        names, route = min(muted, key=lambda one: routing.muted_until(one[1], now) or float("inf"))
        found.append(Quiet("interval", ", ".join(names), until=routing.muted_until(route, now)))
    return found
