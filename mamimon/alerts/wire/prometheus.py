"""`/api/v1/rules`, `/api/v1/alerts`, `/api/v1/alertmanagers` as Prometheus answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from litestar import Router, get
from litestar.params import QueryParameter

from mamimon.alerts.matchers import all_match, parse
from mamimon.alerts.model import ActiveAlert, Rule, RuleGroup
from mamimon.alerts.wording import rfc3339
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting

Kind = Literal["alert", "record"]
Many = list[str] | None


def prometheus_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """The three endpoints."""

    @get("/api/v1/rules", sync_to_thread=False)
    def rules(
        kind: Annotated[Kind | None, QueryParameter(name="type")] = None,
        rule_name: Annotated[Many, QueryParameter(name="rule_name[]")] = None,
        rule_group: Annotated[Many, QueryParameter(name="rule_group[]")] = None,
        file: Annotated[Many, QueryParameter(name="file[]")] = None,
        match: Annotated[Many, QueryParameter(name="match[]")] = None,
        exclude_alerts: Annotated[bool, QueryParameter(name="exclude_alerts")] = False,
    ) -> dict[str, Any]:
        """Rule groups with health and active alerts."""
        matchers = [parse(one) for one in match or []]
        groups = []
        for group in service.engine.groups:
            if (rule_group and group.name not in rule_group) or (file and group.file not in file):
                continue
            shown = [
                _rule(service, group, rule, exclude_alerts)
                for rule in group.rules
                if (kind is None or rule.alerting == (kind == "alert"))
                and (not rule_name or rule.name in rule_name)
                and (not matchers or any(all_match(one, rule.labels) for one in matchers))
            ]
            if shown or not (kind or rule_name or matchers):
                groups.append(
                    {
                        "name": group.name,
                        "file": group.file,
                        "rules": shown,
                        "interval": group.interval_s,
                        "limit": group.limit,
                        "evaluationTime": group.took_s,
                        "lastEvaluation": rfc3339(group.evaluated_at or None),
                    }
                )
        return {"status": "success", "data": {"groups": groups}}

    @get("/api/v1/alerts", sync_to_thread=False)
    def alerts() -> dict[str, Any]:
        """Pending and firing alerts of our rules."""
        found = [_alert(one) for _, _, one in service.engine.firing()]
        return {"status": "success", "data": {"alerts": found}}

    @get("/api/v1/alertmanagers", sync_to_thread=False)
    def alertmanagers() -> dict[str, Any]:
        """Ourselves."""
        url = f"{service.core.base_url}/alertmanager/api/v2/alerts"
        return {
            "status": "success",
            "data": {"activeAlertmanagers": [{"url": url}], "droppedAlertmanagers": []},
        }

    return [
        Router(
            "/",
            route_handlers=[rules, alerts, alertmanagers],
            exception_handlers={Problem: _problem},
            tags=["prometheus"],
        )
    ]


def _problem(_: Any, error: Problem) -> Any:
    from litestar import Response

    body = {"status": "error", "errorType": "bad_data", "error": error.detail}
    return Response(body, status_code=error.status)


def _rule(service: Alerting, group: RuleGroup, rule: Rule, without_alerts: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": rule.name,
        "query": rule.expr,
        "labels": rule.labels,
        "health": rule.health,
        "evaluationTime": rule.took_s,
        "lastEvaluation": rfc3339(rule.evaluated_at or None),
        "type": "alerting" if rule.alerting else "recording",
    }
    if rule.error:
        body["lastError"] = rule.error
    if rule.alerting:
        active = [
            one
            for one in service.engine.states.get(group.rule_key(rule), {}).values()
            if one.state != "inactive"
        ]
        states = {one.state for one in active}
        body |= {
            "state": "firing" if "firing" in states else ("pending" if states else "inactive"),
            "duration": rule.for_s,
            "keepFiringFor": rule.keep_firing_for_s,
            "annotations": rule.annotations,
            "alerts": [] if without_alerts else [_alert(one) for one in active],
        }
    return body


def _alert(one: ActiveAlert) -> dict[str, Any]:
    return {
        "labels": one.labels,
        "annotations": one.annotations,
        "state": one.state,
        "activeAt": rfc3339(one.active_at),
        "value": f"{one.value:e}" if one.value else "0e+00",
    }
