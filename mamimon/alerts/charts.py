"""The chart of an incident: the rule's expression around its time, threshold and marks in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mamimon.alerts import incidents, store
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.alerts.model import Incident, Labels
    from mamimon.alerts.service import Alerting
    from mamimon.metrics.model import QueryResult

BEFORE_S = 3600.0
AFTER_S = 900.0
POINTS = 240
MOST_SERIES = 12
LEAD_STEPS = 2


def split_comparison(expr: str) -> tuple[str, float | None]:
    """What a rule compares and the number it compares it with; a rule of another form is left whole."""
    from mamimon.metrics.promql import PromQLError, parse, render
    from mamimon.metrics.promql.ast import Binary, Number, Paren, Unary

    try:
        node = parse(expr)
    except PromQLError:
        return expr, None
    while isinstance(node, Paren):
        node = node.expr
    if isinstance(node, Binary) and node.op in {">", "<", ">=", "<=", "==", "!="}:
        right, sign = node.right, 1.0
        if isinstance(right, Unary) and right.op == "-":
            right, sign = right.expr, -1.0
        if isinstance(right, Number):
            return render(node.left), sign * right.value
    return expr, None


async def incident_chart(service: Alerting, incident_id: int) -> dict[str, Any]:
    """The answer that `charts.js` draws; where the query fails, `error` says why."""
    now = service.core.clock.now()

    def read(raw: Any) -> tuple[Incident, list[dict[str, Any]]]:
        one = incidents.get(raw, incident_id)
        return one, store.deploys(raw, one.started_at - BEFORE_S, one.resolved_at or now)

    incident, deploys = await service.core.state.read(read)
    end = min(now, (incident.resolved_at or now) + AFTER_S)
    start = incident.started_at - BEFORE_S
    step = max(15.0, round((end - start) / POINTS))
    expr, threshold = split_comparison(incident.expr)
    answer: dict[str, Any] = {
        "times": [],
        "series": [],
        "marks": [
            {"time": incident.started_at, "label": "", "kind": "alert"},
            *({"time": one["at"], "label": one["version"], "kind": "deploy"} for one in deploys),
        ],
        "error": "",
    }
    if threshold is not None:
        answer["threshold"] = {"value": threshold, "label": f"{threshold:g}"}
    try:
        found = await service.backend().range(expr, start, end, step)
    except Problem as problem:
        return answer | {"error": problem.detail}
    answer["times"] = [at / 1000 for at in found.times.tolist()]
    answer["series"] = drawn(found, incident.labels, incident.title)
    return without_lead(answer)


def without_lead(answer: dict[str, Any]) -> dict[str, Any]:
    """Cut the time before the first value, which a young server has not seen."""
    values = [one["values"] for one in answer["series"]]
    first = min(
        (next((i for i, value in enumerate(one) if value is not None), len(one)) for one in values), default=0
    )
    cut = max(0, first - LEAD_STEPS)
    series = [one | {"values": one["values"][cut:]} for one in answer["series"]]
    return answer | {"times": answer["times"][cut:], "series": series}


def drawn(found: QueryResult, own: Labels, title: str) -> list[dict[str, Any]]:
    """The series that `own` labels fit first, then the others."""
    fits = [all(own.get(k, v) == v for k, v in labels.items()) for labels in found.labels]
    order = sorted(range(len(found.labels)), key=lambda row: not fits[row])[:MOST_SERIES]
    out = []
    for row in order:
        labels = found.labels[row]
        name = ", ".join(f"{k}={v}" for k, v in sorted(labels.items()) if k != "__name__")
        out.append({"name": name or labels.get("__name__", title), "values": found.drawn(row)})
    return out
