"""Values with the look that a panel gives them: numbers, gauges, bars, tables and states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from mamimon.dashboards.model import Panel, Query, Unit
from mamimon.dashboards.overrides import look_of
from mamimon.dashboards.units import shown

if TYPE_CHECKING:
    from mamimon.metrics.model import QueryResult

_ROWS = 50
_RUNS = 400
_WIDE, _HIGH = 120, 28


class Cell(msgspec.Struct):
    """A value with the look that its thresholds give it; `name` tells several apart.

    `share` is where the value stands between the panel's ends, 0 to 1; `spark` the points of its line.
    """

    name: str
    text: str
    tone: str
    value: float | None = None
    share: float = 0.0
    spark: str = ""


class Run(msgspec.Struct):
    """A state that lasted: from and how long, in thousandths of the window."""

    start: int
    length: int
    text: str
    tone: str


class Line(msgspec.Struct):
    """A series of a status history."""

    name: str
    runs: list[Run]


class Grid(msgspec.Struct):
    """A table: heads, which columns are numbers, and rows of texts and cells."""

    heads: list[str]
    numbers: list[bool]
    rows: list[list[str | Cell | None]]
    more: int = 0


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A series' name by a legend such as `{{method}} {{path}}`, else its labels."""
    if not form:
        rest = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__")
        return rest or labels.get("__name__", "")
    text = form
    for key, value in labels.items():
        text = text.replace("{{" + key + "}}", value).replace("{{ " + key + " }}", value)
    return text


def tone(panel: Panel, value: float) -> str:
    """`crit` or `warn` where the value has reached the panel's threshold, else empty."""
    for name, limit in (("crit", panel.crit), ("warn", panel.warn)):
        if limit is not None and (value <= limit if panel.below else value >= limit):
            return name
    return ""


def worded(panel: Panel, value: float) -> str:
    """The value in the panel's unit, or the word that stands for it."""
    if panel.texts:
        said = panel.texts.get(f"{value:g}") or ("null" in panel.texts and math.isnan(value) and "null")
        if said:
            return panel.texts["null"] if said == "null" else said
    return shown(value, panel.unit)


def numbers(panel: Panel, found: Sequence[tuple[Query, QueryResult]]) -> tuple[list[Cell], int]:
    """A cell a series, the highest first, and how many more there are."""
    cells = []
    units: dict[int, Unit] = {}
    for place, (query, result) in enumerate(found):
        for row, labels in enumerate(result.labels):
            points = result.drawn(row)
            value = calculated(panel.calc, points)
            look = look_of(panel, legend(query.legend, labels), place)
            if look.hidden or (math.isnan(value) and panel.calc != "last"):
                continue
            spark = _spark(points) if panel.kind == "stat" else ""
            cells.append(Cell(look.name, "", "", value, 0.0, spark))
            units[id(cells[-1])] = panel.unit if look.unit is None else look.unit
    cells.sort(key=lambda one: -one.value if one.value is not None and one.value == one.value else math.inf)
    kept = cells[:_ROWS]
    ends = _ends(panel, kept)
    for one in kept:
        assert one.value is not None
        own = msgspec.structs.replace(panel, unit=units[id(one)])
        one.text, one.tone = worded(own, one.value), tone(panel, one.value)
        one.share = _share(one.value, ends)
    if not kept:
        kept = [Cell("", "–", "")]
    return kept, max(0, len(cells) - _ROWS)


def calculated(calc: str, points: Sequence[float | None]) -> float:
    """One value of a range by a `Calc`; NaN where there is none."""
    there = [value for value in points if value is not None]
    if calc == "last":
        return points[-1] if points and points[-1] is not None else math.nan
    if not there:
        return math.nan
    match calc:
        case "mean":
            return sum(there) / len(there)
        case "min":
            return min(there)
        case "max":
            return max(there)
        case "sum":
            return sum(there)
    return there[-1] - there[0]


def _ends(panel: Panel, cells: Sequence[Cell]) -> tuple[float, float]:
    low = 0.0 if panel.low is None else panel.low
    if panel.high is not None:
        return low, panel.high
    if panel.unit in {"percent", "ratio"}:
        return low, 100.0 if panel.unit == "percent" else 1.0
    values = [one.value for one in cells if one.value is not None and math.isfinite(one.value)]
    limits = [one for one in (panel.warn, panel.crit) if one is not None]
    return low, max([*values, *limits], default=1.0) or 1.0


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    if math.isnan(value) or high <= low:
        return 0.0
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _spark(points: Sequence[float | None]) -> str:
    """The points of an SVG line, `x,y x,y`."""
    there = [value for value in points if value is not None]
    if len(there) < 2:
        return ""
    low, high = min(there), max(there)
    gap = (high - low) or 1.0
    last = max(1, len(points) - 1)
    return " ".join(
        f"{_WIDE * i / last:.1f},{_HIGH - 1 - (_HIGH - 2) * (value - low) / gap:.1f}"
        for i, value in enumerate(points)
        if value is not None
    )


def states(panel: Panel, found: Sequence[tuple[Query, QueryResult]]) -> tuple[list[Line], int]:
    """What each series was and for how long, from the first to the last step."""
    lines = []
    for place, (query, result) in enumerate(found):
        for row, labels in enumerate(result.labels):
            look = look_of(panel, legend(query.legend, labels), place)
            if not look.hidden:
                lines.append(Line(look.name, _runs(panel, result.drawn(row))))
    lines.sort(key=lambda one: one.name)
    return lines[:_ROWS], max(0, len(lines) - _ROWS)


def _runs(panel: Panel, points: Sequence[float | None]) -> list[Run]:
    runs: list[Run] = []
    width = 1000 / max(1, len(points))
    for i, value in enumerate(points):
        if value is None:
            continue
        text, look = worded(panel, value), tone(panel, value) or "ok"
        start, end = round(i * width), round((i + 1) * width)
        if runs and runs[-1].text == text and runs[-1].start + runs[-1].length == start:
            runs[-1].length = end - runs[-1].start
        else:
            runs.append(Run(start, end - start, text, look))
    return runs[:_RUNS]
