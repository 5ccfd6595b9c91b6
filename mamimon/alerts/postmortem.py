"""An incident as one Markdown file to write a post-mortem in: facts, timeline and the chart as SVG in it."""

from __future__ import annotations

import base64
import datetime as dt
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from mamimon.alerts.model import show_duration
from mamimon.alerts.suggest.model import WORDS, Clue
from mamimon.i18n import gettext
from mamimon.metrics.changes import Change

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 14, 30
# Okabe and Ito's palette, which colour-blind people tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
_MARKS = {"alert": "#b83227", "deploy": "#666666"}
MOST_LINES = 20
MOST_CLUES = 5


def markdown(
    page: dict[str, Any],
    chart: dict[str, Any],
    moved: Sequence[Change],
    clues: Sequence[Clue],
    title_url: str,
) -> str:
    """The file; `page` is what the incident's page shows, `chart` what its chart draws."""
    one = page["incident"]
    until = one.resolved_at
    answered = f"{one.acknowledged_by}, {_utc(one.acknowledged_at)}" if one.acknowledged_at else "–"
    facts = [
        (gettext("From"), _utc(one.started_at)),
        (gettext("To"), _utc(until) if until else "–"),
        (gettext("Lasted"), show_duration(round(until - one.started_at)) if until else "–"),
        (gettext("Severity"), one.severity),
        (gettext("Acknowledged by"), answered),
        *((gettext(word).capitalize(), who) for word, who, _ in page["roles"] if who),
        (gettext("Rule"), one.expr or "–"),
        (gettext("Page"), title_url),
    ]
    parts = [
        f"# {_plain(one.title)}",
        _plain(one.summary),
        _table(("", ""), facts),
        f"## {gettext('What happened')}",
        _todo(gettext("In two sentences, for somebody who was not there.")),
        f"## {gettext('What the rule sees')}",
        _image(one.title, chart) if chart["series"] else _plain(chart["error"] or gettext("No chart.")),
        f"## {gettext('Timeline')}",
        _table(
            (gettext("Time"), gettext("Who"), gettext("What")),
            [(_utc(e["at"]), e["actor"], e["text"]) for e in page["timeline"]],
        ),
        f"## {gettext('What differs most from the hour before')}",
        _table(
            ("", gettext("What"), gettext("before"), gettext("in it"), gettext("Since")),
            [
                (gettext(WORDS[c.kind]), c.name, _number(c.before), _number(c.now), _at(c.since))
                for c in clues[:MOST_CLUES]
            ],
        ),
        f"## {gettext('What changed most')}",
        _table(
            (gettext("Series"), gettext("before"), gettext("in it")),
            [(_name(c), _number(c.before), _number(c.now)) for c in moved],
        ),
        f"## {gettext('Top errors')}",
        _table(
            (gettext("Error"), gettext("Count"), gettext("First seen")),
            [(f"{i.title} ({i.culprit})", str(i.count), _utc(i.first_seen)) for i in page["issues"]],
        ),
        f"## {gettext('Error lines around it')}",
        _code(
            f"{_utc(hit.time)} {hit.level} {hit.logger}: {hit.message}" for hit in page["lines"][:MOST_LINES]
        ),
        f"## {gettext('Why')}",
        _todo(gettext("The cause, and why nothing caught it before.")),
        f"## {gettext('What we change')}",
        "- [ ] ",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def svg(chart: dict[str, Any]) -> str:
    """The chart's answer as an SVG document: lines with gaps, threshold, marks, axes in UTC."""
    times: list[float] = chart["times"]
    values = [v for one in chart["series"] for v in one["values"] if v is not None and math.isfinite(v)]
    threshold = chart.get("threshold", {}).get("value")
    low, high = float(min([*values, 0.0])), float(max([*values, threshold or 0.0, 1e-9]))
    first, last = (times[0], times[-1]) if times else (0.0, 1.0)

    def x(at: float) -> float:
        return round(LEFT + (at - first) / max(last - first, 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    out = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for i, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        level, at = low + (high - low) * i / 4, first + (last - first) * i / 4
        out += [
            _line(f"M{LEFT} {y(level)}H{WIDTH - RIGHT}", "#e5e5e5"),
            _text(LEFT - 6, y(level) + 4, f"{level:.3g}", "end"),
            _text(x(at), HEIGHT - 10, _utc(at)[11:16], anchor),
        ]
    for one, colour in zip(chart["series"], _COLOURS * 2, strict=False):
        path, pen = "", "M"
        for at, value in zip(times, one["values"], strict=True):
            gap = value is None or not math.isfinite(value)
            path += "" if gap else f"{pen}{x(at)} {y(value)}"
            pen = "M" if gap else "L"
        out.append(_line(path, colour, title=str(one["name"])))
    if threshold is not None:
        out.append(_line(f"M{LEFT} {y(threshold)}H{WIDTH - RIGHT}", _MARKS["alert"], dashes="5 4"))
    for mark in chart["marks"]:
        if first <= mark["time"] <= last:
            at = x(mark["time"])
            out += [
                _line(f"M{at} {TOP}V{HEIGHT - BOTTOM}", _MARKS[mark["kind"]]),
                _text(at + 3, TOP + 9, mark["label"], "start"),
            ]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    return "".join([head, *out, "</svg>"])


def _line(path: str, colour: str, *, dashes: str = "", title: str = "") -> str:
    more = f' stroke-dasharray="{dashes}"' if dashes else ""
    inner = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{more}>{inner}</path>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#555">{html.escape(text)}</text>'


def _image(title: str, chart: dict[str, Any]) -> str:
    data = base64.b64encode(svg(chart).encode()).decode()
    return f"![{_plain(title)}](data:image/svg+xml;base64,{data})"


def _utc(at: float) -> str:
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _at(at: float | None) -> str:
    return _utc(at) if at is not None else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _name(change: Change) -> str:
    inner = ", ".join(f"{k}={v}" for k, v in sorted(change.labels.items()) if k != "__name__")
    return f"{change.name} {inner}"


def _plain(text: str) -> str:
    """Text that Markdown takes as text."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in " ".join(text.split()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    if not lines:
        return gettext("Nothing.")
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def _code(lines: Iterable[str]) -> str:
    text = "\n".join(" ".join(line.split()) for line in lines)
    # A fence longer than any run of backticks in the text cannot be closed by it.
    fence = "`" * max(3, max((len(run) for run in text.split() if set(run) == {"`"}), default=0) + 1)
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}" if text else gettext("Nothing.")


def _todo(text: str) -> str:
    return f"*{text}*"
