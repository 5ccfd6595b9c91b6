"""Links that people have from Prometheus' own pages: `/graph?g0.expr=…`, in Prometheus 3 `/query?…`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping

_PART = re.compile(r"g(\d+)\.(expr|tab|stacked|display_mode|range_input|end_input|moment_input)")
_TEXT_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`)|#[^\n]*')
_MODES = {"stacked": "stack", "heatmap": "heat"}


def asked_for(items: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The queries of such a link, each with its view, and the window of the first: `since`, or a range."""
    panels: dict[int, dict[str, str]] = {}
    for key, text in items:
        if found := _PART.fullmatch(key):
            panels.setdefault(int(found[1]), {})[found[2]] = text
    ordered = [panels[number] for number in sorted(panels) if panels[number].get("expr", "").strip()]
    return [(one["expr"], _view(one)) for one in ordered], _window(ordered[0]) if ordered else {}


def one_line(text: str) -> str:
    """A query of several lines as one, for a field that has one; comments go, for they end with a line."""
    bare = _TEXT_OR_COMMENT.sub(lambda found: found[1] or "", text)
    return re.sub(r"\s*\n\s*", " ", bare).strip()


def _view(panel: Mapping[str, str]) -> str:
    if panel.get("tab") in ("1", "table"):
        return "table"
    return _MODES.get(panel.get("display_mode", ""), "stack" if panel.get("stacked") == "1" else "line")


def _window(panel: Mapping[str, str]) -> dict[str, str]:
    span = panel.get("range_input", "")
    end = panel.get("end_input") or panel.get("moment_input")
    if not end:
        return {"since": span} if span else {}
    try:
        at = dt.datetime.fromisoformat(end.replace(" ", "T", 1))
    except ValueError:
        return {"since": span} if span else {}
    until = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()
    return {"start": f"{until - _seconds(span):.3f}", "end": f"{until:.3f}"}


def _seconds(span: str) -> float:
    from mamimon.metrics.scrape.yaml_file import duration

    return duration(span) or 3600.0
