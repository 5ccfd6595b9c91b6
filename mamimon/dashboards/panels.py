"""A panel as a page shows it: charts by address, everything else as data filled in on the server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from mamimon.dashboards.model import CHARTS, Dashboard, Panel, Query, expand
from mamimon.dashboards.sources import Answer, Sources, attempt
from mamimon.dashboards.units import shown
from mamimon.dashboards.variables import Chosen
from mamimon.i18n import gettext as _
from mamimon.window import Window

_ROWS = 50
_AT_ONCE = 6


class Cell(msgspec.Struct):
    """A value with the look that its thresholds give it; `name` tells several apart."""

    name: str
    text: str
    tone: str
    value: float | None = None


class View(msgspec.Struct):
    """What the template of a panel needs."""

    index: int
    panel: Panel
    title: str
    src: str = ""
    kind: str = ""
    cells: list[Cell] = []
    rows: list[Any] = []
    more: int = 0
    error: str = ""
    explore: str = ""


async def views(
    sources: Sources, dashboard: Dashboard, window: Window, picked: Chosen, only: int | None = None
) -> list[View]:
    """Every panel (or one) of a dashboard, each with its own budget; at most a few ask at once."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int, panel: Panel) -> View:
        view = View(index, panel, _(panel.title) if panel.title else "")
        view.explore = _explore(panel, window, picked.regexes)
        if panel.kind in CHARTS:
            view.src, view.kind = _src(panel, window, picked.regexes), _drawn(panel)
            return view
        async with gate:
            answer = await attempt(_data(sources, panel, window, picked.regexes))
        _fill(view, answer)
        return view

    wanted = [(index, panel) for index, panel in enumerate(dashboard.panels) if only in (None, index)]
    return list(await asyncio.gather(*(one(index, panel) for index, panel in wanted)))


def _drawn(panel: Panel) -> str:
    return {"timeseries": "line", "bars": "bars"}.get(panel.kind, "stack")


def _src(panel: Panel, window: Window, values: Mapping[str, str]) -> str:
    first = panel.queries[0].expr if panel.queries else ""
    if panel.kind == "log_chart":
        return "/api/mamimon/dashboards/log-chart?" + urlencode({"query": first}) + "&" + window.query()
    if panel.kind == "events":
        pairs = [("type", query.expr) for query in panel.queries if query.expr]
        return "/api/mamimon/events/chart?" + urlencode(pairs) + "&" + window.query()
    pairs = [
        pair
        for query in panel.queries
        for pair in (("query", expand(query.expr, window, values)), ("legend", query.legend))
    ]
    return "/api/mamimon/chart?" + urlencode(pairs) + "&" + window.query()


def _explore(panel: Panel, window: Window, values: Mapping[str, str]) -> str:
    if not panel.queries or panel.kind in {"text", "errors", "events", "checks", "alerts"}:
        return ""
    expr = panel.queries[0].expr
    logs = panel.kind in {"logs", "log_chart", "log_top"}
    text = expr if logs else expand(expr, window, values)
    pick = {"q": text, "kind": "logs" if logs else "metrics"}
    return "/explore?" + urlencode(pick) + "&" + window.query()


async def _data(sources: Sources, panel: Panel, window: Window, values: Mapping[str, str]) -> Any:
    first = panel.queries[0].expr if panel.queries else ""
    match panel.kind:
        case "stat" | "table":
            return await _instant(sources, panel.queries, window, values)
        case "logs":
            return (await sources.lines(first, window, 20)).hits
        case "log_top":
            return await sources.log_top(first, panel.field or "message", window)
        case "errors":
            return await sources.top_errors(window.start, 15)
        case "checks":
            return sources.checks()
        case "alerts":
            return sources.firing()
    return panel.text


async def _instant(
    sources: Sources, queries: Sequence[Query], window: Window, values: Mapping[str, str]
) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    for query in queries:
        at = None if window.since else window.end
        found = await sources.instant(expand(query.expr, window, values), at)
        rows.extend((legend(query.legend, one.labels), one.value) for one in found)
    return rows


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A series' name by a legend such as `{{method}} {{path}}`, else its labels."""
    if not form:
        rest = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__")
        return rest or labels.get("__name__", "")
    text = form
    for key, value in labels.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _fill(view: View, answer: Answer) -> None:
    panel = view.panel
    view.error = answer.error
    if answer.error:
        return
    if panel.kind in {"stat", "table"}:
        rows = sorted(answer.data, key=lambda row: -row[1] if not math.isnan(row[1]) else math.inf)
        view.more = max(0, len(rows) - _ROWS)
        view.cells = [Cell(name, shown(v, panel.unit), tone(panel, v), v) for name, v in rows[:_ROWS]]
        if panel.kind == "stat" and not view.cells:
            view.cells = [Cell("", "–", "")]
    elif panel.kind != "text":
        view.rows = list(answer.data)[:_ROWS]


def tone(panel: Panel, value: float) -> str:
    """`crit` or `warn` where the value is over the panel's threshold, else empty."""
    if panel.crit is not None and value >= panel.crit:
        return "crit"
    return "warn" if panel.warn is not None and value >= panel.warn else ""
