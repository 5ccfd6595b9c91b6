"""Storms: of hundreds of incidents at once people get a few messages and one that sums up the rest.

Grouping makes one message of one alert name; this is for many names at once, as when a whole network goes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection

from mamimon.alerts import incidents, notification_store
from mamimon.alerts.model import Message, Notification
from mamimon.alerts.routing import Target

BURST = 8
WINDOW_S = 60.0
NAMED = 20
# Programs take every message; people do not.
FOR_PEOPLE = {"email", "slack", "apprise"}


def crowded(
    raw: sqlite3.Connection, target: Callable[[str], Target | None], now: float
) -> list[tuple[str, int]]:
    """People with more to hear than `BURST` messages a minute: the target, and how many were sent."""
    return [
        (ref, sent)
        for ref, sent in notification_store.crowds(raw, now - WINDOW_S, now, BURST)
        if (found := target(ref)) is not None and found.kind in FOR_PEOPLE
    ]


def gather(
    raw: sqlite3.Connection, target: Callable[[str], Target | None], flying: Collection[int], now: float
) -> None:
    """Gather what goes over `BURST` messages a minute and target."""
    for ref, sent in crowded(raw, target, now):
        due_now = notification_store.due_of(raw, ref, now)
        waiting = [
            one
            for one in due_now
            if one.id not in flying and not one.message.gathered and one.message.kind != "test"
        ]
        # The worst are told one by one.
        waiting.sort(key=lambda one: (incidents.rank(one.message.severity), one.id))
        gone = sent + sum(one.id in flying for one in due_now)
        rest = waiting[max(0, BURST - 1 - gone) :]
        for kind in ("firing", "escalation", "resolved"):
            members = [one for one in rest if one.message.kind == kind]
            before = notification_store.waiting_digest(raw, ref, kind)
            if before is not None and before.id in flying:
                before = None
            # One that comes late in a full minute waits as a message of its own that others may join.
            if members and (len(members) > 1 or before is not None or gone >= BURST):
                _put(raw, members, before, gone, now)


def _put(
    raw: sqlite3.Connection, members: list[Notification], before: Notification | None, gone: int, now: float
) -> None:
    first = members[0].message
    digest = Message(
        kind=first.kind,
        title=first.title,
        summary="",
        incident=None,
        receiver=first.receiver,
        severity=min((one.message.severity for one in members), key=incidents.rank),
        at=now,
    )
    names = [one.message.title for one in members]
    if before is not None:
        digest.gathered = before.message.gathered
        names = [*before.message.summary.split(" · "), *names]
        digest.severity = min(digest.severity, before.message.severity, key=incidents.rank)
    digest.gathered += len(members)
    digest.summary = " · ".join(names[:NAMED])
    due = now if gone < BURST else now + WINDOW_S
    notification_store.gather(raw, members, digest, before.id if before else None, now, due)
