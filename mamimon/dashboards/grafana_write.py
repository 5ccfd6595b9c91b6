"""A dashboard of ours as Grafana dashboard JSON (schema 39), to be imported there."""

from __future__ import annotations

import re
from typing import Any

from mamimon.dashboards.grafana_overrides import write_overrides
from mamimon.dashboards.grafana_transforms import write_transforms
from mamimon.dashboards.model import LOGS, Dashboard, Panel, Variable

_METRICS = {"type": "prometheus", "uid": "${DS_METRICS}"}
_LOGS = {"type": "elasticsearch", "uid": "${DS_LOGS}"}
_KINDS = {
    "timeseries": "timeseries", "bars": "timeseries", "stack": "timeseries", "heatmap": "heatmap",
    "stat": "stat", "gauge": "gauge", "bar": "bargauge", "table": "table",
    "status": "state-timeline", "logs": "logs",
    "log_chart": "timeseries", "log_top": "table", "alerts": "alertlist", "text": "text", "row": "row",
}  # fmt: skip
_UNITS = {
    "": "short", "s": "s", "ms": "ms", "us": "µs", "ns": "ns", "bytes": "bytes", "bytes/s": "binBps",
    "bits": "bits", "bits/s": "bps", "percent": "percent", "ratio": "percentunit", "rate": "reqps",
    "hertz": "hertz", "celsius": "celsius", "volt": "volt", "amp": "amp", "watt": "watt",
    "date": "dateTimeAsIso",
}  # fmt: skip
_CALCS = {"last": "lastNotNull", "mean": "mean", "min": "min", "max": "max", "sum": "sum", "delta": "diff"}


def write_grafana(dashboard: Dashboard) -> dict[str, Any]:
    """The document; panels that only mamimon has become texts that say so."""
    inputs = [
        {"name": f"DS_{name}", "label": label, "type": "datasource", "pluginId": plugin, "pluginName": plugin}
        for name, label, plugin in (("METRICS", "Metrics", "prometheus"), ("LOGS", "Logs", "elasticsearch"))
    ]
    return {
        "__inputs": inputs,
        "title": dashboard.title,
        "uid": dashboard.slug[:40],
        "description": dashboard.about,
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "tags": ["mamimon"],
        "timezone": "browser",
        "graphTooltip": 1,
        "refresh": f"{dashboard.refresh_s}s" if dashboard.refresh_s else "",
        "time": {"from": f"now-{dashboard.since}", "to": "now"},
        "links": [{"type": "link", "title": one.title, "url": one.url} for one in dashboard.links],
        "templating": {"list": [_variable(one) for one in dashboard.variables]},
        "annotations": {"list": []},
        "panels": _placed(dashboard),
    }


def _placed(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Panels with their places: from left to right, as many in a line as fit."""
    found = []
    x = y = tall = 0
    for number, panel in enumerate(dashboard.panels, 1):
        wide = 24 if panel.kind == "row" else panel.width * 2
        high = 1 if panel.kind == "row" else panel.height or (4 if panel.kind == "stat" else 8)
        if x + wide > 24:
            x, y, tall = 0, y + tall, 0
        place = {"x": x, "y": y, "w": wide, "h": high}
        found.append({"id": number, "gridPos": place, **_panel(panel)})
        x, tall = x + wide, max(tall, high)
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    kind = _KINDS.get(panel.kind)
    base: dict[str, Any] = {"title": panel.title, "type": kind or "text", "description": panel.about}
    if panel.repeat:
        base["repeat"] = panel.repeat
    if kind is None:
        said = f"mamimon shows {panel.kind} here; Grafana has no source for them."
        return base | {"options": {"mode": "markdown", "content": said}}
    match panel.kind:
        case "row":
            return base | {"collapsed": False, "panels": []}
        case "text":
            return base | {"options": {"mode": "markdown", "content": panel.text}}
        case "alerts":
            return base | {"options": {"stateFilter": {"firing": True, "pending": True}}}
    logs = panel.kind in LOGS
    targets = [_log_target(panel, i) if logs else _target(panel, i) for i in range(len(panel.queries))]
    overrides = write_overrides(panel, _UNITS, [target["refId"] for target in targets])
    return base | {
        "datasource": _LOGS if logs else _METRICS,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": overrides},
        "transformations": write_transforms(panel),
        "options": {"reduceOptions": {"calcs": [_CALCS[panel.calc]], "fields": "", "values": False}},
    }


def _target(panel: Panel, place: int) -> dict[str, Any]:
    query = panel.queries[place]
    reduced = any(one.kind == "reduce" for one in panel.transforms)
    instant = panel.kind in {"table", "gauge", "bar"} and not reduced
    return {
        "refId": _ref(place),
        "datasource": _METRICS,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": instant,
        "range": not instant,
        **({"exemplar": True} if panel.exemplars else {}),
        **({"format": "table"} if panel.kind == "table" and not reduced else {}),
        **({"format": "heatmap"} if panel.kind == "heatmap" else {}),
    }


def _log_target(panel: Panel, place: int) -> dict[str, Any]:
    over_time = {"id": "2", "type": "date_histogram", "field": "@timestamp", "settings": {"interval": "auto"}}
    by = "level" if panel.kind == "log_chart" else panel.field or "message"
    terms = {
        "id": "3",
        "type": "terms",
        "field": by,
        "settings": {"size": "10", "order": "desc", "orderBy": "_count"},
    }
    buckets: list[dict[str, Any]] = {"log_chart": [terms, over_time], "log_top": [terms]}.get(panel.kind, [])
    metric = {"id": "1", "type": "logs" if panel.kind == "logs" else "count"}
    return {
        "refId": _ref(place),
        "datasource": _LOGS,
        "query": panel.queries[place].expr or "*",
        "timeField": "@timestamp",
        "metrics": [metric],
        "bucketAggs": buckets,
    }


def _ref(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"Q{place}"


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": _UNITS[panel.unit], "thresholds": _thresholds(panel)}
    if panel.low is not None:
        found["min"] = panel.low
    if panel.high is not None:
        found["max"] = panel.high
    if panel.texts:
        words = {key: {"text": text} for key, text in panel.texts.items() if key != "null"}
        found["mappings"] = [{"type": "value", "options": words}]
    custom: dict[str, Any] = {}
    if panel.kind in {"bars", "log_chart"}:
        custom["drawStyle"] = "bars"
    if panel.kind in {"stack", "log_chart"}:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if panel.log_scale:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    return found | {"custom": custom}


def _thresholds(panel: Panel) -> dict[str, Any]:
    limits = [("orange", panel.warn), ("red", panel.crit)]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.below:
        rising = [(colour, value) for colour, value in reversed(limits) if value is not None]
        colours = [*(colour for colour, _ in rising), "green"]
        steps = [{"color": colours[0], "value": None}]
        steps += [{"color": colours[i + 1], "value": value} for i, (_, value) in enumerate(rising)]
    else:
        steps += [{"color": colour, "value": value} for colour, value in limits if value is not None]
    return {"mode": "absolute", "steps": steps}


def _variable(one: Variable) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": one.name,
        "label": one.label or one.name,
        "hide": 2 if one.hidden else 0,
        "multi": one.multi,
        "includeAll": one.all,
        "allValue": one.all_value or (".*" if one.all else None),
        "current": {"text": one.default, "value": one.default} if one.default else {},
    }
    match one.kind:
        case "labels":
            return base | _asked(one, f"label_values({one.metric}, {one.value_of})")
        case "query":
            return base | _asked(one, f"query_result({one.metric})")
        case "text":
            return base | {"type": "textbox", "query": one.default}
    listed = ",".join(re.sub(r",", r"\\,", value) for value in one.values)
    return base | {"type": "interval" if one.kind == "interval" else "custom", "query": listed}


def _asked(one: Variable, query: str) -> dict[str, Any]:
    return {"type": "query", "datasource": _METRICS, "query": query, "definition": query, "refresh": 2,
            "regex": f"/{one.regex}/" if one.regex else "", "sort": 1}  # fmt: skip
