"""Alertmanager's API v2 under `/alertmanager/api/v2`; errors are its own: a JSON string."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import re2
from litestar import MediaType, Request, Response, Router, delete, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, QueryParameter

import mamimon
from mamimon.alerts.dispatch import Status
from mamimon.alerts.matchers import Matcher, all_match, make, parse
from mamimon.alerts.model import Alert, Labels, fingerprint
from mamimon.alerts.relay import HEADER
from mamimon.alerts.routing import Route
from mamimon.alerts.silences import Silence
from mamimon.alerts.wording import rfc3339
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting

Many = list[str] | None
MAX_BODY = 16 * 1024 * 1024


class PostableAlert(msgspec.Struct, rename="camel"):
    """An alert that somebody sends."""

    labels: Labels
    annotations: Labels = {}
    starts_at: dt.datetime | None = None
    ends_at: dt.datetime | None = None
    generator_url: str = msgspec.field(default="", name="generatorURL")


class PostableMatcher(msgspec.Struct, rename="camel"):
    """A matcher of a silence."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool = True


class PostableSilence(msgspec.Struct, rename="camel"):
    """A silence that somebody wants."""

    matchers: list[PostableMatcher]
    starts_at: dt.datetime
    ends_at: dt.datetime
    created_by: str
    comment: str
    id: str = ""
    annotations: Labels = {}


def alertmanager_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """The router, and the health endpoints beside it."""
    began = service.core.clock.now()

    @get("/status", sync_to_thread=False)
    def status() -> dict[str, Any]:
        """Version, configuration, uptime."""
        return {
            "cluster": {"name": "", "status": "disabled", "peers": []},
            "versionInfo": {
                "version": "0.28.0",
                "revision": f"mamimon {mamimon.__version__}",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            },
            "config": {"original": service.routing.original or _own_config(service)},
            "uptime": rfc3339(began),
        }

    @get("/receivers", sync_to_thread=False)
    def receivers() -> list[dict[str, Any]]:
        """Receivers by name."""
        return [{"name": name} for name in service.routing.receivers]

    @get("/-/healthy", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthy() -> str:
        """Alive."""
        return "OK"

    @get("/-/ready", media_type=MediaType.TEXT, sync_to_thread=False)
    def ready() -> str:
        """Ready."""
        return "OK"

    api = Router(
        "/alertmanager/api/v2",
        route_handlers=[status, receivers, *_alert_handlers(service), *_silence_handlers(service)],
        exception_handlers={Problem: _problem, HTTPException: _http},
        tags=["alertmanager"],
        request_max_body_size=MAX_BODY,
    )
    return [api, Router("/alertmanager", route_handlers=[healthy, ready], include_in_schema=False)]


def _alert_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/alerts", sync_to_thread=False)
    def alerts(
        matchers: Annotated[Many, QueryParameter(name="filter")] = None,
        active: FromQuery[bool] = True,
        silenced: FromQuery[bool] = True,
        inhibited: FromQuery[bool] = True,
        unprocessed: FromQuery[bool] = True,
        receiver: FromQuery[str] = "",
    ) -> list[dict[str, Any]]:
        """Alerts that are not over, narrowed by the parameters."""
        wanted = _filters(matchers)
        pattern = _pattern(receiver)
        found = []
        for alert in sorted(service.dispatcher.firing(), key=lambda one: one.fingerprint):
            routes = service.routing.route.match(alert.labels)
            state = service.dispatcher.status(alert)
            to_it = pattern is None or any(pattern.fullmatch(route.receiver) for route in routes)
            if to_it and all_match(wanted, alert.labels) and _shown(state, active, silenced, inhibited):
                found.append(_alert(alert, state, routes))
        return found

    @post("/alerts", status_code=200)
    async def post_alerts(request: Request[Any, Any, Any]) -> None:
        """Take alerts from Prometheus, vmalert, amtool or anybody."""
        # Our own rules' alerts, sent on to ourselves, are here already.
        again = request.headers.get(HEADER) == service.relay.id
        sent = [] if again else _decode(await request.body(), list[PostableAlert])
        now = service.core.clock.now()
        taken, refused = _taken(sent, now, service.routing.resolve_timeout_s)
        await service.dispatcher.put(taken)
        if refused:
            raise bad_input("; ".join(refused[:5]))

    @get("/alerts/groups", sync_to_thread=False)
    def groups(
        matchers: Annotated[Many, QueryParameter(name="filter")] = None,
        active: FromQuery[bool] = True,
        silenced: FromQuery[bool] = True,
        inhibited: FromQuery[bool] = True,
        muted: FromQuery[bool] = True,
        receiver: FromQuery[str] = "",
    ) -> list[dict[str, Any]]:
        """Alerts by group."""
        wanted = _filters(matchers)
        pattern = _pattern(receiver)
        now = service.core.clock.now()
        found = []
        for group in sorted(service.dispatcher.groups.values(), key=lambda one: one.key):
            if pattern is not None and not pattern.fullmatch(group.receiver):
                continue
            route = service.routing.find(group.route)
            members = [service.dispatcher.alerts[k] for k in group.members if k in service.dispatcher.alerts]
            shown = []
            for alert in members:
                state = service.dispatcher.status(alert, route)
                if alert.resolved(now) or not all_match(wanted, alert.labels):
                    continue
                if _shown(state, active, silenced, inhibited) and (muted or not state.muted_by):
                    shown.append(_alert(alert, state, [route] if route else []))
            if shown:
                found.append(
                    {
                        "labels": group.labels,
                        "routeLabels": {},
                        "receiver": {"name": group.receiver},
                        "alerts": shown,
                    }
                )
        return found

    return [alerts, post_alerts, groups]


def _silence_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/silences", sync_to_thread=False)
    def silences(
        matchers: Annotated[Many, QueryParameter(name="filter")] = None,
        active: FromQuery[bool] = True,
        expired: FromQuery[bool] = True,
        pending: FromQuery[bool] = True,
    ) -> list[dict[str, Any]]:
        """Silences, narrowed by the parameters."""
        wanted = _filters(matchers)
        now = service.core.clock.now()
        states = {"active": active, "expired": expired, "pending": pending}
        return [
            _silence(one, now)
            for one in service.dispatcher.silences.all(now)
            if states[one.state(now)]
            and all_match(wanted, {matcher.name: matcher.value for matcher in one.matchers})
        ]

    @post("/silences", status_code=200)
    async def post_silence(request: Request[Any, Any, Any]) -> dict[str, str]:
        """Create or change a silence."""
        sent = _decode(await request.body(), PostableSilence)
        wanted = Silence(
            id=sent.id,
            matchers=[
                make(
                    one.name,
                    ("=" if one.is_equal else "!") + ("~" if one.is_regex else "" if one.is_equal else "="),
                    one.value,
                )
                for one in sent.matchers
            ],
            starts_at=sent.starts_at.timestamp(),
            ends_at=sent.ends_at.timestamp(),
            created_by=sent.created_by[:200],
            comment=sent.comment[:4000],
            updated_at=0.0,
            annotations=sent.annotations,
        )
        kept = await service.silence(wanted)
        return {"silenceID": kept.id}

    @get("/silence/{silence_id:str}", sync_to_thread=False)
    def silence(silence_id: FromPath[str]) -> dict[str, Any]:
        """One silence."""
        return _silence(service.dispatcher.silences.get(silence_id), service.core.clock.now())

    @delete("/silence/{silence_id:str}", status_code=200)
    async def expire(silence_id: FromPath[str]) -> None:
        """End a silence now."""
        await service.expire(silence_id)

    return [silences, post_silence, silence, expire]


def _problem(_: Any, error: Problem) -> Response[Any]:
    return Response(msgspec.json.encode(error.detail), status_code=error.status, media_type=MediaType.JSON)


def _http(_: Any, error: HTTPException) -> Response[Any]:
    return Response(
        msgspec.json.encode(error.detail), status_code=error.status_code, media_type=MediaType.JSON
    )


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise bad_input(f"bad request body: {error}") from None


def _filters(matchers: Many) -> list[Matcher]:
    return [one for text in matchers or [] for one in parse(text)]


def _pattern(text: str) -> Any:
    if not text:
        return None
    try:
        return re2.compile(text)
    except re2.error as error:
        raise bad_input(f"failed to parse receiver param: {error}") from None


def _taken(sent: list[PostableAlert], now: float, timeout_s: float) -> tuple[list[Alert], list[str]]:
    """What can be used, and why the rest cannot."""
    taken, refused = [], []
    for one in sent:
        try:
            taken.append(_incoming(one, now, timeout_s))
        except Problem as problem:
            refused.append(problem.detail)
    return taken, refused


def _incoming(one: PostableAlert, now: float, resolve_timeout_s: float) -> Alert:
    labels = {name: value for name, value in one.labels.items() if value}
    if not labels:
        raise bad_input("at least one label pair required")
    if len(labels) > 64 or any(len(k) > 1024 or len(v) > 4096 for k, v in labels.items()):
        raise bad_input("too many labels or a label is too long")
    starts = one.starts_at.timestamp() if one.starts_at and one.starts_at.year > 1 else 0.0
    ends = one.ends_at.timestamp() if one.ends_at and one.ends_at.year > 1 else 0.0
    if ends and starts > ends:
        raise bad_input("start time must be before end time")
    return Alert(
        fingerprint=fingerprint(labels),
        labels=labels,
        annotations={name: value[:8192] for name, value in one.annotations.items() if value},
        starts_at=starts or (min(now, ends) if ends else now),
        ends_at=ends or now + resolve_timeout_s,
        updated_at=now,
        generator_url=one.generator_url[:2048],
    )


def _shown(status: Status, active: bool, silenced: bool, inhibited: bool) -> bool:
    if not active and not status.suppressed:
        return False
    return (silenced or not status.silenced_by) and (inhibited or not status.inhibited_by)


def _alert(alert: Alert, status: Status, routes: list[Route]) -> dict[str, Any]:
    return {
        "annotations": alert.annotations,
        "endsAt": rfc3339(alert.ends_at if alert.ends_at is not None else alert.updated_at + 300.0),
        "fingerprint": alert.fingerprint,
        "receivers": [{"name": name} for name in dict.fromkeys(route.receiver for route in routes)],
        "startsAt": rfc3339(alert.starts_at),
        "status": {
            "inhibitedBy": status.inhibited_by,
            "mutedBy": status.muted_by,
            "silencedBy": status.silenced_by,
            "state": "suppressed" if status.suppressed else "active",
        },
        "updatedAt": rfc3339(alert.updated_at),
        "generatorURL": alert.generator_url,
        "labels": alert.labels,
    }


def _silence(one: Silence, now: float) -> dict[str, Any]:
    return {
        "id": one.id,
        "status": {"state": one.state(now)},
        "updatedAt": rfc3339(one.updated_at),
        "comment": one.comment,
        "createdBy": one.created_by,
        "endsAt": rfc3339(one.ends_at),
        "startsAt": rfc3339(one.starts_at),
        "annotations": one.annotations,
        "matchers": [
            {
                "isEqual": m.op in {"=", "=~"},
                "isRegex": m.op in {"=~", "!~"},
                "name": m.name,
                "value": m.value,
            }
            for m in one.matchers
        ],
    }


def _own_config(service: Alerting) -> str:
    """The built-in route as an alertmanager.yml, without secrets."""
    route = service.routing.route
    receiver = service.routing.receivers[route.receiver]
    lines = [
        "route:",
        f"  receiver: {route.receiver}",
        f"  group_by: [{', '.join(route.group_by)}]",
        f"  group_wait: {route.group_wait_s:g}s",
        f"  group_interval: {route.group_interval_s:g}s",
        f"  repeat_interval: {route.repeat_interval_s / 3600:g}h",
        "receivers:",
        f"  - name: {receiver.name}",
    ]
    mails = [one.to for one in receiver.targets if one.kind == "email"]
    if mails:
        lines += ["    email_configs:", *(f"      - to: {address}" for address in mails)]
    if any(one.kind == "slack" for one in receiver.targets):
        lines += ["    slack_configs:", "      - api_url: <secret>"]
    return "\n".join(lines) + "\n"
