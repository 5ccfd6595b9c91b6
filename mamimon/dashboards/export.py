"""What a panel shows as CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Sequence
from typing import Any

from mamimon.dashboards.cells import Cell
from mamimon.dashboards.panels import View, chart, fill
from mamimon.dashboards.sources import Sources
from mamimon.problems import Kind, Problem
from mamimon.window import Window


async def as_csv(sources: Sources, view: View, window: Window) -> str:
    """A head and rows; a panel whose question fails raises `UNPROCESSABLE` with the reason."""
    if view.chart:
        answer = await chart(sources, view, window)
        if answer["error"]:
            raise Problem(Kind.UNPROCESSABLE, str(answer["error"]))
        return _written(_chart(answer))
    await fill(sources, view, window)
    if view.error:
        raise Problem(Kind.UNPROCESSABLE, view.error)
    return _written(_rows(view))


def _written(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_plain(value) for value in row])
    return out.getvalue()


def _plain(value: Any) -> Any:
    # A spreadsheet runs a text that begins like this as a formula.
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t"}:
        return "'" + value
    return "" if value is None else value


def _chart(answer: dict[str, Any]) -> list[list[Any]]:
    if "counts" in answer:
        heads = [f"≤ {upper}" if upper is not None else "> …" for upper in answer["upper"]]
        columns = answer["counts"]
    else:
        heads = [one["name"] for one in answer["series"]]
        columns = [one["values"] for one in answer["series"]]
    rows: list[list[Any]] = [["time", *heads]]
    for i, at in enumerate(answer["times"]):
        rows.append([_time(at), *(column[i] for column in columns)])
    return rows


def _rows(view: View) -> list[list[Any]]:
    match view.panel.kind:
        case "stat" | "gauge" | "bar":
            return [["name", "value"], *([one.name, one.value] for one in view.cells)]
        case "table":
            assert view.grid is not None
            heads = [one or "value" for one in view.grid.heads]
            return [heads, *([c.value if isinstance(c, Cell) else c for c in row] for row in view.grid.rows)]
        case "status":
            runs = [[line.name, run.start, run.length, run.text] for line in view.lines for run in line.runs]
            return [["name", "from, thousandths", "length, thousandths", "state"], *runs]
        case "logs":
            lines = [[_time(hit.time), hit.level, hit.logger, hit.message] for hit in view.rows]
            return [["time", "level", "logger", "message"], *lines]
        case "log_top":
            return [[view.panel.field or "message", "count"], *map(list, view.rows)]
        case "errors":
            shown = [
                [one.title, one.culprit, one.count, one.users, _time(one.last_seen)] for one in view.rows
            ]
            return [["error", "culprit", "events", "people", "last seen"], *shown]
        case "checks":
            return [["check", "state", "message"], *([one.name, one.state, one.message] for one in view.rows)]
        case "alerts":
            firing = [[one.name, one.state, _time(one.since)] for one in view.rows]
            return [["alert", "state", "since"], *firing]
    return [["text"], [view.panel.text]]


def _time(seconds: float) -> str:
    return (
        dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
