"""One panel of Grafana's as one of ours, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mamimon.dashboards.fill import Value, expand, names_in
from mamimon.dashboards.grafana_looks import looks
from mamimon.dashboards.grafana_overrides import read_overrides
from mamimon.dashboards.grafana_sources import DataSources
from mamimon.dashboards.grafana_transforms import read_transforms
from mamimon.dashboards.model import EXEMPLARS, Panel, PanelKind, Query
from mamimon.window import Window

_WINDOW = Window(0.0, 3600.0, "1h")
_LOG_SOURCES = {"elasticsearch", "grafana-opensearch-datasource", "opensearch"}
_KINDS: dict[str, PanelKind] = {
    "graph": "timeseries", "timeseries": "timeseries", "graph-panel": "timeseries", "trend": "timeseries",
    "stat": "stat", "singlestat": "stat", "grafana-singlestat-panel": "stat", "gauge": "gauge",
    "grafana-gauge-panel": "gauge", "bargauge": "bar", "barchart": "bar", "piechart": "bar",
    "grafana-piechart-panel": "bar", "histogram": "bar", "table": "table", "table-old": "table",
    "heatmap": "heatmap", "heatmap-new": "heatmap", "state-timeline": "status", "status-history": "status",
    "flant-statusmap-panel": "status", "natel-discrete-panel": "status", "text": "text", "logs": "logs",
    "alertlist": "alerts", "row": "row", "grafana-polystat-panel": "stat",
}  # fmt: skip


class Skip(Exception):  # noqa: N818 - a reason, not a failure
    """Why a panel has no counterpart."""


class PanelReader:
    """Reads the panels of one dashboard."""

    def __init__(self, sources: DataSources) -> None:
        self._sources = sources

    def read(self, one: Mapping[str, Any]) -> tuple[Panel, list[str]]:
        """The panel and what of it is not shown; raises `Skip` with the reason where there is none."""
        kind = str(one.get("type") or "")
        if "libraryPanel" in one and not kind:
            raise Skip("it is a library panel, which this file only names")
        if kind not in _KINDS:
            raise Skip(f"there is no counterpart of the panel type {kind or 'unknown'}")
        notes: list[str] = []
        values = looks(one, _KINDS[kind])
        match values["kind"]:
            case "text":
                values["text"] = _text(one)
            case "row" | "alerts":
                pass
            case _:
                values |= self._asked(one, values, notes)
        overrides = read_overrides(one, notes)
        transforms = read_transforms(one, values["kind"], notes)
        try:
            panel = msgspec.convert(values, Panel)
            panel.overrides, panel.transforms = overrides, transforms
            return panel, list(dict.fromkeys(notes))
        except msgspec.ValidationError as error:
            raise Skip(str(error)) from None

    def _asked(self, one: Mapping[str, Any], values: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        targets = [t for t in one.get("targets") or [] if isinstance(t, dict) and not t.get("hide")]
        if not targets:
            raise Skip("it asks for nothing")
        kinds = {self._sources.kind(one.get("datasource"), target) for target in targets}
        if kinds & _LOG_SOURCES:
            return _logs(targets, values)
        queries: list[Query] = []
        reasons: list[str] = []
        for target in targets:
            kind = self._sources.kind(one.get("datasource"), target)
            try:
                queries.append(_metric(target, kind))
            except Skip as reason:
                reasons.append(str(reason))
        if not queries:
            raise Skip(reasons[0])
        notes += [f"a query is left out: {reason}" for reason in dict.fromkeys(reasons)]
        exemplars = values["kind"] in EXEMPLARS and any(target.get("exemplar") for target in targets)
        return {"queries": [msgspec.to_builtins(query) for query in queries], "exemplars": exemplars}


def _metric(target: Mapping[str, Any], kind: str) -> Query:
    if kind in {"__expr__", "-- Dashboard --"}:
        raise Skip("it computes on other queries' answers")
    expr = target.get("expr")
    if kind not in {"prometheus", ""} or not isinstance(expr, str):
        raise Skip(f"its data source is of type {kind or 'unknown'}")
    if not expr.strip():
        raise Skip("its query is empty")
    if reason := unreadable(expr):
        raise Skip(f"the query is not PromQL: {reason[:160]}")
    said = str(target.get("legendFormat") or "")
    said = re.sub(r"\{\{\s*([^}\s]+)\s*\}\}", r"{{\1}}", said)
    return Query(expr.strip(), "" if said == "__auto" else said[:500])


def unreadable(expr: str) -> str:
    """Why an expression with variables is no PromQL; empty where it is."""
    from mamimon.metrics.promql import PromQLError, parse

    names = names_in(expr)
    first = ""
    # What a variable stands for is not known here: a duration, a number or a name.
    for guess in ("5m", "1", "up", "le"):
        text = expand(expr, _WINDOW, {n: Value(guess, (guess,)) for n in names if not n.startswith("__")})
        text = re.sub(r"\$__?\w+", "5m", text)
        try:
            parse(text)
        except PromQLError as error:
            first = first or str(error)
        else:
            return ""
    return first


def _logs(targets: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Elasticsearch targets: counts over time, the most frequent values of a field, or lines."""
    target = targets[0]
    query = str(target.get("query") or "*")
    asked = {"queries": [{"expr": query}]}
    metrics = [one for one in target.get("metrics") or [] if isinstance(one, dict) and not one.get("hide")]
    kinds = {str(one.get("type")) for one in metrics}
    buckets = [one for one in target.get("bucketAggs") or [] if isinstance(one, dict)]
    by = [str(one.get("type")) for one in buckets]
    if kinds & {"logs", "raw_data", "raw_document"} or values["kind"] == "logs":
        return asked | {"kind": "logs"}
    if kinds - {"count"}:
        raise Skip(f"logs are counted here; this asks for {', '.join(sorted(kinds - {'count'}))}")
    if "date_histogram" in by and values["kind"] in {"timeseries", "bars", "stack"}:
        return asked | {"kind": "log_chart"}
    if "terms" in by:
        field = str(next(one for one in buckets if one.get("type") == "terms").get("field") or "")
        return asked | {"kind": "log_top", "field": field.removesuffix(".keyword")}
    if "date_histogram" in by:
        return asked | {"kind": "log_chart"}
    raise Skip("this grouping of log lines has no counterpart")


def _text(one: Mapping[str, Any]) -> str:
    options = one.get("options")
    given = options if isinstance(options, dict) else one
    text = str(given.get("content") or one.get("content") or "")
    if str(given.get("mode") or one.get("mode")) == "html":
        # Tags are not shown by text panels; what stands between them is.
        text = re.sub(
            r"<a [^>]*href=[\"']([^\"']+)[\"'][^>]*>(.*?)</a>", r"[\2](\1)", text, flags=re.S | re.I
        )
        text = re.sub(r"<(?:br|/p|/div|/h\d|/li)[^>]*>", "\n", text, flags=re.I)
        text = re.sub(r"<[^>]{0,500}>", "", text)
    return text[:20_000]
