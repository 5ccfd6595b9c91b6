"""Pages: alerts, incidents, one incident, and the page behind an acknowledge link."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, FromQuery
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.alerts import incidents, links, notification_store, postmortem, store
from mamimon.alerts.charts import incident_chart
from mamimon.alerts.editor.keeper import FILE as OWN_FILE
from mamimon.alerts.matchers import parse
from mamimon.alerts.model import ROLES, Incident, duration, show_duration
from mamimon.alerts.quiet import reasons
from mamimon.alerts.receiver_pages import receiver_handlers
from mamimon.alerts.routes import AROUND_S, Who, changes_of, perform, person
from mamimon.alerts.sentences import deployed, sentence
from mamimon.alerts.silences import Silence
from mamimon.alerts.suggest.rank import suggestions
from mamimon.metrics.changes import Change
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting
    from mamimon.errors.room import ErrorRoom
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.changes import Changes

_log = logging.getLogger("mamimon.alerts")
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
_SAID_BEFORE_S = 900.0
_DOTS = {
    "firing": "crit",
    "alert": "crit",
    "escalated": "warn",
    "failed": "warn",
    "untold": "warn",
    "exhausted": "crit",
    "acknowledged": "ok",
    "resolved": "ok",
    "deploy": "accent",
}


def page_handlers(service: Alerting, logs: LogRoom, errors: ErrorRoom) -> list[ControllerRouterHandler]:
    """The pages and the forms on them."""
    return [
        *_alert_pages(service),
        *receiver_handlers(service),
        *_incident_pages(service, logs, errors),
        *_link_pages(service),
    ]


def _alert_pages(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/alerts", include_in_schema=False)
    async def alerts(matchers: FromQuery[str] = "") -> Template:
        return Template("alerts/alerts.html", context=alerts_context(service, matchers))

    @post("/alerts/silence", include_in_schema=False, status_code=303)
    async def silence(data: Form) -> Redirect:
        now = service.core.clock.now()
        await service.silence(
            Silence(
                id="",
                matchers=parse(data.get("matchers", "")),
                starts_at=now,
                ends_at=now + duration(data.get("duration", "1h")),
                created_by=person(data.get("by", "")),
                comment=data.get("comment", ""),
                updated_at=now,
            )
        )
        return Redirect("/alerts", status_code=303)

    @post("/alerts/silence/{silence_id:str}/expire", include_in_schema=False, status_code=303)
    async def expire(silence_id: FromPath[str]) -> Redirect:
        await service.expire(silence_id)
        return Redirect("/alerts", status_code=303)

    return [alerts, silence, expire]


def alerts_context(service: Alerting, matchers: str) -> dict[str, Any]:
    """What the alerts page shows."""
    now = service.core.clock.now()
    firing: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    quiet: list[dict[str, Any]] = []
    own: set[str] = set()
    by_print = {group_key: g for g in service.dispatcher.groups.values() for group_key in g.members}
    for rule, _, one in service.engine.firing():
        alert = service.dispatcher.alerts.get(one.fingerprint)
        own.add(one.fingerprint)
        row = _row(service, rule.name, one.labels, one.annotations, one.fired_at or one.active_at, one.value)
        group = by_print.get(one.fingerprint)
        row["incident"] = group.incident if group else None
        row["why"] = why = reasons(service, alert) if alert is not None else []
        if one.state == "pending":
            row["fires_in"] = show_duration(max(0.0, round(one.active_at + rule.for_s - now)))
            pending.append(row)
        else:
            (quiet if why else firing).append(row)
    for alert in service.dispatcher.firing():
        if alert.source or alert.fingerprint in own:
            continue
        why = reasons(service, alert)
        row = _row(service, alert.name, alert.labels, alert.annotations, alert.starts_at, None)
        group = by_print.get(alert.fingerprint)
        row |= {"incident": group.incident if group else None, "why": why}
        (quiet if why else firing).append(row)
    preview = []
    problem = ""
    if matchers:
        try:
            wanted = parse(matchers)
            preview = [
                a.labels for a in service.dispatcher.firing() if all(m.matches(a.labels) for m in wanted)
            ]
        except Problem as error:
            problem = error.detail
    return {
        "section": "/alerts",
        "firing": sorted(firing, key=lambda row: row["since"]),
        "pending": pending,
        "quiet": quiet,
        "silences": [
            {"one": one, "state": one.state(now), "matchers": ", ".join(map(str, one.matchers))}
            for one in service.dispatcher.silences.all(now)
            if one.state(now) != "expired"
        ],
        "groups": [group for group in service.engine.groups if group.file != OWN_FILE],
        "own": service.own.all,
        "own_at_work": {
            rule.own: (rule, {one.state for one in service.engine.states.get(g.rule_key(rule), {}).values()})
            for g in service.engine.groups
            for rule in g.rules
            if rule.own
        },
        "may": "write" in current_actor.get().allowed,
        "states": {
            rule_key: {one.state for one in alerts.values()}
            for rule_key, alerts in service.engine.states.items()
        },
        "rule_errors": service.rule_errors,
        "config_error": service.config_error,
        "show_duration": show_duration,
        "matchers": matchers,
        "preview": preview,
        "problem": problem,
        "actor": current_actor.get(),
    }


def _row(
    service: Alerting,
    name: str,
    labels: dict[str, str],
    annotations: dict[str, str],
    since: float,
    value: Any,
) -> dict[str, Any]:
    matchers = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
    return {
        "name": name,
        "labels": {k: v for k, v in sorted(labels.items()) if k not in {"alertname", "severity"}},
        "severity": labels.get("severity", "warning"),
        "summary": annotations.get("summary") or annotations.get("description") or "",
        "since": since,
        "value": value,
        "incident": None,
        "why": [],
        "silence_url": "/alerts?" + urlencode({"matchers": matchers}) + "#silence",
    }


def _incident_pages(service: Alerting, logs: LogRoom, errors: ErrorRoom) -> list[ControllerRouterHandler]:
    @get("/incidents", include_in_schema=False)
    async def many() -> Template:
        found = await service.core.state.read(lambda raw: store.incidents(raw, 200))
        return Template("alerts/incidents.html", context={"section": "/incidents", "incidents": found})

    @get("/incidents/{incident_id:int}", include_in_schema=False)
    async def one(incident_id: FromPath[int]) -> Template:
        context = await incident_context(service, logs, errors, incident_id)
        return Template("alerts/incident.html", context=context)

    @get("/incidents/{incident_id:int}/changes", include_in_schema=False)
    async def changed(incident_id: FromPath[int]) -> Template:
        found: Changes | None = None
        problem = ""
        try:
            found = await changes_of(service, incident_id)
        except Problem as error:
            problem = error.detail
        return Template("alerts/changes.html", context={"found": found, "problem": problem})

    @get("/incidents/{incident_id:int}/patterns", include_in_schema=False)
    async def said(incident_id: FromPath[int]) -> Template:
        found = await service.core.state.read(lambda raw: incidents.get(raw, incident_id))
        start = found.started_at - _SAID_BEFORE_S
        end = min(service.core.clock.now(), found.started_at + AROUND_S)
        patterns = await logs.patterns.unusual(start, end)
        context = {"patterns": patterns, "start": start, "end": end}
        return Template("alerts/patterns.html", context=context)

    @get("/incidents/{incident_id:int}/postmortem.md", include_in_schema=False)
    async def written(incident_id: FromPath[int]) -> Response[str]:
        page = await incident_context(service, logs, errors, incident_id)
        drawn = await incident_chart(service, incident_id)
        found = await suggestions(service, logs, errors, incident_id)
        moved: list[Change] = []
        with contextlib.suppress(Problem):  # the section says "nothing": the page has the reason
            moved = (await changes_of(service, incident_id)).rows
        url = f"{service.core.base_url}/incidents/{incident_id}"
        return Response(
            postmortem.markdown(page, drawn, moved, found.clues, url),
            media_type="text/markdown; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="incident-{incident_id}.md"'},
        )

    @post("/incidents/{incident_id:int}/{action:str}", include_in_schema=False, status_code=303)
    async def act(incident_id: FromPath[int], action: FromPath[str], data: Form) -> Redirect:
        who = Who(data.get("by", ""), data.get("note", ""), data.get("to", ""), data.get("role", ""))
        await perform(service, incident_id, action, who, "page")
        return Redirect(f"/incidents/{incident_id}", status_code=303)

    return [many, one, changed, said, written, act]


async def incident_context(
    service: Alerting, logs: LogRoom, errors: ErrorRoom, incident_id: int
) -> dict[str, Any]:
    """What an incident's page shows; what another room cannot answer is left out and said."""
    now = service.core.clock.now()

    def read(raw: Any) -> Any:
        one = incidents.get(raw, incident_id)
        until = one.resolved_at or now
        return (
            one,
            store.events(raw, incident_id),
            notification_store.of_incident(raw, incident_id),
            store.deploys(raw, one.started_at - 3600, until),
        )

    incident, events, notifications, deploys = await service.core.state.read(read)
    start, end = incident.started_at - 1800, min(now + 1, (incident.resolved_at or now) + 600)
    lines, issues = await asyncio.gather(_lines(logs, incident, end), _issues(errors, incident))
    timeline = [
        *({"at": e.at, "dot": _DOTS.get(e.kind, ""), "text": sentence(e), "actor": e.actor} for e in events),
        *(
            {
                "at": d["at"],
                "dot": "accent",
                "text": deployed(d["version"], d["service"]),
                "actor": d["actor"],
            }
            for d in deploys
        ),
    ]
    return {
        "section": "/incidents",
        "incident": incident,
        "timeline": sorted(timeline, key=lambda entry: entry["at"]),
        "roles": [
            (word, incident.assigned_to if role == "lead" else incident.roles.get(role, ""), role)
            for role, word in ROLES.items()
        ],
        "notifications": notifications,
        "deploys": deploys,
        "chart_url": f"/api/mamimon/incidents/{incident_id}/chart" if incident.expr else "",
        "expr": incident.expr,
        "lines": lines,
        "issues": issues,
        "log_url": f"/logs?q={quote('level:ERROR')}&start={start:.0f}&end={end:.0f}",
        "silence_url": "/alerts?"
        + urlencode({"matchers": ", ".join(f'{k}="{v}"' for k, v in sorted(incident.labels.items()))})
        + "#silence",
        "actor": current_actor.get(),
        "next": _next(service, incident),
    }


def _next(service: Alerting, incident: Incident) -> list[str]:
    """Who is told next, by address."""
    steps = incident.policy.steps
    if incident.due_at is None or not steps:
        return []
    refs = steps[incident.step % len(steps)].targets
    return [target.to for ref in refs if (target := service.routing.target(ref)) is not None]


async def _lines(logs: LogRoom, incident: Incident, end: float) -> list[Any]:
    try:
        from mamimon.logs.query import LogQuery

        query = LogQuery(text="level:(ERROR OR CRITICAL)", start=incident.started_at - 600, end=end, size=20)
        return list((await logs.backend.search(query)).hits)
    except Problem as problem:
        _log.warning("no log lines for incident %s: %s", incident.id, problem)
        return []


async def _issues(errors: ErrorRoom, incident: Incident) -> list[Any]:
    try:
        return list(await errors.top(incident.started_at - 1800, 5))
    except Problem as problem:
        _log.warning("no errors for incident %s: %s", incident.id, problem)
        return []


def _link_pages(service: Alerting) -> list[ControllerRouterHandler]:
    def read(token: str) -> links.Link:
        return links.read(service.delivery.key, token, service.core.clock.now())

    @get("/ack/{token:str}", include_in_schema=False)
    async def show(token: FromPath[str]) -> Template:
        link = read(token)
        one = await service.core.state.read(lambda raw: incidents.get(raw, link.incident))
        return Template(
            "alerts/acknowledge.html",
            context={"incident": one, "person": link.person, "done": False, "token": token},
        )

    @post("/ack/{token:str}", include_in_schema=False, status_code=200)
    async def act(token: FromPath[str], data: Form) -> Template:
        link = read(token)
        one = await service.core.state.read(lambda raw: incidents.get(raw, link.incident))
        if one.state != "resolved":
            one = await service.acknowledge(link.incident, link.person, data.get("note", ""), "link")
        return Template(
            "alerts/acknowledge.html",
            context={"incident": one, "person": link.person, "done": True, "token": token},
        )

    return [show, act]
