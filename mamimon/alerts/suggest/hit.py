"""For whom an incident is one: users, endpoints and requests that its error lines name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mamimon.alerts import incidents
from mamimon.logs.query import LogQuery

if TYPE_CHECKING:
    from mamimon.alerts.service import Alerting
    from mamimon.errors.room import ErrorRoom
    from mamimon.logs.room import LogRoom

BEFORE_S = 600.0
MOST = 8
_ERRORS = "level:(ERROR OR CRITICAL)"
# The names that frameworks and our own client use; the first that lines have is taken.
_FIELDS = {
    "endpoints": ("route", "path", "url"),
    "users": ("user_id", "user", "user.id"),
    "requests": ("request_id", "trace_id"),
}


class Named(msgspec.Struct):
    """A value of a field and how many error lines have it."""

    value: str
    count: int


class Hit(msgspec.Struct, kw_only=True):
    """What the error lines from `start` to `end` name; `users_of_errors` counts users in error reports."""

    start: float
    end: float
    endpoints: list[Named]
    users: list[Named]
    requests: list[Named]
    fields: dict[str, str]
    """Which field each of the three was found in."""
    users_of_errors: int


async def hit(service: Alerting, logs: LogRoom, errors: ErrorRoom, incident_id: int) -> Hit:
    """Ask the lines and the error reports of the incident's time; raises `Problem`."""
    incident = await service.core.state.read(lambda raw: incidents.get(raw, incident_id))
    now = service.core.clock.now()
    start, end = incident.started_at - BEFORE_S, min(now + 1, (incident.resolved_at or now) + 60)
    query = LogQuery(text=_ERRORS, start=start, end=end)
    fields: dict[str, str] = {}

    async def ask(what: str) -> list[Named]:
        for field in _FIELDS[what]:
            found = await logs.backend.facet(query, field, MOST)
            if found:
                fields[what] = field
                return [Named(value, count) for value, count in found]
        return []

    endpoints, users, requests, issues = await asyncio.gather(
        ask("endpoints"), ask("users"), ask("requests"), errors.top(start, 20)
    )
    return Hit(
        start=start,
        end=end,
        endpoints=endpoints,
        users=users,
        requests=requests,
        fields=fields,
        users_of_errors=max((one.users for one in issues), default=0),
    )
