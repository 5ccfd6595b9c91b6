"""One rule at one instant: its result with labels and annotations expanded.

`ask` answers an expression at that instant; the engine asks the series back end, unit tests of
rules a store in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from mamimon.alerts.model import Labels, Rule, RuleGroup, fingerprint
from mamimon.alerts.states import Found
from mamimon.alerts.templates import Sample, TemplateError, expand
from mamimon.metrics.histogram import Histogram

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult

MAX_ALERTS = 10_000
Recorded = tuple[Labels, float | Histogram]
"""Labels and value of a series that a rule makes."""
Ask = Callable[[str], "Awaitable[QueryResult]"]


def vector(result: QueryResult) -> list[tuple[Labels, float]]:
    """Labels and value of every element of an instant vector; a scalar is one element without labels."""
    if result.kind not in {"vector", "scalar"}:
        raise ValueError(f"rule result is a {result.kind}, not a vector or scalar")
    out: list[tuple[Labels, float]] = []
    for number, labels in enumerate(result.labels or ([{}] if result.kind == "scalar" else [])):
        if result.present[number, -1]:
            out.append((labels, float(result.values[number, -1])))
    return out


async def alerting(
    group: RuleGroup, rule: Rule, ask: Ask, external_labels: Mapping[str, str], external_url: str
) -> dict[str, Found]:
    """What an alerting rule finds, by fingerprint; raises `ValueError` for what cannot be alerts."""
    found: dict[str, Found] = {}

    async def query(expr: str) -> list[Sample]:
        return [Sample(*pair) for pair in vector(await ask(expr))]

    async def text(source: str, own: Labels, value: float) -> str:
        try:
            return await expand(
                source, own, value, query=query, external_labels=external_labels, external_url=external_url
            )
        except TemplateError as error:
            return f"<error expanding template: {error}>"

    for labels, value in vector(await ask(rule.expr)):
        own = {k: v for k, v in labels.items() if k != "__name__"}
        extra = {k: await text(v, own, value) for k, v in group.all_labels(rule).items()}
        final = {k: v for k, v in {**own, **extra, "alertname": rule.name}.items() if v}
        key = fingerprint(final)
        if key in found:
            raise ValueError("vector contains metrics with the same labelset after applying alert labels")
        annotations = {k: await text(v, own, value) for k, v in rule.annotations.items()}
        found[key] = Found(final, annotations, value)
    if len(found) > (group.limit or MAX_ALERTS):
        raise ValueError(f"exceeded limit of {group.limit or MAX_ALERTS} with {len(found)} alerts")
    return found


async def recording(group: RuleGroup, rule: Rule, ask: Ask) -> list[Recorded]:
    """The series that a recording rule makes."""
    out: dict[str, Recorded] = {}
    for labels, value in points(await ask(rule.expr)):
        named = {**labels, **group.all_labels(rule), "__name__": rule.name}
        final = {k: v for k, v in named.items() if v}
        key = fingerprint(final)
        if key in out:
            raise ValueError("vector contains metrics with the same labelset after applying rule labels")
        out[key] = (final, value)
    if group.limit and len(out) > group.limit:
        raise ValueError(f"exceeded limit of {group.limit} with {len(out)} series")
    return list(out.values())


def points(result: QueryResult) -> list[Recorded]:
    """As `vector`, native histograms included."""
    out: list[Recorded] = list(vector(result))
    if result.histograms is None:
        return out
    found = [one for one, there in zip(result.histograms[:, -1], result.present[:, -1], strict=True) if there]
    return [
        (labels, value if histogram is None else histogram)
        for (labels, value), histogram in zip(out, found, strict=True)
    ]
