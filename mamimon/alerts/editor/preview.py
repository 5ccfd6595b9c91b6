"""What a rule would do, before it is saved: its chart, what it says now, how often it would have fired."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.alerts import evaluate
from mamimon.alerts.backtest import DAY_S, Backtest, backtest, episodes, summarised
from mamimon.alerts.charts import MOST_SERIES, drawn, split_comparison, without_lead
from mamimon.alerts.editor import lines
from mamimon.alerts.model import Labels, RuleGroup
from mamimon.alerts.states import Found
from mamimon.i18n import gettext
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.alerts.editor.model import OwnRule
    from mamimon.alerts.service import Alerting
    from mamimon.logs.room import LogRoom
    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.room import MetricRoom

POINTS = 240
BUDGET_S = 20.0
MOST_MARKS = 30
_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


class Reading(msgspec.Struct):
    """What a rule would say now: of how many series it is true, and the first one's texts."""

    firing: int
    labels: Labels
    annotations: Labels
    value: float | None
    receivers: list[str]
    error: str = ""
    cut: bool = False
    """Whether there are more values of a field than a rule tells apart."""


class Preview:
    """Asks the series and the log lines of one server."""

    def __init__(self, service: Alerting, logs: LogRoom, metrics: MetricRoom) -> None:
        self._service = service
        self._logs = logs
        self._metrics = metrics

    def _now(self) -> float:
        return self._service.core.clock.now()

    async def chart(self, rule: OwnRule, length_s: float) -> dict[str, Any]:
        """What `charts.js` draws: the rule's left side, its threshold, and where it would have fired."""
        end = self._now()
        start = max(end - length_s, await self._first(rule) or 0.0)
        step = max(15.0, round((end - start) / POINTS))
        answer: dict[str, Any] = {"times": [], "series": [], "marks": [], "error": ""}
        try:
            if rule.kind == "logs":
                times, counts = await self._counted(rule, start, end, step)
                answer |= {"times": times.tolist()}
                answer["series"] = [
                    {"name": value or rule.query, "values": row.tolist()}
                    for value, row in list(counts.items())[:MOST_SERIES]
                ]
                limit: float | None = rule.threshold
            else:
                expr, limit = split_comparison(rule.expr)
                result = await self._service.backend().range(expr, start, end, step)
                answer["times"] = [at / 1000 for at in result.times.tolist()]
                answer["series"] = drawn(result, {}, rule.name)
            tried = await self.backtest(rule, length_s)
        except Problem as problem:
            return answer | {"error": problem.detail}
        if limit is not None:
            answer["threshold"] = {"value": limit, "label": f"{limit:g}"}
        answer["marks"] = [
            {"time": one.start, "label": "", "kind": "alert"} for one in tried.episodes[:MOST_MARKS]
        ]
        return without_lead(answer)

    async def backtest(self, rule: OwnRule, length_s: float) -> Backtest:
        """How often it would have fired in the time before now, as far back as there is something stored."""
        end = self._now()
        start = end - length_s
        oldest = await self._first(rule)
        if oldest is not None:
            start = min(max(start, oldest), end)
        if rule.kind == "metric":
            interval_s = self._service.core.settings.metrics.evaluation_interval_s
            return await backtest(self._service.backend(), rule.expr, rule.for_s, start, end, interval_s)
        step = min(rule.window_s, 15.0 if length_s <= 2 * DAY_S else 60.0)
        times, counts = await self._counted(rule, start, end, step)
        first = float(times[0]) if len(times) else start
        found = [
            one
            for value, row in counts.items()
            for one in episodes(_labelled(rule, value), _COMPARE[rule.op](row, rule.threshold), first, step)
        ]
        return summarised(found, rule.for_s, step, start, end)

    async def _first(self, rule: OwnRule) -> float | None:
        """When what the rule is about was first stored."""
        return self._metrics.oldest() if rule.kind == "metric" else await self._logs.oldest()

    async def _counted(self, rule: OwnRule, start: float, end: float, step_s: float) -> Any:
        assert rule.lines is not None
        return await lines.sliding(self._logs.backend, rule.lines, start, end, step_s, budget_s=BUDGET_S)

    async def reading(self, rule: OwnRule) -> Reading:
        """What it would say now; where nothing fires, with the value of the first series there is."""
        try:
            if rule.kind == "logs":
                return await self._logs_reading(rule)
            now = await self._found(rule, rule.expr)
            shown = now or await self._found(rule, split_comparison(rule.expr)[0])
        except Problem as problem:
            return Reading(0, {}, {}, None, [], problem.detail)
        except ValueError as error:
            return Reading(0, {}, {}, None, [], str(error))
        first = next(iter(shown.values()), None)
        if first is None:
            return Reading(0, {}, {}, None, self._receivers({"alertname": rule.name, **rule.labels}))
        receivers = self._receivers(first.labels)
        return Reading(len(now), first.labels, first.annotations, first.value, receivers)

    async def _logs_reading(self, rule: OwnRule) -> Reading:
        assert rule.lines is not None
        counts = await lines.counts(self._logs.backend, rule.lines, self._now())
        fires = [name for name, n in counts.items() if _COMPARE[rule.op](n, rule.threshold)]
        name = next(iter([*fires, *counts]), None)
        if name is None:
            return Reading(0, {}, {}, None, self._receivers({"alertname": rule.name, **rule.labels}))
        value = counts[name]
        found = await self._found(rule, f"vector({value:.17g})", _labelled(rule, name))
        first = next(iter(found.values()))
        receivers = self._receivers(first.labels)
        cut = len(counts) >= lines.MOST_VALUES
        return Reading(len(fires), first.labels, first.annotations, value, receivers, cut=cut)

    async def _found(self, rule: OwnRule, expr: str, own: Labels | None = None) -> dict[str, Found]:
        service = self._service

        async def ask(text: str) -> QueryResult:
            found = await service.backend().instant(text, self._now(), timeout_s=BUDGET_S)
            return (
                msgspec.structs.replace(found, labels=[one | own for one in found.labels]) if own else found
            )

        group = RuleGroup(name="", file="", rules=[], interval_s=60.0)
        one = msgspec.structs.replace(rule.rule(), expr=expr)
        return await evaluate.alerting(group, one, ask, service.external_labels(), service.core.base_url)

    def _receivers(self, labels: Labels) -> list[str]:
        routing = self._service.routing
        names = dict.fromkeys(route.receiver for route in routing.route.match(labels))
        return [
            f"{name} ({', '.join(one.to for one in routing.receivers[name].targets) or gettext('nobody')})"
            for name in names
            if name in routing.receivers
        ]


def _labelled(rule: OwnRule, value: str) -> Labels:
    return {rule.lines.label: value} if rule.lines is not None and rule.by else {}
