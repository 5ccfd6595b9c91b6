"""Grafana's dashboards become ours and ours Grafana's: real files of others, and every schema's forms."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mamimon.dashboards.grafana_read import is_grafana, read_grafana
from mamimon.dashboards.grafana_write import write_grafana
from mamimon.dashboards.model import Dashboard, Panel, Query, Variable
from tests.dashboards.node_exporter_full import node_exporter_full

pytestmark = pytest.mark.feature("D3")
HERE = Path(__file__).parent / "grafana"
COPIED = ["nginx", "elasticsearch", "postgres", "ingress", "k8s-views-namespaces"]
MATERIAL = [
    "dotdc-Apache2/k8s-addons-prometheus",
    "dotdc-Apache2/k8s-views-global",
    "dotdc-Apache2/k8s-views-nodes",
    "dotdc-Apache2/k8s-views-pods",
    "redis_exporter-MIT/redis-overview",
    "redis_exporter-MIT/grafana_prometheus_redis_dashboard",
    "victorialogs-Apache2/victorialogs",
    "victorialogs-Apache2/vlagent",
]


def _translated(document: dict[str, Any]) -> None:
    found = read_grafana(document)
    reasons = [f"{one.title} ({one.type}): {one.reason}" for one in found.skipped]
    print(f"{found.share:.1%} {found.converted}/{found.total} {found.dashboard.title}", *reasons, sep="\n  ")
    assert found.total >= 4
    assert found.share >= 0.9, reasons
    assert len(reasons) == found.total - found.converted


@pytest.mark.parametrize("name", COPIED)
def test_popular_dashboards_translate(name: str) -> None:
    """At least nine tenths of the panels of a widely used dashboard become ours, the rest with a reason."""
    _translated(json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes())))


@pytest.mark.parametrize("name", MATERIAL)
def test_dashboards_of_the_material_translate(material: Path, name: str) -> None:
    """The same for the files that are read in place."""
    _translated(json.loads((material / "grafana-dashboards" / f"{name}.json").read_bytes()))


def test_node_exporter_full_translates() -> None:
    """A dashboard of the form of Node Exporter Full: 112 panels in 16 rows, two chained variables."""
    document = node_exporter_full()
    found = read_grafana(document)
    assert (found.total, found.converted, found.skipped) == (112, 112, [])
    one = found.dashboard
    assert sum(panel.kind == "row" for panel in one.panels) == 16
    assert [(v.name, v.metric, v.value_of) for v in one.variables[:2]] == [
        ("job", "node_uname_info", "job"),
        ("node", 'node_uname_info{job="$job"}', "instance"),
    ]
    assert one.variables[2].hidden
    assert one.since == "24h"
    gauge = next(panel for panel in one.panels if panel.kind == "gauge")
    assert (gauge.unit, gauge.warn, gauge.crit, gauge.high, gauge.calc) == ("percent", 85, 95, 100, "mean")
    graph = next(panel for panel in one.panels if panel.title == "disk_io_time_seconds_total")
    assert [query.legend for query in graph.queries] == ["{{device}} – in", "out"]


def _board(*panels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": "Of Grafana", "schemaVersion": 39, "panels": list(panels), **more}


def _one(panel: dict[str, Any]) -> Panel:
    found = read_grafana(_board(panel))
    assert not found.skipped, found.skipped[0].reason
    return found.dashboard.panels[0]


ASK = [{"expr": "up"}]


@pytest.mark.parametrize(
    ("panel", "wanted"),
    [
        (
            {"type": "graph", "targets": ASK, "yaxes": [{"format": "s", "logBase": 10}]},
            {"unit": "s", "log_scale": True},
        ),
        ({"type": "graph", "targets": ASK, "bars": True, "lines": False}, {"kind": "bars"}),
        (
            {
                "type": "singlestat",
                "targets": ASK,
                "thresholds": "70,90",
                "gauge": {"show": True, "maxValue": 100},
            },
            {"kind": "gauge", "warn": 70, "crit": 90, "high": 100},
        ),
        (
            {
                "type": "stat",
                "targets": ASK,
                "fieldConfig": {
                    "defaults": {
                        "mappings": [
                            {"type": "value", "options": {"0": {"text": "DOWN"}, "1": {"text": "UP"}}}
                        ]
                    }
                },
            },
            {"texts": {"0": "DOWN", "1": "UP"}},
        ),
        (
            {
                "type": "stat",
                "targets": ASK,
                "fieldConfig": {
                    "defaults": {
                        "thresholds": {
                            "mode": "absolute",
                            "steps": [
                                {"color": "red", "value": None},
                                {"color": "orange", "value": 1},
                                {"color": "green", "value": 2},
                            ],
                        }
                    }
                },
            },
            {"below": True, "crit": 1, "warn": 2},
        ),
        (
            {
                "type": "timeseries",
                "targets": ASK,
                "gridPos": {"x": 0, "y": 0, "w": 8, "h": 5},
                "repeat": "node",
                "fieldConfig": {"defaults": {"custom": {"stacking": {"mode": "normal"}}}},
            },
            {"kind": "stack", "width": 4, "height": 5, "repeat": "node"},
        ),
        ({"type": "bargauge", "targets": ASK}, {"kind": "bar"}),
        ({"type": "piechart", "targets": ASK}, {"kind": "bar"}),
        ({"type": "state-timeline", "targets": ASK}, {"kind": "status"}),
        ({"type": "heatmap", "targets": [{"expr": "sum by (le) (rate(x_bucket[5m]))"}]}, {"kind": "heatmap"}),
        (
            {
                "type": "text",
                "options": {"mode": "html", "content": "<b>Hi</b><br><a href='https://a.b'>there</a>"},
            },
            {"text": "Hi\n[there](https://a.b)"},
        ),
        (
            {
                "type": "timeseries",
                "datasource": {"type": "elasticsearch", "uid": "x"},
                "targets": [
                    {
                        "query": "level:ERROR",
                        "metrics": [{"type": "count"}],
                        "bucketAggs": [{"type": "date_histogram"}],
                    }
                ],
            },
            {"kind": "log_chart"},
        ),
        (
            {
                "type": "table",
                "datasource": "Elasticsearch",
                "targets": [
                    {
                        "query": "*",
                        "metrics": [{"type": "count"}],
                        "bucketAggs": [{"type": "terms", "field": "path.keyword"}],
                    }
                ],
            },
            {"kind": "log_top", "field": "path"},
        ),
    ],
)
def test_looks_of_every_schema(panel: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Kinds, units, thresholds, words, sizes and scales of old and new schemas arrive."""
    found = _one(panel)
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("panel", "reason"),
    [
        ({"type": "geomap", "targets": ASK}, "no counterpart of the panel type geomap"),
        ({"type": "timeseries", "targets": [{"expr": "sum((("}]}, "the query is not PromQL"),
        ({"type": "timeseries", "targets": []}, "asks for nothing"),
        (
            {"type": "timeseries", "datasource": {"type": "influxdb"}, "targets": [{"query": "SELECT"}]},
            "data source is of type influxdb",
        ),
        (
            {
                "type": "timeseries",
                "datasource": {"type": "elasticsearch"},
                "targets": [{"query": "*", "metrics": [{"type": "avg", "field": "took"}]}],
            },
            "asks for avg",
        ),
        ({"libraryPanel": {"uid": "x"}}, "library panel"),
    ],
)
def test_what_does_not_translate_says_why(panel: dict[str, Any], reason: str) -> None:
    """A panel without a counterpart is listed with the reason, and the others are taken over."""
    found = read_grafana(_board(panel, {"type": "stat", "targets": ASK}))
    assert [one.kind for one in found.dashboard.panels] == ["stat"]
    assert reason in found.skipped[0].reason
    assert found.share == 0.5


def test_rows_of_before_schema_16_and_variables() -> None:
    """Panels in rows get places; list, interval, text and constant variables arrive; others say why not."""
    old = {
        "title": "Old",
        "schemaVersion": 14,
        "rows": [
            {"height": "250px", "repeat": "n", "panels": [{"type": "graph", "span": 4, "targets": ASK}]}
        ],
        "templating": {
            "list": [
                {
                    "type": "custom",
                    "name": "n",
                    "query": "one : 1, two : 2",
                    "multi": True,
                    "includeAll": True,
                },
                {"type": "interval", "name": "step", "query": "1m,5m", "current": {"value": "5m"}},
                {"type": "constant", "name": "c", "query": "x"},
                {"type": "query", "name": "m", "query": "metrics(node_.*)", "regex": "/^node_(.*)$/"},
                {"type": "adhoc", "name": "Filters"},
            ]
        },
    }
    found = read_grafana(old)
    graph = found.dashboard.panels[-1]
    assert (graph.width, graph.height, graph.repeat) == (4, 7, "n")
    n, step, constant, names = found.dashboard.variables
    assert (n.values, n.multi, n.all) == (["1", "2"], True, True)
    assert (step.kind, step.default, constant.hidden) == ("interval", "5m", True)
    assert (names.value_of, names.regex) == ("__name__", "^node_(.*)$")
    assert [one.title for one in found.remarks] == ["Filters"]


def test_ours_reads_back_from_grafana() -> None:
    """What is exported to Grafana and imported again is what it was, but for what only we have."""
    panels = [
        Panel("Head", "row", width=12),
        Panel(
            "Lines",
            "timeseries",
            [Query("rate(x_total[$__rate_interval])", "{{job}}")],
            "s",
            6,
            7,
            warn=1,
            crit=2,
        ),
        Panel("Low", "stat", [Query("up")], "percent", 3, 4, warn=90, crit=50, below=True, calc="mean"),
        Panel("Words", "status", [Query("up")], texts={"0": "down"}, width=9, height=6),
        Panel("Log", "log_chart", [Query("level:ERROR")], width=6, height=7),
        Panel("Top", "log_top", [Query("*")], width=6, height=7, field="path"),
        Panel("Mine", "checks", width=6, height=7),
    ]
    variables = [Variable("job", "Job", metric="up", value_of="job", multi=True, all_value=".*")]
    document = write_grafana(Dashboard("a", "A", variables=variables, panels=panels, refresh_s=30))
    assert is_grafana(json.loads(json.dumps(document)))
    back = read_grafana(document)
    assert back.skipped == []
    assert back.dashboard.panels[:-1] == panels[:-1]
    assert back.dashboard.panels[-1].kind == "text"
    assert back.dashboard.variables == variables


def test_import_and_export_by_api_and_command(server: Any, tmp_path: Path) -> None:
    """A Grafana file is taken over by the API, by the page with its report, and by the command line."""
    document = _board({"type": "stat", "title": "Up", "targets": ASK}, {"type": "geomap", "title": "Map"})
    dry = server.client.post("/api/mamimon/dashboards/import?dry_run=1", json=document).json()
    assert (dry["converted"], dry["panels"], dry["skipped"][0]["title"]) == (1, 2, "Map")
    assert "of-grafana" not in server.client.get("/api/mamimon/dashboards").text
    page = server.client.post("/dashboards/import", files={"file": ("g.json", json.dumps(document))})
    assert page.status_code == 200
    assert "no counterpart of the panel type geomap" in page.text
    body = server.client.get("/api/mamimon/dashboards/of-grafana/grafana").json()
    assert [panel["type"] for panel in body["panels"]] == ["stat"]
    file = tmp_path / "one.json"
    file.write_text(json.dumps(body), encoding="utf-8")
    told = _command(server.url, "dashboards", "import", str(file))
    assert "of-grafana-2" in told
    assert "1 of 1 panels" in told
    assert "of-grafana-2" in _command(server.url, "dashboards", "list")
    assert json.loads(_command(server.url, "dashboards", "export", "of-grafana-2"))["panels"]
    assert (
        json.loads(_command(server.url, "dashboards", "export", "of-grafana-2", "--grafana"))["schemaVersion"]
        == 39
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"spec": {"elements": {}}}', b'{"schemaVersion": 39}'])
def test_what_is_no_dashboard_is_refused(server: Any, body: bytes) -> None:
    """Anything else answers 400 and says what is wrong."""
    answer = server.client.post("/api/mamimon/dashboards/import", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def _command(url: str, *arguments: str) -> str:
    from click.testing import CliRunner

    from mamimon.cli.root import cli

    done = CliRunner().invoke(cli, [*arguments, "--url", url])
    assert done.exit_code == 0, done.output
    return done.output
