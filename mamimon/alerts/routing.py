"""Where an alert goes: the tree of routes, receivers with their targets, and escalation policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from mamimon.alerts.intervals import Interval
from mamimon.alerts.matchers import Matcher, all_match
from mamimon.alerts.model import Labels, Policy, Step, severity_rank
from mamimon.alerts.silences import Inhibition
from mamimon.config import AlertSettings

ALL_LABELS = "..."
BUILTIN_RECEIVER = "default"
MUTED_DAYS = 62
"""How far ahead the end of a muted time is looked for."""


class Target(msgspec.Struct, kw_only=True):
    """One place a message goes to; `ref` names it in rows, so secrets stay in the configuration."""

    ref: str
    kind: Literal["email", "slack", "webhook", "apprise"]
    to: str
    """What people read: an address, a channel, a host; never a secret."""
    send_resolved: bool = True
    options: dict[str, Any] = {}


class Receiver(msgspec.Struct, kw_only=True):
    """A named set of targets."""

    name: str
    targets: list[Target] = []
    unsupported: list[str] = []
    """Integrations of the file that mamimon cannot send by."""


class Route(msgspec.Struct, kw_only=True):
    """A node of the routing tree; durations in seconds."""

    id: str
    receiver: str
    matchers: list[Matcher] = []
    group_by: tuple[str, ...] = ()
    group_wait_s: float = 30.0
    group_interval_s: float = 300.0
    repeat_interval_s: float = 14_400.0
    continues: bool = False
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    routes: list[Route] = []

    def match(self, labels: Labels) -> list[Route]:
        """The routes that an alert takes, as Alertmanager walks the tree."""
        if not all_match(self.matchers, labels):
            return []
        found: list[Route] = []
        for child in self.routes:
            below = child.match(labels)
            found.extend(below)
            if below and not child.continues:
                break
        return found or [self]

    def group(self, labels: Labels) -> Labels:
        """The labels that name the group of an alert."""
        if ALL_LABELS in self.group_by:
            return dict(labels)
        return {name: labels[name] for name in self.group_by if name in labels}

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Route]]:
        """Every route with its depth, parents first."""
        yield depth, self
        for child in self.routes:
            yield from child.walk(depth + 1)


class Routing(msgspec.Struct, kw_only=True):
    """A whole routing configuration."""

    route: Route
    receivers: dict[str, Receiver]
    inhibitions: list[Inhibition] = []
    intervals: dict[str, list[Interval]] = {}
    resolve_timeout_s: float = 300.0
    original: str = ""
    templates: dict[str, Any] = {}
    people: dict[str, Target] = {}
    """Targets by reference that only escalation uses."""
    least: dict[str, str] = {}
    """By address, the mildest severity that its owner wants to hear of."""

    def willing(self, target: Target, severity: str) -> bool:
        """Whether whoever is behind a target wants to hear of something of that severity."""
        least = self.least.get(target.to)
        return least is None or severity_rank(severity) <= severity_rank(least)

    def target(self, ref: str) -> Target | None:
        """The target of a reference, or None where it is no longer configured."""
        if ref in self.people:
            return self.people[ref]
        for receiver in self.receivers.values():
            for one in receiver.targets:
                if one.ref == ref:
                    return one
        return None

    def muted_by(self, route: Route, now: float) -> list[str]:
        """Names of the intervals that keep a route silent at `now`."""
        if route.active and not any(self._contains(name, now) for name in route.active):
            return list(route.active)
        return [name for name in route.mute if self._contains(name, now)]

    def muted_until(self, route: Route, now: float) -> float | None:
        """When a muted route tells again; None where that is more than `MUTED_DAYS` away or it does now."""
        if not self.muted_by(route, now):
            return None
        every = [one for name in (*route.active, *route.mute) for one in self.intervals.get(name, [])]
        edges = sorted({at for one in every for at in one.edges(now, MUTED_DAYS)})
        return next((at for at in edges if not self.muted_by(route, at)), None)

    def _contains(self, name: str, now: float) -> bool:
        return any(one.contains(now) for one in self.intervals.get(name, []))

    def find(self, route_id: str) -> Route | None:
        """A route by its id."""
        return next((route for _, route in self.route.walk() if route.id == route_id), None)

    def policy(self, receiver: str, settings: AlertSettings) -> Policy:
        """Who is told when nobody acknowledges: the receiver, then each person, then the last resort.

        A receiver of an alertmanager.yml alone has `repeat_interval` for that and is not escalated.
        """
        first = [one.ref for one in self.receivers[receiver].targets]
        steps = [first] if first else []
        told = set(first)
        steps.extend([ref] for ref in self.people if ref not in told)
        wait_s = settings.unacknowledged_timeout_s
        repeats = 0 if self.original and len(steps) < 2 else settings.repeat_limit
        return Policy([Step(targets, wait_s) for targets in steps], repeats)


def people(text: str) -> list[str]:
    """The addresses of a comma-separated setting, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def settings_mail(settings: AlertSettings) -> dict[str, Any]:
    """The mail server of the settings, as a target's options."""
    return {
        "server": settings.smtp_server,
        "port": settings.smtp_port,
        "username": settings.smtp_username,
        "password": settings.smtp_password,
        "from": settings.smtp_from or settings.smtp_username or "mamimon@localhost",
        "security": settings.smtp_security,
    }


def settings_people(settings: AlertSettings) -> dict[str, Target]:
    """Everybody of `email_to`, then `escalate_email_to`, by reference; none without a mail server."""
    if not settings.smtp_server:
        return {}
    found: dict[str, Target] = {}
    for address in [*people(settings.email_to), *people(settings.escalate_email_to)]:
        one = person_target(settings, address)
        found.setdefault(one.ref, one)
    return found


def person_target(settings: AlertSettings, address: str) -> Target:
    """One person by the mail server of the settings."""
    options = {**settings_mail(settings), "address": address}
    return Target(ref=f"settings/email/{address}", kind="email", to=address, options=options)


def builtin(settings: AlertSettings) -> Routing:
    """The route that is used without an alertmanager.yml: the first person by mail, and Slack."""
    everybody = settings_people(settings)
    first = list(everybody.values())[:1] if people(settings.email_to) else []
    targets = list(first)
    if settings.slack_webhook_url:
        targets.append(
            Target(
                ref="settings/slack",
                kind="slack",
                to="Slack",
                options={"url": settings.slack_webhook_url},
            )
        )
    root = Route(
        id="{}",
        receiver=BUILTIN_RECEIVER,
        group_by=("alertname",),
        group_wait_s=2.0,
        group_interval_s=60.0,
        repeat_interval_s=4 * 3600.0,
    )
    receiver = Receiver(name=BUILTIN_RECEIVER, targets=targets)
    return Routing(route=root, receivers={BUILTIN_RECEIVER: receiver}, people=everybody)


def group_key(route: Route, labels: Mapping[str, str]) -> str:
    """Names a group of a route, as Alertmanager writes it."""
    inner = ", ".join(f'{name}="{labels[name]}"' for name in sorted(labels))
    return f"{route.id}:{{{inner}}}"
