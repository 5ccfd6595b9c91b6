"""Our own API for alerts, incidents, receivers and deploys, under `/api/mamimon`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Router, get, post
from litestar.params import Body, FromPath, FromQuery, JSONBody

from mamimon.accounts.gate import current_actor
from mamimon.alerts import incidents, notification_store, store
from mamimon.alerts.backtest import Backtest, backtest
from mamimon.alerts.charts import incident_chart
from mamimon.alerts.matchers import parse
from mamimon.alerts.model import IncidentSummary, duration
from mamimon.alerts.quiet import reasons
from mamimon.alerts.silences import Silence
from mamimon.metrics.changes import Changes, changes
from mamimon.problems import bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting

AROUND_S = 900.0
"""How long after an incident's start what changed is looked for."""
_MOST_CHANGES = 10
Text = Annotated[str, msgspec.Meta(max_length=4000)]


class Who(msgspec.Struct):
    """Who acts, and what they say; a signed-in person's own name wins."""

    by: Text = ""
    note: Text = ""
    to: Text = ""
    role: Text = ""
    """Of `assign`: lead, messages or notes."""


class NewSilence(msgspec.Struct, kw_only=True):
    """A silence by matchers such as `alertname="HighErrorRate"`."""

    matchers: Text
    duration_s: Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)] = 3600.0
    by: Text = ""
    comment: Text = ""


class TestSend(msgspec.Struct):
    """Which target to send a test to; empty is all of them."""

    target: Text = ""


class Question(msgspec.Struct, rename={"for_": "for"}):
    """A rule to try on what is stored; `for` is a duration such as `5m`."""

    expr: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    for_: Text = "0s"
    days: Annotated[float, msgspec.Meta(gt=0, le=400)] = 30.0


class NewDeploy(msgspec.Struct):
    """A version that went live; `at` is epoch seconds, now where absent."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    service: Text = ""
    by: Text = ""
    note: Text = ""
    at: float | None = None


def person(given: str) -> str:
    """The name that goes into the timeline."""
    actor = current_actor.get()
    if actor.person:
        return actor.name
    return given.strip()[:200] or "somebody"


def api_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """The router."""
    return [
        Router(
            "/api/mamimon",
            route_handlers=[
                *_alert_handlers(service),
                *_incident_handlers(service),
                *_deploy_handlers(service),
            ],
            tags=["alerts"],
        )
    ]


def _alert_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/alerts", sync_to_thread=False)
    def alerts() -> list[dict[str, Any]]:
        """Pending and firing alerts with what keeps them quiet."""
        found = []
        for rule, group, one in service.engine.firing():
            alert = service.dispatcher.alerts.get(one.fingerprint)
            status = service.dispatcher.status(alert) if alert is not None else None
            found.append(
                {
                    "name": rule.name,
                    "group": group.name,
                    "state": one.state,
                    "since": one.fired_at or one.active_at,
                    "value": one.value,
                    "labels": one.labels,
                    "annotations": one.annotations,
                    "silenced_by": status.silenced_by if status else [],
                    "inhibited_by": status.inhibited_by if status else [],
                    "quiet": msgspec.to_builtins(reasons(service, alert)) if alert is not None else [],
                }
            )
        return found

    @post("/silences", status_code=201)
    async def silence(data: JSONBody[NewSilence]) -> dict[str, Any]:
        """Keep alerts quiet for a while."""
        now = service.core.clock.now()
        kept = await service.silence(
            Silence(
                id="",
                matchers=parse(data.matchers),
                starts_at=now,
                ends_at=now + data.duration_s,
                created_by=person(data.by),
                comment=data.comment,
                updated_at=now,
            )
        )
        hidden = [
            one.name
            for one in service.dispatcher.firing()
            if kept.id in service.dispatcher.silences.hiding(one.labels, now)
        ]
        return {"id": kept.id, "ends_at": kept.ends_at, "hides": hidden[:100]}

    @get("/alerts/receivers", sync_to_thread=False)
    def receivers() -> list[dict[str, Any]]:
        """Everybody who can be told, without secrets."""
        return [{"target": one.ref, "kind": one.kind, "to": one.to} for one in service.targets()]

    @post("/alerts/test", status_code=200)
    async def test(data: Annotated[TestSend, Body()]) -> list[dict[str, Any]]:
        """Send a test message and answer what the receiving server said."""
        refs = [data.target] if data.target else [one.ref for one in service.targets()]
        if not refs:
            raise bad_input(
                "nobody is configured to be told", "set ALERT_EMAIL_TO and SMTP_SERVER or SLACK_WEBHOOK_URL"
            )
        found = []
        for ref in refs[:20]:
            outcome = await service.test(ref)
            found.append({"target": ref, "ok": outcome.ok, "answer": outcome.answer})
        return found

    @get("/alerts/notifications")
    async def notifications(
        incident: FromQuery[int | None] = None, limit: FromQuery[int] = 100
    ) -> list[dict[str, Any]]:
        """Who was told what, when, and what their server answered; newest first."""

        def work(raw: Any) -> list[dict[str, Any]]:
            return [
                {
                    "id": one.id,
                    "incident": one.incident,
                    "to": one.to,
                    "target": one.target,
                    "kind": one.message.kind,
                    "title": one.message.title,
                    "status": one.status,
                    "created_at": one.created_at,
                    "next_at": one.next_at if one.status == "pending" else None,
                    "attempts": notification_store.attempts(raw, one.id),
                }
                for one in notification_store.of_incident(raw, incident, min(max(limit, 1), 1000))
            ]

        return await service.core.state.read(work)

    @post("/alerts/reload", status_code=200)
    async def reload() -> dict[str, Any]:
        """Read rule files and alertmanager.yml again."""
        await service.reload(force=True)
        errors = [str(one) for one in service.rule_errors] + (
            [service.config_error] if service.config_error else []
        )
        return {"groups": len(service.engine.groups), "errors": errors}

    @post("/alerts/backtest", status_code=200)
    async def try_rule(data: JSONBody[Question]) -> Backtest:
        """How often and when a rule would have fired over the stored samples."""
        now = service.core.clock.now()
        interval_s = service.core.settings.metrics.evaluation_interval_s
        start = now - data.days * 86_400.0
        return await backtest(service.backend(), data.expr, duration(data.for_), start, now, interval_s)

    return [alerts, silence, receivers, test, notifications, reload, try_rule]


def _incident_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/incidents")
    async def many(limit: FromQuery[int] = 50) -> list[IncidentSummary]:
        """Incidents that are not resolved, then the latest resolved ones."""
        found = await service.core.state.read(lambda raw: store.incidents(raw, min(max(limit, 1), 1000)))
        return [one.short() for one in found]

    @get("/incidents/{incident_id:int}")
    async def one(incident_id: FromPath[int]) -> dict[str, Any]:
        """An incident with its timeline."""
        found, events = await service.core.state.read(
            lambda raw: (incidents.get(raw, incident_id), store.events(raw, incident_id))
        )
        body: dict[str, Any] = msgspec.to_builtins(found)
        return body | {"events": msgspec.to_builtins(events)}

    @post("/incidents/{incident_id:int}/{action:str}", status_code=200)
    async def act(
        incident_id: FromPath[int],
        action: FromPath[Literal["acknowledge", "resolve", "assign", "comment", "escalate"]],
        data: JSONBody[Who],
    ) -> IncidentSummary:
        """Acknowledge, resolve, assign, comment or escalate."""
        await perform(service, incident_id, action, data, "API")
        found = await service.core.state.read(lambda raw: incidents.get(raw, incident_id))
        return found.short()

    @get("/incidents/{incident_id:int}/chart")
    async def chart(incident_id: FromPath[int]) -> dict[str, Any]:
        """What the incident's rule saw, with its threshold, its start and the deploys."""
        return await incident_chart(service, incident_id)

    @get("/incidents/{incident_id:int}/changes")
    async def changed(incident_id: FromPath[int]) -> Changes:
        """The series that moved most around the incident's start."""
        return await changes_of(service, incident_id)

    return [many, one, act, chart, changed]


async def changes_of(service: Alerting, incident_id: int) -> Changes:
    """The series that moved most around an incident's start; raises `Problem` where none can be asked."""
    found = await service.core.state.read(lambda raw: incidents.get(raw, incident_id))
    end = min(service.core.clock.now(), found.started_at + AROUND_S)
    return await changes(service.backend(), found.started_at - 60.0, end, _MOST_CHANGES)


async def perform(service: Alerting, incident_id: int, action: str, data: Who, how: str) -> None:
    """What a person does to an incident, from a page or a program."""
    by = person(data.by)
    if action == "acknowledge":
        await service.acknowledge(incident_id, by, data.note, how)
    elif action == "resolve":
        await service.resolve(incident_id, by)
    elif action == "assign":
        await service.assign(incident_id, data.to.strip() or by, by, data.role)
    elif action == "comment":
        await service.comment(incident_id, data.note, by)
    elif action == "escalate":
        await service.escalate(incident_id, by)
    else:
        raise bad_input(f"there is no action {action[:40]!r}")


def _deploy_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    @post("/deploys", status_code=201)
    async def deploy(data: JSONBody[NewDeploy]) -> dict[str, Any]:
        """Mark that a version went live; charts and incidents show it."""
        at = service.core.clock.now() if data.at is None else data.at
        by = person(data.by)
        number = await service.core.state.write(
            lambda raw: store.add_deploy(raw, at, data.version, data.service, by, data.note)
        )
        return {"id": number, "at": at, "version": data.version}

    @get("/deploys")
    async def deploys(
        start: FromQuery[float] = 0.0, end: FromQuery[float | None] = None
    ) -> list[dict[str, Any]]:
        """Deploys, newest first."""
        until = service.core.clock.now() if end is None else end
        return await service.core.state.read(lambda raw: store.deploys(raw, start, until))

    return [deploy, deploys]
