"""Incidents: opened by an alert group, acknowledged by a person, escalated while nobody answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mamimon.alerts import notification_store, store
from mamimon.alerts.model import ROLES, Alert, Incident, Labels, Message, Policy, severity_rank
from mamimon.alerts.routing import Routing, Target
from mamimon.alerts.wording import common
from mamimon.problems import Kind, Problem, bad_input, not_found

RELATED_S = 600.0
_PLACES = ("namespace", "cluster", "environment")
_SUBJECT = ("path", "endpoint", "route", "name", "service", "mountpoint", "instance", "job")


def headline(alerts: Sequence[Alert], group_labels: Labels) -> tuple[str, str]:
    """Title and one-sentence summary of alerts that are told together."""
    shared = common([one.labels for one in alerts])
    names = sorted({one.name for one in alerts if one.name})
    title = ", ".join(names[:3]) or "Alert"
    if len(names) > 3:
        title += f" +{len(names) - 3}"
    where = next((shared[name] for name in _SUBJECT if shared.get(name)), "")
    if where:
        title += f" on {where}"
    elif len(alerts) > 1:
        title += f" ({len(alerts)})"
    first = alerts[0].annotations if alerts else {}
    summary = first.get("summary") or first.get("description") or first.get("message") or ""
    if not summary:
        summary = ", ".join(f"{k}={v}" for k, v in sorted((shared or group_labels).items()))
    if len(alerts) > 1:
        summary = f"{summary} (+{len(alerts) - 1})" if where or summary else summary
    return title[:200], " ".join(summary.split())[:1000]


def severity(alerts: Sequence[Alert]) -> str:
    """The worst `severity` label."""
    found = [one.labels.get("severity", "warning") for one in alerts]
    return min(found, key=rank, default="warning")


def rank(severity: str) -> int:
    """The order of severities, the worst first."""
    return severity_rank(severity)


def key_of(labels: Labels) -> str:
    """What makes two groups the same incident: their labels, whichever route they took."""
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels))


def service_of(labels: Labels) -> tuple[str, ...]:
    """What makes alerts of different names about the same service; empty where they name none.

    A job alone is a service only on the same instance: that of node_exporter is a hundred machines,
    and our own has every check.
    """
    name = labels.get("service") or labels.get("service_name") or ""
    if not name:
        job = labels.get("job", "")
        if not job or "name" in labels:
            return ()
        name = f"{job}\n{labels.get('instance', '')}"
    return (name, *(labels.get(one, "") for one in _PLACES))


def _related(raw: sqlite3.Connection, message: Message, now: float) -> Incident | None:
    """An open incident of the same service that began at about the same time."""
    service = service_of(common([one.labels for one in message.alerts]))
    began = min((one.starts_at for one in message.alerts), default=now)
    if not service:
        return None
    near = store.open_around(raw, began - RELATED_S, began + RELATED_S)
    return next((one for one in near if service_of(one.labels) == service), None)


def _own(raw: sqlite3.Connection, number: int | None) -> Incident | None:
    one = store.incident(raw, number) if number is not None else None
    return one if one is not None and one.state != "resolved" else None


def ensure(
    raw: sqlite3.Connection,
    labels: Labels,
    message: Message,
    policy: Policy,
    now: float,
    current: int | None = None,
) -> tuple[Incident, bool]:
    """The group's open incident, opened where there is none; and whether it was opened now.

    A group that has none (`current`) joins that of its own key, else one of the same service and time.
    """
    key = key_of(labels)
    found = store.open_by_key(raw, key)
    joined = None if found is not None else _own(raw, current) or _related(raw, message, now)
    if joined is not None:
        worse = severity(message.alerts)
        if rank(worse) < rank(joined.severity):
            joined.severity = worse
            store.save_incident(raw, joined)
        store.add_event(raw, joined.id, now, "alert", f"{message.title}: {message.summary}")
        return joined, False
    if found is not None:
        worse = severity(message.alerts)
        if rank(worse) < rank(found.severity):
            found.severity = worse
        found.title, found.summary = message.title, message.summary
        store.save_incident(raw, found)
        store.add_event(raw, found.id, now, "alert", message.summary)
        return found, False
    wait_s = policy.steps[0].wait_s if policy.steps else 0.0
    started = min((one.starts_at for one in message.alerts), default=now)
    fresh = store.open_incident(
        raw,
        Incident(
            id=0,
            key=key,
            title=message.title,
            state="open",
            severity=severity(message.alerts),
            labels=common([one.labels for one in message.alerts]) or labels,
            summary=message.summary,
            expr=next((one.source for one in message.alerts if one.source), ""),
            started_at=started,
            policy=policy,
            step=1,
            due_at=now + wait_s if len(policy.steps) * (policy.repeats + 1) > 1 else None,
        ),
    )
    store.add_event(raw, fresh.id, started, "firing", message.summary)
    if not policy.steps:
        nobody = "nobody is configured to be told; see /settings/alerts"
        store.add_event(raw, fresh.id, now, "untold", nobody, facts={"who": "nobody"})
    return fresh, True


def spare(raw: sqlite3.Connection, one: Incident, targets: Sequence[Target], now: float) -> None:
    """Say in the timeline who is not told because they asked for worse alerts only."""
    names = ", ".join(target.to for target in targets)
    facts = {"to": names, "severity": one.severity}
    store.add_event(raw, one.id, now, "spared", f"{names}: not told of {one.severity}", facts=facts)


def get(raw: sqlite3.Connection, incident_id: int) -> Incident:
    """One by id; raises `Problem(NOT_FOUND)`."""
    found = store.incident(raw, incident_id)
    if found is None:
        raise not_found(f"there is no incident {incident_id}")
    return found


def acknowledge(
    raw: sqlite3.Connection, incident_id: int, person: str, now: float, note: str = "", how: str = "page"
) -> Incident:
    """Somebody answers: nobody else is woken. Again by somebody else only adds to the timeline."""
    one = get(raw, incident_id)
    if one.state == "resolved":
        raise Problem(Kind.CONFLICT, f"incident {incident_id} is already resolved")
    said = f": “{note[:500]}”" if note else ""
    if one.state == "open":
        one.state, one.acknowledged_at, one.acknowledged_by, one.due_at = "acknowledged", now, person, None
        if not one.assigned_to:
            one.assigned_to = person
        store.save_incident(raw, one)
    facts = {"how": how, "note": note[:500]}
    store.add_event(raw, one.id, now, "acknowledged", f"acknowledged by {how}{said}", person, facts)
    return one


def assign(
    raw: sqlite3.Connection, incident_id: int, person: str, by: str, now: float, role: str = ""
) -> Incident:
    """Somebody takes or is given the incident, or a role in it; raises `Problem`."""
    one = get(raw, incident_id)
    person = person.strip()[:200]
    if role and role not in ROLES:
        raise bad_input(f"there is no role {role[:40]!r}", f"one of {', '.join(ROLES)}")
    if role in {"", "lead"}:
        one.assigned_to = person
        text, facts = f"assigned to {person}", {"to": person}
    else:
        one.roles = {**one.roles, role: person}
        text, facts = f"{person} {ROLES[role]}", {"to": person, "role": role}
    store.save_incident(raw, one)
    store.add_event(raw, one.id, now, "assigned", text, by, facts)
    return one


def comment(raw: sqlite3.Connection, incident_id: int, text: str, by: str, now: float) -> Incident:
    """Add to the timeline."""
    if not text.strip():
        raise bad_input("a comment needs text")
    one = get(raw, incident_id)
    store.add_event(raw, one.id, now, "comment", text.strip(), by)
    return one


def resolve(raw: sqlite3.Connection, one: Incident, now: float, person: str) -> None:
    """It is over, by itself (`person` empty) or because somebody says so."""
    one.state, one.resolved_at, one.due_at = "resolved", now, None
    store.save_incident(raw, one)
    how = "closed by hand" if person else "all alerts are resolved"
    store.add_event(raw, one.id, now, "resolved", how, person, {"by": "hand" if person else "itself"})


def escalate(raw: sqlite3.Connection, one: Incident, routing: Routing, now: float, by: str = "") -> list[str]:
    """Run the next step of the policy: intents to its targets, the following timer. Returns who is told."""
    steps = one.policy.steps
    if one.state != "open" or not steps:
        return []
    rounds = one.policy.repeats + 1
    late_s = now - one.due_at if one.due_at is not None and not by else 0.0
    if one.step >= len(steps) * rounds:
        one.due_at = None
        store.save_incident(raw, one)
        text = f"everybody was told {rounds} times; nobody answered"
        store.add_event(raw, one.id, now, "exhausted", text, facts={"rounds": str(rounds)})
        return []
    step = steps[one.step % len(steps)]
    known = [found for ref in step.targets if (found := routing.target(ref)) is not None]
    targets = [target for target in known if routing.willing(target, one.severity)]
    if known and not targets:
        # Whoever wants to hear of worse things only is passed over; the next one need not wait for it.
        spare(raw, one, known, now)
        one.step += 1
        return escalate(raw, one, routing, now, by)
    names = [target.to for target in targets]
    minutes = max(1, round((now - one.started_at) / 60))
    message = Message(
        kind="escalation",
        title=one.title,
        summary=one.summary,
        incident=one.id,
        severity=one.severity,
        group_labels=one.labels,
        reason={"asked_by": by} if by else {"silent_min": str(minutes)},
        late_s=late_s,
        at=now,
    )
    for target in targets:
        notification_store.add(raw, target.ref, target.to, message, now)
    one.step += 1
    one.due_at = now + step.wait_s
    store.save_incident(raw, one)
    why = f"{by} escalated to" if by else "no answer: escalated to"
    late = f" ({round(late_s / 60)} min late)" if late_s >= 60 else ""
    facts = {"to": ", ".join(names), "late_min": str(round(late_s / 60)), "asked": "yes" if by else ""}
    store.add_event(raw, one.id, now, "escalated", f"{why} {facts['to'] or 'nobody'}{late}", by, facts)
    return names
