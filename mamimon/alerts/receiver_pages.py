"""`/settings/alerts`: who can be told, the tree of routes, and where an alert of certain labels would go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromQuery
from litestar.response import Template

from mamimon.alerts.matchers import Matcher, parse
from mamimon.alerts.model import Alert, Labels, show_duration
from mamimon.alerts.quiet import Quiet, reasons
from mamimon.alerts.routing import Route
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
MOST_EXAMPLES = 8


class Way(msgspec.Struct):
    """One route that an alert takes, to whom, and how."""

    route: str
    """Its id, as Alertmanager writes it."""
    receiver: str
    to: list[str]
    group: Labels
    wait_s: float
    repeat_s: float
    muted_by: list[str]


class Answer(msgspec.Struct):
    """Where an alert with these labels would go now, and what would keep it quiet."""

    labels: Labels
    ways: list[Way]
    quiet: list[Quiet]


def read_labels(text: str) -> Labels:
    """Labels of `alertname="Up", severity=critical`; raises `Problem` for anything but equality."""
    found = parse(text)
    if any(one.op != "=" for one in found):
        raise bad_input("labels are name=value; a pattern is no label")
    return {one.name: one.value for one in found if one.value}


def where(service: Alerting, labels: Labels) -> Answer:
    """The routes that an alert with these labels would take."""
    routing, now = service.routing, service.core.clock.now()
    alert = Alert(fingerprint="", labels=labels, annotations={}, starts_at=now, ends_at=None, updated_at=now)
    return Answer(
        labels,
        [_way(service, route, labels, now) for route in routing.route.match(labels)],
        reasons(service, alert),
    )


def _way(service: Alerting, route: Route, labels: Labels, now: float) -> Way:
    routing = service.routing
    receiver = routing.receivers.get(route.receiver)
    return Way(
        route=route.id,
        receiver=route.receiver,
        to=[one.to for one in receiver.targets] if receiver else [],
        group=route.group(labels),
        wait_s=route.group_wait_s,
        repeat_s=route.repeat_interval_s,
        muted_by=routing.muted_by(route, now),
    )


def _context(service: Alerting, labels: str) -> dict[str, Any]:
    answer: Answer | None = None
    problem = ""
    if labels.strip():
        try:
            answer = where(service, read_labels(labels))
        except Problem as error:
            problem = error.detail
    return {
        "section": "/settings",
        "targets": service.targets(),
        "receivers": list(service.routing.receivers.values()),
        "routes": list(service.routing.route.walk()),
        "path": service.settings.alertmanager_config,
        "settings": service.settings,
        "show_duration": show_duration,
        "tested": "",
        "outcome": None,
        "deadman": service.deadman,
        "relayed": service.relay.sent.values(),
        "relays": service.relay.hosts(),
        "labels": labels,
        "answer": answer,
        "taken": {way.route for way in answer.ways} if answer else set(),
        "problem": problem,
        "examples": _examples(service),
    }


def _examples(service: Alerting) -> list[tuple[str, str]]:
    """Alerts that fire or could: their names, and the address that asks about them."""
    found: dict[str, Labels] = {}
    for one in service.dispatcher.firing():
        found.setdefault(one.name, one.labels)
    for group in service.engine.groups:
        for rule in group.rules:
            if rule.alerting:
                found.setdefault(rule.name, {"alertname": rule.name, **group.labels, **rule.labels})
    return [
        (name, "/settings/alerts?" + urlencode({"labels": _text(labels)}) + "#where")
        for name, labels in list(found.items())[:MOST_EXAMPLES]
    ]


def _text(labels: Labels) -> str:
    return ", ".join(str(Matcher(name, "=", value)) for name, value in sorted(labels.items()))


def receiver_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """The page, the test button and the question by API."""

    @get("/settings/alerts", include_in_schema=False, sync_to_thread=False)
    def receivers(labels: FromQuery[str] = "") -> Template:
        return Template("alerts/receivers.html", context=_context(service, labels[:10_000]))

    @post("/settings/alerts/test", include_in_schema=False, status_code=200)
    async def test(data: Form) -> Template:
        ref = data.get("target", "")
        outcome = await service.test(ref)
        return Template(
            "alerts/receivers.html",
            context={**_context(service, ""), "tested": ref, "outcome": outcome},
        )

    @get("/api/mamimon/alerts/where", tags=["alerts"], sync_to_thread=False)
    def ask(labels: FromQuery[str]) -> Answer:
        """Where an alert with these labels (`alertname="Up", severity=critical`) would go."""
        return where(service, read_labels(labels[:10_000]))

    return [receivers, test, ask]
