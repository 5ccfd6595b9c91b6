"""`/api/v1/rules`, `/api/v1/alerts`, `/api/v1/alertmanagers` as Prometheus answers them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, Router, get

from mamimon.alerts.matchers import Matcher, all_match, make
from mamimon.alerts.model import ActiveAlert, Rule, RuleGroup
from mamimon.alerts.wording import rfc3339
from mamimon.metrics.routes.answer import Parameters, failure, parameters, selectors, success
from mamimon.metrics.routes.reading import Unreadable, quoted, truth, whole_number
from mamimon.problems import Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting


def prometheus_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """The three endpoints."""

    @get("/api/v1/rules")
    async def rules(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Rule groups with health and active alerts, page by page if `group_limit` is given."""
        wanted = _Wanted(await parameters(request))
        groups: list[dict[str, Any]] = []
        following = ""
        for group in wanted.from_token(sorted(service.engine.groups, key=lambda one: (one.file, one.name))):
            shown = [_rule(service, group, rule, wanted.bare) for rule in wanted.rules(group)]
            if not shown:
                continue
            if wanted.limit and len(groups) == wanted.limit:
                following = _token(group)
                break
            groups.append(_group(group, shown))
        more = {"groupNextToken": following} if following else {}
        return success({"groups": groups, **more})

    @get("/api/v1/alerts", sync_to_thread=False)
    def alerts() -> Response[bytes]:
        """Pending and firing alerts of our rules."""
        found = [_alert(one) for _, _, one in service.engine.firing()]
        return success({"alerts": found})

    @get("/api/v1/alertmanagers", sync_to_thread=False)
    def alertmanagers() -> Response[bytes]:
        """Ourselves, and those that alerts are sent on to."""
        urls = [f"{service.core.base_url}/alertmanager", *service.relay.hosts()]
        active = [{"url": f"{url}/api/v2/alerts"} for url in urls]
        return success({"activeAlertmanagers": active, "droppedAlertmanagers": []})

    return [
        Router(
            "/",
            route_handlers=[rules, alerts, alertmanagers],
            exception_handlers={Problem: failure},
            tags=["prometheus"],
        )
    ]


class _Wanted:
    """The filters of a request for rules."""

    def __init__(self, given: Parameters) -> None:
        self.kind = given.get("type").lower()
        if self.kind not in ("", "alert", "record"):
            raise bad_input(f'invalid parameter "type": not supported value {quoted(self.kind)}')
        self.names = given.all("rule_name[]")
        self.groups = given.all("rule_group[]")
        self.files = given.all("file[]")
        self.matchers: list[list[Matcher]] = [
            [make(one.name, one.op, one.value) for one in matchers] for matchers in selectors(given)
        ]
        try:
            self.bare = truth(given.get("exclude_alerts").lower())
        except Unreadable as error:
            raise bad_input(
                f'invalid parameter "exclude_alerts": error converting exclude_alerts: {error}'
            ) from None
        self._token = given.get("group_next_token")
        if self._token and not given.get("group_limit"):
            reason = "group_limit needs to be present in order to paginate over the groups"
            raise bad_input(f'invalid parameter "group_next_token": {reason}')
        self.limit = _limit(given.get("group_limit"))

    def from_token(self, groups: Sequence[RuleGroup]) -> list[RuleGroup]:
        """The groups that fit, from the one that the token names on."""
        start = 0
        if self._token:
            tokens = [_token(group) for group in groups]
            if self._token not in tokens:
                reason = f"invalid group_next_token '{self._token[:100]}'. were rule groups changed?"
                raise bad_input(f'invalid parameter "group_next_token": {reason}')
            start = tokens.index(self._token)
        return [
            group
            for group in groups[start:]
            if (not self.groups or group.name in self.groups) and (not self.files or group.file in self.files)
        ]

    def rules(self, group: RuleGroup) -> list[Rule]:
        """The rules of a group that fit."""
        return [
            rule
            for rule in group.rules
            if (not self.kind or rule.alerting == (self.kind == "alert"))
            and (not self.names or rule.name in self.names)
            and (not self.matchers or any(all_match(one, group.all_labels(rule)) for one in self.matchers))
        ]


def _limit(text: str) -> int:
    if not text:
        return 0
    try:
        limit = whole_number(text, "ParseInt", 32)
    except Unreadable as error:
        reason = f"group_limit needs to be a valid number: {error}"
        raise bad_input(f'invalid parameter "group_limit": {reason}') from None
    if limit <= 0:
        raise bad_input('invalid parameter "group_limit": group_limit needs to be greater than 0')
    return limit


def _token(group: RuleGroup) -> str:
    return hashlib.sha256(group.key.encode()).hexdigest()


def _group(group: RuleGroup, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": group.interval_s,
        "limit": group.limit,
        "evaluationTime": group.took_s,
        "lastEvaluation": rfc3339(group.evaluated_at or None),
    }


@lru_cache(maxsize=4096)
def _query(expr: str) -> str:
    """An expression as Prometheus prints it."""
    from mamimon.metrics.promql import parse, render

    return render(parse(expr))


def _rule(service: Alerting, group: RuleGroup, rule: Rule, without_alerts: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": rule.name,
        "query": _query(rule.expr),
        "labels": group.all_labels(rule),
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
        }
        body["alerts"] = None if without_alerts else [_alert(one) for one in active]
    return body


def _alert(one: ActiveAlert) -> dict[str, Any]:
    body = {
        "labels": one.labels,
        "annotations": one.annotations,
        "state": one.state,
        "activeAt": rfc3339(one.active_at),
        "value": _exponential(one.value),
    }
    if one.keep_since:
        body["keepFiringSince"] = rfc3339(one.keep_since)
    return body


def _exponential(value: float) -> str:
    """The shortest digits with an exponent of at least two, as Go's `%e` of -1 digits."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    shown = "".join(map(str, digits))
    power = exponent + len(shown) - 1 if value else 0
    point = f".{shown[1:]}" if len(shown) > 1 else ""
    return f"{'-' if sign else ''}{shown[0]}{point}e{power:+03d}"
