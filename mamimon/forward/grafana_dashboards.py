"""The mission's four dashboards as Grafana dashboard JSON (schema 39), over mamimon's own data sources."""

from __future__ import annotations

from typing import Any

PROMETHEUS_UID = "mamimon-prometheus"
ELASTICSEARCH_UID = "mamimon-elasticsearch"
ALERTMANAGER_UID = "mamimon-alertmanager"
_PROMETHEUS = {"type": "prometheus", "uid": PROMETHEUS_UID}
_ELASTICSEARCH = {"type": "elasticsearch", "uid": ELASTICSEARCH_UID}
_JOB = 'job=~"$job"'
_ERRORS = "level:(ERROR OR CRITICAL)"


def dashboards() -> list[dict[str, Any]]:
    """API Performance, Error Rate, System Metrics, Top Errors."""
    return [_api_performance(), _error_rate(), _system_metrics(), _top_errors()]


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every PromQL expression of a dashboard as Grafana would send it."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$job", ".*")
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if "expr" in target
    ]


def _api_performance() -> dict[str, Any]:
    rate = f"rate(http_requests_total{{{_JOB}}}[$__rate_interval])"
    return _dashboard(
        "mamimon-api-performance",
        "API Performance",
        [
            _stat("Requests", f"sum({rate})", "reqps", 0, 0),
            _stat("p95 response time", _quantile(0.95, "le"), "s", 6, 0, (1.0, 5.0)),
            _stat("p50 response time", _quantile(0.5, "le"), "s", 12, 0, (1.0, 5.0)),
            _stat("Errors", _error_share(), "percentunit", 18, 0, (0.01, 0.05)),
            _lines("Requests by path", [(f"sum by (path) ({rate})", "{{path}}")], "reqps", 0, 4),
            _lines("p95 by path", [(_quantile(0.95, "le, path"), "{{path}}")], "s", 12, 4),
            _lines("Requests by status", [(f"sum by (status) ({rate})", "{{status}}")], "reqps", 0, 12),
            _lines(
                "Response time",
                [(_quantile(q, "le"), f"p{int(q * 100)}") for q in (0.5, 0.9, 0.95, 0.99)],
                "s",
                12,
                12,
            ),
        ],
    )


def _error_rate() -> dict[str, Any]:
    errors = f"rate(http_requests_errors_total{{{_JOB}}}[$__rate_interval])"
    share = (
        f"sum by (path) ({errors}) / sum by (path) (rate(http_requests_total{{{_JOB}}}[$__rate_interval]))"
    )
    return _dashboard(
        "mamimon-error-rate",
        "Error Rate",
        [
            _stat("Errors now", _error_share(), "percentunit", 0, 0, (0.01, 0.05)),
            _stat("Errors a second", f"sum({errors})", "reqps", 6, 0, (0.1, 1.0)),
            _stat(
                "Errors in this range",
                f"sum(increase(http_requests_errors_total{{{_JOB}}}[$__range]))",
                "short",
                12,
                0,
            ),
            _stat("Targets down", f"count(up{{{_JOB}}} == 0) or vector(0)", "short", 18, 0, (1.0, 1.0)),
            _lines("Share of requests that fail", [(_error_share(), "all")], "percentunit", 0, 4, 0.05),
            _lines("Share by path", [(share, "{{path}}")], "percentunit", 12, 4, 0.05),
            _lines("Errors by path", [(f"sum by (path) ({errors})", "{{path}}")], "reqps", 0, 12),
            _log_bars("Log lines by level", "*", "level", 12, 12),
        ],
    )


def _system_metrics() -> dict[str, Any]:
    def used(part: str) -> str:
        return f"system_{part}_usage_percent{{{_JOB}}}"

    return _dashboard(
        "mamimon-system-metrics",
        "System Metrics",
        [
            _stat("CPU", f"max({used('cpu')})", "percent", 0, 0, (80.0, 95.0)),
            _stat("Memory", f"max({used('memory')})", "percent", 6, 0, (80.0, 90.0)),
            _stat("Disk", f"max({used('disk')})", "percent", 12, 0, (70.0, 80.0)),
            _stat("Targets up", f"sum(up{{{_JOB}}})", "short", 18, 0),
            _lines("CPU", [(used("cpu"), "{{instance}}")], "percent", 0, 4),
            _lines("Memory", [(used("memory"), "{{instance}}")], "percent", 12, 4, 90.0),
            _lines("Disk", [(used("disk"), "{{instance}}")], "percent", 0, 12, 80.0),
            _lines(
                "Resident memory by process",
                [(f"process_resident_memory_bytes{{{_JOB}}}", "{{job}} {{instance}}")],
                "bytes",
                12,
                12,
            ),
        ],
    )


def _top_errors() -> dict[str, Any]:
    top = f"topk(10, sum by (method, path) (increase(http_requests_errors_total{{{_JOB}}}[$__range])) > 0)"
    logs = _panel("Error lines", "logs", "short", (0, 12, 24, 12))
    logs["targets"] = [_log_query(_ERRORS, [{"id": "1", "type": "logs", "settings": {"limit": "200"}}], [])]
    logs["options"] = {"showTime": True, "wrapLogMessage": True, "sortOrder": "Descending"}
    return _dashboard(
        "mamimon-top-errors",
        "Top Errors",
        [
            _table("Requests that fail most", top, 0, 0),
            _log_bars("Error lines by logger", _ERRORS, "logger", 12, 0),
            logs,
        ],
    )


def _error_share() -> str:
    errors = f"sum(rate(http_requests_errors_total{{{_JOB}}}[$__rate_interval]))"
    return f"({errors} or vector(0)) / sum(rate(http_requests_total{{{_JOB}}}[$__rate_interval]))"


def _quantile(q: float, by: str) -> str:
    bucket = f"rate(http_request_duration_seconds_bucket{{{_JOB}}}[$__rate_interval])"
    return f"histogram_quantile({q}, sum by ({by}) ({bucket}))"


def _dashboard(uid: str, title: str, panels: list[dict[str, Any]]) -> dict[str, Any]:
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "uid": uid,
        "title": title,
        "tags": ["mamimon"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "job",
                    "label": "Job",
                    "type": "query",
                    "datasource": _PROMETHEUS,
                    "query": {"query": "label_values(up, job)", "refId": "job"},
                    "definition": "label_values(up, job)",
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": ["All"], "value": ["$__all"]},
                    "refresh": 2,
                    "sort": 1,
                }
            ]
        },
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def _panel(title: str, kind: str, unit: str, place: tuple[int, int, int, int]) -> dict[str, Any]:
    x, y, w, h = place
    return {
        "title": title,
        "type": kind,
        "datasource": _ELASTICSEARCH if kind == "logs" else _PROMETHEUS,
        "gridPos": {"x": x, "y": y, "w": w, "h": h},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {},
        "targets": [],
    }


def _ask(expr: str, legend: str, letter: str, *, instant: bool = False) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": _PROMETHEUS,
        "expr": expr,
        "legendFormat": legend,
        "instant": instant,
        "range": not instant,
        "editorMode": "code",
    }


def _thresholds(*steps: tuple[str, float | None]) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}


def _stat(
    title: str, expr: str, unit: str, x: int, y: int, limits: tuple[float, float] | None = None
) -> dict[str, Any]:
    panel = _panel(title, "stat", unit, (x, y, 6, 4))
    panel["targets"] = [_ask(expr, title, "A")]
    steps: list[tuple[str, float | None]] = [("green", None)]
    if limits:
        steps += (
            [("orange", limits[0]), ("red", limits[1])] if limits[0] < limits[1] else [("red", limits[0])]
        )
    panel["fieldConfig"]["defaults"]["thresholds"] = _thresholds(*steps)
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "graphMode": "area",
        "colorMode": "value",
    }
    return panel


def _lines(
    title: str, asked: list[tuple[str, str]], unit: str, x: int, y: int, limit: float | None = None
) -> dict[str, Any]:
    panel = _panel(title, "timeseries", unit, (x, y, 12, 8))
    panel["targets"] = [_ask(expr, legend, "ABCDEFGH"[n]) for n, (expr, legend) in enumerate(asked)]
    defaults = panel["fieldConfig"]["defaults"]
    defaults["min"] = 0
    if unit == "percent":
        defaults["max"] = 100
    if limit is not None:
        defaults["thresholds"] = _thresholds(("green", None), ("red", limit))
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi"},
    }
    return panel


def _table(title: str, expr: str, x: int, y: int) -> dict[str, Any]:
    panel = _panel(title, "table", "short", (x, y, 12, 12))
    panel["targets"] = [{**_ask(expr, "", "A", instant=True), "format": "table"}]
    panel["transformations"] = [
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "errors"}}}
    ]
    return panel


def _log_query(query: str, metrics: list[dict[str, Any]], buckets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "refId": "A",
        "datasource": _ELASTICSEARCH,
        "query": query,
        "metrics": metrics,
        "bucketAggs": buckets,
        "timeField": "@timestamp",
    }


def _log_bars(title: str, query: str, field: str, x: int, y: int) -> dict[str, Any]:
    panel = _panel(title, "timeseries", "short", (x, y, 12, 8 if y else 12))
    panel["datasource"] = _ELASTICSEARCH
    terms = {"min_doc_count": "1", "size": "10", "order": "desc", "orderBy": "_count"}
    panel["targets"] = [
        _log_query(
            query,
            [{"id": "1", "type": "count"}],
            [
                {"id": "2", "type": "terms", "field": field, "settings": terms},
                {
                    "id": "3",
                    "type": "date_histogram",
                    "field": "@timestamp",
                    "settings": {"interval": "auto"},
                },
            ],
        )
    ]
    panel["fieldConfig"]["defaults"]["custom"] = {
        "drawStyle": "bars",
        "fillOpacity": 60,
        "stacking": {"mode": "normal"},
    }
    return panel
