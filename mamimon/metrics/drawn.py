"""PromQL over a window as the compact answer that charts draw."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from mamimon.metrics.heat import heat_of, query_of
from mamimon.problems import Problem

if TYPE_CHECKING:
    from mamimon.metrics.model import Labels, QueryResult
    from mamimon.metrics.query import SeriesBackend
    from mamimon.metrics.store.dayfile import ExemplarRow
    from mamimon.window import Window

POINTS = 240
MOST_QUERIES = 40
_MOST_SERIES = 60
_HEAT_POINTS = 120
_READ_EXEMPLARS = 20_000
_SLOTS = 60
_REQUEST_LABELS = ("request_id", "trace_id", "traceID", "traceId")
_REFERENCE = re.compile(r"\{\{\s*([^}\s]+)\s*\}\}")


async def drawn(
    backend: SeriesBackend, queries: Sequence[str], legends: Sequence[str], window: Window, now: float
) -> dict[str, Any]:
    """The lines of queries over a window; a query that fails is told in `error`."""
    start, end, step = steps(window, now, POINTS)
    answer: dict[str, Any] = {"times": [], "series": [], "error": "", "step": step, "warnings": []}
    count = 0
    for i, text in enumerate(queries):
        # `$step` is the chart's own window for rates, as Grafana's $__rate_interval is.
        expr = text.replace("$step", f"{max(round(step * 4), 60)}s")
        try:
            found = await backend.range(expr, start, end, step)
        except Problem as problem:
            answer["error"] = problem.detail
            continue
        answer["times"] = [at / 1000 for at in found.times.tolist()]
        answer["warnings"] += [*found.warnings, *found.infos]
        legend = legends[i] if i < len(legends) else ""
        # Only what is shown is turned into Python numbers: a query may match thousands of series.
        own = _series(found, legend, text, _MOST_SERIES - len(answer["series"]))
        answer["series"] += [{**one, "query": i} for one in own]
        count += len(found.labels)
    answer["more"] = count - len(answer["series"])
    return answer


async def exemplars_drawn(
    ask: Callable[..., Awaitable[list[tuple[dict[str, str], list[ExemplarRow]]]]],
    queries: Sequence[str],
    start: float,
    end: float,
) -> list[dict[str, Any]]:
    """The exemplars of the series that queries select, as dots with where they lead; `ask` is the store's."""
    from mamimon.metrics.promql import PromQLError, parse
    from mamimon.metrics.promql.ast import Selector, walk

    selectors = []
    for text in queries:
        with contextlib.suppress(PromQLError):  # the chart itself says what is wrong
            selectors += [list(node.matchers) for node in walk(parse(text)) if isinstance(node, Selector)]
    found = await ask(selectors, start, end, _READ_EXEMPLARS) if selectors else []
    # One request is in every bucket that it fits.
    every = {(at, value, text): labels for labels, rows in found for _, at, value, text in rows}
    return [_dot(*row, every[row]) for row in _slowest(list(every), start, end)]


def _slowest(rows: list[tuple[int, float, str]], start: float, end: float) -> list[tuple[int, float, str]]:
    """The highest two of each part of the time where there are more than can be told apart."""
    if len(rows) <= 2 * _SLOTS:
        return rows
    width = max((end - start) * 1000 / _SLOTS, 1.0)
    slots: dict[int, list[tuple[int, float, str]]] = {}
    for row in rows:
        slots.setdefault(int((row[0] - start * 1000) / width), []).append(row)
    return [row for slot in slots.values() for row in sorted(slot, key=lambda one: -one[1])[:2]]


def _dot(at: int, value: float, text: str, labels: dict[str, str]) -> dict[str, Any]:
    own = msgspec.json.decode(text, type=dict[str, str])
    request_id = next((own[name] for name in _REQUEST_LABELS if own.get(name)), "")
    shown = [*own.items(), *((name, said) for name, said in labels.items() if name != "__name__")]
    return {
        "time": at / 1000,
        "value": value,
        "label": ", ".join(f"{name}={said}" for name, said in shown),
        "url": f"/requests/{quote(request_id, safe='')}" if request_id else "",
    }


async def heat_drawn(backend: SeriesBackend, query: str, window: Window, now: float) -> dict[str, Any]:
    """A histogram, classic or native, over a window: counts by step and bucket; a failure in `error`."""
    from mamimon.metrics.promql import PromQLError

    start, end, step = steps(window, now, _HEAT_POINTS)
    empty: dict[str, Any] = {"times": [], "lower": [], "upper": [], "counts": [], "error": ""}
    try:
        found = await backend.range(query_of(query, step), start, end, step)
    except (Problem, PromQLError) as error:
        return empty | {"error": str(error)}
    heat = await asyncio.to_thread(heat_of, found)
    return {**msgspec.structs.asdict(heat), "step": step, "error": ""}


def steps(window: Window, now: float, points: int) -> tuple[float, float, float]:
    """Start, end and step in seconds; the last point is now, so that the newest sample is drawn."""
    step = window.step(points)
    end = min(window.end, now)
    return end - int((end - window.start) / step) * step, end, step


def _series(found: QueryResult, legend: str, text: str, most: int) -> list[dict[str, Any]]:
    out = []
    shared = (
        set.intersection(*(set(labels.items()) for labels in found.labels)) if found.labels[1:] else set()
    )
    for row, full in enumerate(found.labels[:most]):
        # What all lines have in common tells none apart; the metric's name stays for the reader.
        labels = (
            full if legend else {n: v for n, v in full.items() if n == "__name__" or (n, v) not in shared}
        )
        out.append({"name": named(labels, legend, text), "values": found.drawn(row)})
    return out


def named(labels: Labels, legend: str, text: str) -> str:
    """A series' name on a chart: by its legend, else by its labels, else by the query."""
    if legend:
        return _REFERENCE.sub(lambda found: labels.get(found.group(1), ""), legend)
    name = labels.get("__name__", "")
    rest = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    if not name and not rest:
        return text[:120]
    return f"{name}{{{rest}}}" if rest else name
