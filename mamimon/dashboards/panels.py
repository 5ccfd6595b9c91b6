"""A panel as a page shows it: charts by address, everything else as data filled in on the server."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from mamimon.dashboards.cells import Cell, Grid, Line, numbers, states
from mamimon.dashboards.fill import Value, expand, expand_logs, expand_text, value_of
from mamimon.dashboards.jumps import to_errors, to_logs
from mamimon.dashboards.markdown import to_html
from mamimon.dashboards.model import CHARTS, LOGS, METRICS, Dashboard, Panel
from mamimon.dashboards.overrides import dressed
from mamimon.dashboards.sources import Answer, Sources, attempt
from mamimon.dashboards.tables import grid
from mamimon.dashboards.variables import Chosen
from mamimon.i18n import gettext as _
from mamimon.window import Window

_ROWS = 50
_REPEATED = 24
_SPARK_POINTS = 60
_HEIGHTS = {"row": 1, "stat": 3, "gauge": 5, "bar": 5, "text": 4}


class View(msgspec.Struct):
    """What the template of a panel needs; `key` tells a dashboard's panels and their repeats apart."""

    key: str
    index: int
    panel: Panel
    title: str
    src: str = ""
    kind: str = ""
    cells: list[Cell] = []
    lines: list[Line] = []
    grid: Grid | None = None
    rows: list[Any] = []
    html: str = ""
    more: int = 0
    error: str = ""
    explore: str = ""
    alert: str = ""
    logs: str = ""
    errors: str = ""
    values: dict[str, Value] = {}

    @property
    def chart(self) -> bool:
        """Whether the browser draws it."""
        return self.panel.kind in CHARTS

    @property
    def named(self) -> bool:
        """Whether a series' name tells what the title does not."""
        return any("{{" in one.legend for one in self.panel.queries)

    @property
    def height(self) -> int:
        """In units of 36 px, what its kind needs where the panel does not say."""
        return self.panel.height or _HEIGHTS.get(self.panel.kind, 7)


def laid_out(dashboard: Dashboard, window: Window, picked: Chosen, *, spoken: bool = False) -> list[View]:
    """Every panel without its data, once for each value where it repeats; `spoken` titles are translated."""
    found = []
    for index, panel in enumerate(dashboard.panels):
        for key, values in _copies(index, panel, picked):
            title = _(panel.title) if spoken and panel.title else panel.title
            view = View(key, index, panel, expand_text(title, values), values=values)
            view.explore = _explore(panel, window, values)
            view.alert = _alert(view, window)
            if view.chart:
                asked = [query for query, _legend in questions(panel, window, values)]
                metric = panel.kind in METRICS
                view.logs = to_logs(asked if metric else [], values, window)
                view.errors = to_errors(window)
                view.src, view.kind = _src(panel, window, values), _drawn(panel)
            elif panel.kind == "text":
                view.html = to_html(expand_text(panel.text, values))
            found.append(view)
    return found


def _copies(index: int, panel: Panel, picked: Chosen) -> list[tuple[str, dict[str, Value]]]:
    choice = next((one for one in picked.choices if one.name == panel.repeat), None)
    if choice is None:
        return [(str(index), picked.values)]
    # By its value, not its place: the values may change between two requests.
    return [
        (f"{index}-{zlib.crc32(one.encode()):08x}", picked.values | {choice.name: value_of([one])})
        for one in (choice.picked or choice.values)[:_REPEATED]
    ]


def _drawn(panel: Panel) -> str:
    return {"timeseries": "line", "bars": "bars", "heatmap": "heat"}.get(panel.kind, "stack")


def questions(panel: Panel, window: Window, values: Mapping[str, Value]) -> list[tuple[str, str]]:
    """A panel's queries and legends as they are asked."""
    fill = (lambda text: expand_logs(text, values)) if panel.kind in LOGS else None
    return [
        (fill(one.expr) if fill else expand(one.expr, window, values), expand_text(one.legend, values))
        for one in panel.queries
        if one.expr or panel.kind in LOGS
    ]


def _src(panel: Panel, window: Window, values: Mapping[str, Value]) -> str:
    asked = questions(panel, window, values)
    if panel.kind == "log_chart":
        first = asked[0][0] if asked else ""
        return "/api/mamimon/dashboards/log-chart?" + urlencode({"query": first}) + "&" + window.query()
    if panel.kind == "events":
        pairs = [("type", query) for query, _legend in asked]
        return "/api/mamimon/events/chart?" + urlencode(pairs) + "&" + window.query()
    if panel.kind == "heatmap":
        return (
            "/api/mamimon/heatmap?"
            + urlencode({"query": asked[0][0] if asked else ""})
            + "&"
            + window.query()
        )
    pairs = [pair for query, said in asked for pair in (("query", query), ("legend", said))]
    if not (panel.overrides or panel.transforms):
        more = [("exemplars", "1")] if panel.exemplars else []
        return "/api/mamimon/chart?" + urlencode([*pairs, *more]) + "&" + window.query()
    own = Panel("", panel.kind, exemplars=panel.exemplars, overrides=panel.overrides)
    own.transforms = panel.transforms
    pairs.append(("panel", msgspec.json.encode(own).decode()))
    return "/api/mamimon/dashboards/chart?" + urlencode(pairs) + "&" + window.query()


def _explore(panel: Panel, window: Window, values: Mapping[str, Value]) -> str:
    asked = questions(panel, window, values)
    if not asked or panel.kind not in METRICS | LOGS:
        return ""
    pick = {"q": asked[0][0], "kind": "logs" if panel.kind in LOGS else "metrics"}
    return "/explore?" + urlencode(pick) + "&" + window.query()


def _alert(view: View, window: Window) -> str:
    """Where a rule on what the panel shows is written, with its query and threshold filled in."""
    panel = view.panel
    asked = questions(panel, window, view.values)
    if not asked or panel.kind not in METRICS | LOGS:
        return ""
    name = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", view.title))
    if panel.kind in LOGS:
        rule = {"kind": "logs", "query": asked[0][0] or "*", "window": "5m", "op": ">", "threshold": "0"}
    else:
        limit = next((one for one in (panel.crit, panel.warn) if one is not None), 0.0)
        rule = {"kind": "metric", "expr": f"{asked[0][0]} {'<' if panel.below else '>'} {limit:g}"}
    return "/alerts/rules/new?" + urlencode({"name": name[:60], "for": "5m", **rule})


async def fill(sources: Sources, view: View, window: Window) -> None:
    """Ask for a panel's data within its budget and put it, or its error, into the view."""
    if view.chart or view.panel.kind in {"text", "row"}:
        return
    answer = await attempt(_data(sources, view, window))
    view.error = answer.error
    if not answer.error:
        _put(view, answer)


async def chart(sources: Sources, view: View, window: Window) -> dict[str, Any]:
    """The answer that a chart of a dashboard draws; a failure is its `error`."""
    asked = questions(view.panel, window, view.values)
    match view.panel.kind:
        case "log_chart":
            work = sources.log_chart(asked[0][0] if asked else "", window)
        case "events":
            work = sources.event_chart([query for query, _legend in asked], window)
        case "heatmap":
            work = sources.heat(asked[0][0] if asked else "", window)
        case _:
            queries, legends = [one[0] for one in asked], [one[1] for one in asked]
            work = sources.lines_of(queries, legends, window, exemplars=view.panel.exemplars)
    answer = await attempt(work, 10.0)
    if answer.error:
        return {"times": [], "series": [], "marks": [], "error": answer.error}
    return dressed(view.panel, answer.data)


async def _data(sources: Sources, view: View, window: Window) -> Any:
    panel = view.panel
    first = next((query for query, _legend in questions(panel, window, view.values)), "")
    match panel.kind:
        case "stat" | "gauge" | "bar" | "status" | "table":
            return await _metrics(sources, view, window)
        case "logs":
            return (await sources.lines(first, window, 20)).hits
        case "log_top":
            return await sources.log_top(first, panel.field or "message", window)
        case "errors":
            return await sources.top_errors(window.start, window.end, 15)
        case "checks":
            return sources.checks()
        case "alerts":
            return sources.firing()
    raise AssertionError(panel.kind)


async def _metrics(sources: Sources, view: View, window: Window) -> list[Any]:
    asked = questions(view.panel, window, view.values)
    reduced = any(one.kind == "reduce" for one in view.panel.transforms)
    instant = view.panel.kind in {"table", "gauge", "bar"} and view.panel.calc == "last" and not reduced
    points = 120 if view.panel.kind == "status" else _SPARK_POINTS

    async def one(query: str) -> Any:
        if instant:
            return await sources.result(query, None if window.since else window.end)
        return await sources.range(query, window, points)

    results = await asyncio.gather(*(one(query) for query, _legend in asked))
    queries = [msgspec.structs.replace(query, legend=said) for query, (_q, said) in zip(
        [one for one in view.panel.queries if one.expr], asked, strict=True)]  # fmt: skip
    return list(zip(queries, results, strict=True))


def _put(view: View, answer: Answer) -> None:
    match view.panel.kind:
        case "stat" | "gauge" | "bar":
            view.cells, view.more = numbers(view.panel, answer.data)
        case "status":
            view.lines, view.more = states(view.panel, answer.data)
        case "table":
            view.grid = grid(view.panel, answer.data)
            view.more = view.grid.more
        case _:
            view.rows = list(answer.data)[:_ROWS]


def pairs_of(query: str) -> Sequence[tuple[str, str]]:
    """A query string's pairs, in order."""
    from urllib.parse import parse_qsl

    return parse_qsl(query, keep_blank_values=True)
