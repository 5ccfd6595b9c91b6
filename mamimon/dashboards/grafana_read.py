"""Grafana dashboard JSON (schema 16 to 42, and the rows of older ones) as a dashboard of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mamimon.dashboards.grafana_panels import PanelReader, Skip
from mamimon.dashboards.grafana_sources import DataSources
from mamimon.dashboards.grafana_v2 import classic, is_v2
from mamimon.dashboards.grafana_variables import read_variables
from mamimon.dashboards.model import Dashboard, Link, Panel, slug_of
from mamimon.problems import bad_input
from mamimon.window import seconds

_MOST_PANELS = 300
_GRAFANAS = ("schemaVersion", "templating", "__inputs", "gnetId", "rows", "spec", "elements")
_ANNOTATION = "deploys, alerts and incidents are marked here; queries of one's own are not"


class Skipped(msgspec.Struct):
    """A panel that did not translate, or did so in part, and why."""

    title: str
    type: str
    reason: str


class Translated(msgspec.Struct):
    """A dashboard made of Grafana's, and what is not in it. Rows are counted by neither number."""

    dashboard: Dashboard
    total: int
    converted: int
    skipped: list[Skipped]
    remarks: list[Skipped]

    @property
    def share(self) -> float:
        """The part of the panels that translated."""
        return self.converted / self.total if self.total else 1.0


def is_grafana(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is Grafana's and not ours: by fields that only one of them has."""
    inner = document.get("dashboard")
    if isinstance(inner, dict):
        return True
    if "slug" in document and "schemaVersion" not in document:
        return False
    return any(key in document for key in _GRAFANAS)


def read_grafana(document: Mapping[str, Any]) -> Translated:
    """Translate; what is no Grafana dashboard raises `BAD_INPUT`."""
    raw = document
    if isinstance(document.get("dashboard"), dict):  # as Grafana's API answers and takes it
        raw = document["dashboard"]
    if is_v2(raw):
        raw = classic(raw)
    elif isinstance(raw.get("spec"), dict):  # the Kubernetes form of the classic schema
        raw = raw["spec"]
    panels = raw.get("panels", [])
    rows = raw.get("rows", [])
    if not isinstance(panels, list) or not isinstance(rows, list) or not (panels or rows or raw.get("title")):
        raise bad_input("this is not a Grafana dashboard: it has neither panels nor a title")
    sources = DataSources(raw)
    reader = PanelReader(sources)
    made: list[Panel] = []
    skipped: list[Skipped] = []
    remarks: list[Skipped] = []
    total = 0
    for one in _flat(panels or list(_of_rows(rows))):
        row = one.get("type") == "row"
        total += not row
        title = str(one.get("title") or "")[:500]
        try:
            panel, notes = reader.read(one)
        except Skip as reason:
            skipped.append(Skipped(title, str(one.get("type", "")), str(reason)))
            continue
        made.append(panel)
        remarks += [Skipped(title, str(one.get("type", "")), note) for note in notes]
    converted = total - len(skipped)
    if len(made) > _MOST_PANELS:
        raise bad_input(f"the dashboard has {len(made)} panels; {_MOST_PANELS} are the most")
    variables, problems = read_variables(raw, sources)
    remarks += [Skipped(name, "variable", reason) for name, reason in problems]
    remarks += [Skipped(name, "annotation", _ANNOTATION) for name in _annotations(raw)]
    title = str(raw.get("title") or "Grafana dashboard")[:200]
    dashboard = Dashboard(
        slug_of(title),
        title,
        about=str(raw.get("description") or "")[:2000],
        since=_since(raw),
        refresh_s=_refresh(raw),
        variables=variables,
        links=_links(raw),
        panels=made,
    )
    return Translated(dashboard, total, converted, skipped, remarks)


def _of_rows(rows: list[Any]) -> Iterator[dict[str, Any]]:
    """Panels of before schema 16, which stood in rows, with the places that they get since."""
    y = 0
    for row in rows:
        if not isinstance(row, dict):
            continue
        if row.get("showTitle") or row.get("repeat"):
            yield {"type": "row", "title": row.get("title"), "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
            y += 1
        tall = row.get("height", 250)
        try:
            units = max(3, round(float(str(tall).removesuffix("px")) / 38))
        except ValueError:
            units = 7
        x = 0
        for panel in row.get("panels", []):
            wide = 2 * int(panel.get("span") or 12)
            if x + wide > 24:
                x, y = 0, y + units
            place = {"x": x, "y": y, "w": wide, "h": units}
            yield {**panel, "gridPos": place, "repeat": panel.get("repeat") or row.get("repeat")}
            x += wide
        y += units


def _flat(panels: list[Any]) -> Iterator[dict[str, Any]]:
    """Panels in reading order; those of a collapsed row after it, and each repeated as its row is."""

    def place(one: Mapping[str, Any]) -> tuple[float, float]:
        at = one.get("gridPos")
        at = at if isinstance(at, dict) else {}
        return float(at.get("y") or 0), float(at.get("x") or 0)

    repeat = None
    for one in sorted((one for one in panels if isinstance(one, dict)), key=place):
        if one.get("type") == "row":
            repeat = one.get("repeat")
        yield one if one.get("repeat") or not repeat else {**one, "repeat": repeat}
        if one.get("type") == "row":
            for inner in sorted((p for p in one.get("panels") or [] if isinstance(p, dict)), key=place):
                yield inner if inner.get("repeat") or not repeat else {**inner, "repeat": repeat}


def _since(raw: Mapping[str, Any]) -> str:
    time = raw.get("time")
    start = str(time.get("from", "")) if isinstance(time, dict) else ""
    text = start.removeprefix("now-").split("/")[0]
    try:
        seconds(text)
    except Exception:
        return "1h"
    return text


def _refresh(raw: Mapping[str, Any]) -> int:
    try:
        return max(5, min(86_400, int(seconds(str(raw.get("refresh"))))))
    except Exception:
        return 60


def _annotations(raw: Mapping[str, Any]) -> list[str]:
    """The names of annotations that somebody made; Grafana's own one is in every file."""
    given = raw.get("annotations")
    every = given.get("list") if isinstance(given, dict) else None
    return [
        str(one.get("name") or "")[:200]
        for one in (every if isinstance(every, list) else [])
        if isinstance(one, dict) and not one.get("builtIn") and one.get("enable", True)
    ][:50]


def _links(raw: Mapping[str, Any]) -> list[Link]:
    found = []
    for one in raw.get("links") or []:
        url = str(one.get("url") or "") if isinstance(one, dict) else ""
        if url.startswith(("http://", "https://")) and len(url) <= 2000:
            found.append(Link(str(one.get("title") or url)[:200], url))
    return found[:20]
