"""Grafana's overrides, transformations and schema v2 arrive, work, and go back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mamimon.dashboards.grafana_read import is_grafana, read_grafana
from mamimon.dashboards.grafana_write import write_grafana
from mamimon.dashboards.model import Dashboard, Override, Panel, Query, Transform
from mamimon.dashboards.overrides import look_of, renamed
from tests.conftest import wait_until

pytestmark = pytest.mark.feature("D3")
HTML = {"Accept": "text/html"}
ASK = [{"expr": "up", "refId": "A"}, {"expr": "up * 2", "refId": "B"}]


def _read(panel: dict[str, Any]) -> tuple[Panel, list[str]]:
    found = read_grafana({"title": "T", "schemaVersion": 39, "panels": [{"targets": ASK, **panel}]})
    assert not found.skipped, found.skipped[0].reason
    return found.dashboard.panels[0], [one.reason for one in found.remarks]


def _over(matcher: str, of: Any, **properties: Any) -> dict[str, Any]:
    rows = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": matcher, "options": of}, "properties": rows}


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        (_over("byName", "in", displayName="In"), Override("in", name="In")),
        (_over("byName", "in", unit="percent"), Override("in", unit="percent", right=True)),
        (
            _over("byName", "in", unit="percent", custom__axisPlacement="left"),
            Override("in", unit="percent"),
        ),
        (_over("byRegexp", "/^e/i", custom__axisPlacement="right"), Override("(?i)^e", "regex", right=True)),
        (
            _over("byFrameRefID", "B", color={"mode": "fixed", "fixedColor": "#E02F44"}),
            Override("2", "query", colour="#E02F44"),
        ),
        (_over("byName", "x", color={"fixedColor": "dark-red"}), Override("x", colour="crit")),
        (_over("byName", "x", color={"fixedColor": "rgb(1, 2, 30)"}), Override("x", colour="#01021e")),
        (_over("byName", "out", custom__transform="negative-Y"), Override("out", negative=True)),
        (_over("byName", "x", custom__hideFrom={"viz": True}), Override("x", hidden=True)),
    ],
)
def test_overrides_are_taken_over(over: dict[str, Any], wanted: Override) -> None:
    """Name, unit, colour, axis, direction and hiding of single series, by name, expression and query."""
    panel, told = _read(
        {"type": "timeseries", "fieldConfig": {"defaults": {"unit": "s"}, "overrides": [over]}}
    )
    assert panel.overrides == [wanted]
    assert told == []


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        (_over("byType", "number", unit="s"), "it matches byType"),
        (_over("byRegexp", "/(?=x)/", unit="s"), "no regular expression here"),
        (_over("byName", "x", custom__lineWidth=3), "lineWidth of single series"),
        (_over("byName", "x", unit="furlongs"), "unit furlongs of single series"),
    ],
)
def test_overrides_that_are_not_say_so(over: dict[str, Any], reason: str) -> None:
    """What is not taken over of a panel stands in the report."""
    panel, told = _read({"type": "timeseries", "fieldConfig": {"overrides": [over]}})
    assert panel.overrides == []
    assert reason in "\n".join(told)


def test_looks_of_series_from_before_overrides() -> None:
    """Colours and second axes of the graph panel of Grafana 7 and before."""
    panel, told = _read(
        {
            "type": "graph",
            "aliasColors": {"a": "#7EB26D"},
            "yaxes": [{"format": "s"}, {"format": "percent"}],
            "seriesOverrides": [
                {"alias": "/^b/", "yaxis": 2, "linewidth": 3},
                {"alias": "c", "transform": "negative-Y", "color": "red"},
            ],
        }
    )
    assert panel.overrides == [
        Override("a", colour="#7EB26D"),
        Override("^b", "regex", unit="percent", right=True),
        Override("c", colour="crit", negative=True),
    ]
    assert told == ["linewidth of single series are drawn as everywhere here"]


@pytest.mark.parametrize(
    ("kind", "step", "wanted"),
    [
        (
            "table",
            ("organize", {"excludeByName": {"job": True, "x": False}, "indexByName": {"b": 1, "a": 0},
                          "renameByName": {"a": "A"}}),
            [Transform("drop", ["job"]), Transform("order", ["a", "b"]),
             Transform("rename", names={"a": "A"})],
        ),
        ("table", ("merge", {}), []),
        ("table", ("filterFieldsByName", {"include": {"names": ["a"], "pattern": "/^b/"}}),
         [Transform("keep", ["a"], "^b")]),
        ("timeseries", ("renameByRegex", {"regex": "(.*):9100", "renamePattern": "$1"}),
         [Transform("rename_regex", pattern="(.*):9100", to="$1")]),
        ("table", ("reduce", {"reducers": ["max", "mean"]}), [Transform("reduce", calcs=["max", "mean"])]),
        ("table", ("sortBy", {"sort": [{"field": "a", "desc": True}]}),
         [Transform("sort", ["a"], descending=True)]),
        ("table", ("labelsToFields", {"valueLabel": "mode"}), [Transform("pivot", ["mode"])]),
        ("table", ("labelsToFields", {"keepLabels": ["a"]}), [Transform("keep", ["a"], "^Value( #.+)?$")]),
        ("table", ("joinByField", {"byField": "pod"}), [Transform("join", ["pod"])]),
        ("timeseries", ("joinByField", {"byField": "Time"}), []),
        (
            "table",
            ("groupBy", {"fields": {"pod": {"operation": "groupby"},
                                    "Value": {"operation": "aggregate", "aggregations": ["max", "count"]}}}),
            [Transform("group", ["pod"], group_calcs={"Value": ["max", "count"]})],
        ),
    ],
)  # fmt: skip
def test_transformations_are_taken_over(kind: str, step: tuple[str, Any], wanted: list[Transform]) -> None:
    """The common transformations, on the kinds of panels that they are used on."""
    panel, told = _read({"type": kind, "transformations": [{"id": step[0], "options": step[1]}]})
    assert panel.transforms == wanted
    assert told == []


@pytest.mark.parametrize(
    ("kind", "step", "reason"),
    [
        ("timeseries", ("calculateField", {}), "calculateField is not applied: it has no counterpart"),
        ("timeseries", ("groupBy", {"fields": {}}), "only tables are grouped"),
        ("bargauge", ("sortBy", {"sort": [{"field": "a"}]}), "only tables are sorted"),
        ("table", ("labelsToFields", {"mode": "rows"}), "labels are columns here"),
        ("table", ("filterFieldsByName", {"byVariable": True, "include": {}}), "what a variable names"),
        ("table", ("renameByRegex", {"regex": "(?=x)"}), "no regular expression here"),
        ("table", ("organize", 7), ""),
        ("table", ("reduce", {"reducers": 7, "mode": "reduceFields"}), "not made into one row"),
    ],
)
def test_transformations_that_are_not_say_why(kind: str, step: tuple[str, Any], reason: str) -> None:
    """Each transformation that is not applied is named with the reason; the panel is there all the same."""
    _panel, told = _read({"type": kind, "transformations": [{"id": step[0], "options": step[1]}]})
    assert reason in "\n".join(told)


def _live(server: Any, *panels: Panel) -> dict[str, Any]:
    body = msgspec.json.encode(Dashboard("looks", "Looks", panels=list(panels)))
    server.client.put("/api/mamimon/dashboards/looks", content=body).raise_for_status()
    keys = ",".join(map(str, range(len(panels))))
    found: dict[str, Any] = server.client.get(f"/dashboards/looks/live?since=1h&keys={keys}").json()["panels"]
    return found


def _lines(server: Any) -> None:
    """Two pods with two numbers each, as an application pushes them."""
    text = "".join(
        f'{name}{{pod="{pod}",mode="{mode}"}} {value}\n'
        for name, pod, mode, value in (
            ("used", "a", "rss", 1), ("used", "b", "rss", 3), ("used", "a", "swap", 5),
            ("asked", "a", "rss", 8), ("asked", "b", "rss", 4),
        )
    )  # fmt: skip
    pushed = server.client.put("/metrics/job/looks", content=text)
    assert pushed.status_code == 200, pushed.text
    wait_until(lambda: server.client.get("/api/v1/query?query=used").json()["data"]["result"], 30, "samples")


def test_series_and_tables_are_shown_as_asked(server: Any) -> None:
    """Overrides and transformations change charts, numbers, tables and CSV, and the editor's preview too."""
    _lines(server)
    mine = Query('sum by (pod) (used{job="looks"})', "{{pod}}")
    lines = Panel(
        "Lines", "timeseries", [mine, Query("vector(50)", "half")],
        overrides=[Override("a", name="Alpha", colour="#112233", negative=True),
                   Override("2", "query", unit="percent", right=True), Override("^b$", "regex", hidden=True)],
    )  # fmt: skip
    number = Panel("Number", "stat", [mine], "bytes", overrides=[Override("b", unit="percent", name="Beta")])
    asked = [
        Query('sum by (pod, mode) (used{job="looks"})'),
        Query('sum by (pod, mode) (asked{job="looks"})'),
    ]
    steps = [
        Transform("join", ["pod"]), Transform("drop", ["mode"]), Transform("sort", ["pod"], descending=True),
        Transform("rename", names={"Value #A": "Used", "Value #B": "Asked", "pod": "Pod"}),
        Transform("order", ["Asked", "Pod", "Used"]),
    ]  # fmt: skip
    table = Panel("Table", "table", asked, transforms=steps, overrides=[Override("Asked", unit="percent")])
    pivot = Panel("Modes", "table", asked[:1], transforms=[Transform("pivot", ["mode"])])
    by_pod = Transform("group", ["pod"], group_calcs={"Value": ["sum", "count"]})
    grouped = Panel("Group", "table", asked[:1], transforms=[by_pod, Transform("sort", ["pod"])])
    reduced = Panel("Reduced", "table", [mine], transforms=[Transform("reduce", calcs=["max", "min"])])
    panels = (lines, number, table, pivot, grouped, reduced)
    found = _live(server, *panels)

    chart = {one["name"]: one for one in found["0"]["chart"]["series"]}
    assert set(chart) == {"Alpha", "half"}
    assert (chart["Alpha"]["colour"], chart["Alpha"]["values"][-1]) == ("#112233", -6)
    assert (chart["half"]["unit"], chart["half"]["right"]) == ("percent", True)
    assert ">Beta<" in found["1"]["html"]
    assert ">3 %<" in found["1"]["html"]
    assert ">6 B<" in found["1"]["html"]

    def table_of(key: str) -> list[list[str]]:
        text = server.client.get(f"/dashboards/looks/csv/{key}?since=1h").text
        return [line.split(",") for line in text.splitlines()]

    assert table_of("2") == [["Asked", "Pod", "Used"], ["4.0", "b", "3.0"], ["8.0", "a", "5.0"]]
    assert ">8 %<" in found["2"]["html"]
    assert table_of("3") == [["pod", "rss", "swap"], ["a", "1.0", "5.0"], ["b", "3.0", ""]]
    assert table_of("4") == [
        ["pod", "Value (sum)", "Value (count)"],
        ["a", "6.0", "2.0"],
        ["b", "3.0", "1.0"],
    ]
    assert table_of("5") == [["value", "Max", "Min"], ["a", "6.0", "6.0"], ["b", "3.0", "3.0"]]
    page = server.client.get("/dashboards/looks?since=1h", headers=HTML).text
    from html import unescape

    src = unescape(page.split('data-src="')[1].split('"')[0])
    drawn = server.client.get(src).json()
    assert {one["name"] for one in drawn["series"]} == {"Alpha", "half"}
    assert server.client.get("/api/mamimon/dashboards/chart?query=up&panel={").status_code == 400


def test_names_by_expression() -> None:
    """The first match is replaced, with groups in both spellings; an odd expression changes nothing."""
    assert renamed("(.*):(\\d+)", "$1 at ${2}", "host:9100") == "host at 9100"
    assert renamed("x", "y", "abc") == "abc"
    assert renamed("(", "y", "abc") == "abc"
    panel = Panel("", "timeseries", transforms=[Transform("keep", ["a"])])
    assert (look_of(panel, "a").hidden, look_of(panel, "b").hidden) == (False, True)


def test_looks_read_back_from_grafana() -> None:
    """Overrides, transformations and exemplars that are exported and imported again are what they were."""
    panels = [
        Panel("L", "timeseries", [Query("up", "a"), Query("up", "b")], "s", 6, 7, exemplars=True, overrides=[
            Override("a", name="A", colour="#112233", right=True), Override("2", "query", negative=True),
            Override("^b", "regex", unit="bytes"), Override("c", colour="crit", hidden=True)]),
        Panel("T", "table", [Query("up")], width=6, height=7, transforms=[
            Transform("join", ["pod"]), Transform("drop", ["x"]), Transform("order", ["b", "a"]),
            Transform("rename", names={"a": "A"}), Transform("sort", ["a"], descending=True),
            Transform("rename_regex", pattern="a", to="b"), Transform("keep", ["a"], "^b"),
            Transform("pivot", ["mode"]), Transform("group", ["a"], group_calcs={"b": ["last", "count"]})],
              overrides=[Override("A", hidden=True)]),
        Panel("R", "table", [Query("up")], height=7, transforms=[Transform("reduce", calcs=["max"])]),
    ]  # fmt: skip
    document = json.loads(json.dumps(write_grafana(Dashboard("a", "A", panels=panels))))
    back = read_grafana(document)
    assert (back.skipped, back.remarks) == ([], [])
    assert back.dashboard.panels == panels


def _element(title: str, *, old: bool, **more: Any) -> dict[str, Any]:
    """A panel of schema v2: `old` is v2alpha1, where `kind` names the plugin."""
    asked = {"expr": "rate(x_total[5m])", "legendFormat": "{{job}}"}
    source = {"kind": "prometheus", "spec": asked} if old else {
        "kind": "DataQuery", "group": "prometheus", "version": "v0", "spec": asked}  # fmt: skip
    look = {"fieldConfig": {"defaults": {"unit": "bytes", "custom": {"drawStyle": "bars"}}, "overrides": []}}
    step = {"id": "renameByRegex", "options": {"regex": "a", "renamePattern": "b"}}
    return {
        "kind": "Panel",
        "spec": {
            "title": title,
            "data": {
                "kind": "QueryGroup",
                "spec": {
                    "queries": [{"kind": "PanelQuery", "spec": {"query": source, "refId": "A"}}],
                    "transformations": [
                        {"kind": "renameByRegex", "spec": step}
                        if old
                        else {"kind": "Transformation", "group": "renameByRegex", "spec": step}
                    ],
                },
            },
            "vizConfig": {"kind": "timeseries", "spec": look}
            if old
            else {"kind": "VizConfig", "group": "timeseries", "version": "13", "spec": look},
            **more,
        },
    }


def _item(name: str, x: int = 0, y: int = 0, **more: Any) -> dict[str, Any]:
    element = {"kind": "ElementReference", "name": name}
    spec = {"x": x, "y": y, "width": 12, "height": 6, "element": element, **more}
    return {"kind": "GridLayoutItem", "spec": spec}


GRID = {"kind": "GridLayout", "spec": {"items": [_item("b", 12), _item("a", repeat={"value": "host"})]}}
AUTO = {"kind": "AutoGridLayout", "spec": {"maxColumnCount": 2, "items": [_item("a"), _item("b")]}}
ROWS = {
    "kind": "RowsLayout",
    "spec": {
        "rows": [
            {"kind": "RowsLayoutRow", "spec": {"title": "Row", "layout": GRID}},
            {"kind": "RowsLayoutRow", "spec": {"title": "Auto", "collapse": True, "layout": AUTO}},
        ]
    },
}
TABS = {
    "kind": "TabsLayout",
    "spec": {"tabs": [{"kind": "TabsLayoutTab", "spec": {"title": "T", "layout": ROWS}}]},
}
OLD_ROWS = {
    "kind": "GridLayout",
    "spec": {
        "items": [
            {
                "kind": "GridLayoutRow",
                "spec": {"y": 0, "title": "R", "elements": [_item("a"), _item("b", 12)]},
            }
        ]
    },
}


@pytest.mark.parametrize("old", [True, False], ids=["v2alpha1", "v2"])
@pytest.mark.parametrize(
    ("layout", "titles"),
    [
        (GRID, ["A", "B"]),
        (AUTO, ["A", "B"]),
        (ROWS, ["Row", "A", "B", "Auto", "A", "B"]),
        (TABS, ["T", "Row", "A", "B", "Auto", "A", "B"]),
        (OLD_ROWS, ["R", "A", "B"]),
    ],
    ids=["grid", "auto", "rows", "tabs", "rows in a grid"],
)
def test_schema_v2_is_taken_over(old: bool, layout: dict[str, Any], titles: list[str]) -> None:
    """Elements, every layout, variables and times of Grafana's new schema, in both of its spellings."""
    values = {"query": "label_values(up, instance)"}
    new = {"kind": "DataQuery", "group": "prometheus", "spec": values}
    query = {"kind": "prometheus", "spec": values} if old else new
    document = {
        "apiVersion": "dashboard.grafana.app/v2alpha1" if old else "dashboard.grafana.app/v2",
        "kind": "Dashboard",
        "metadata": {"name": "x"},
        "spec": {
            "title": "New",
            "elements": {"a": _element("A", old=old), "b": _element("B", old=old, description="why")},
            "layout": layout,
            "timeSettings": {"from": "now-3h", "to": "now", "autoRefresh": "30s"},
            "variables": [
                {"kind": "DatasourceVariable", "spec": {"name": "ds", "pluginId": "prometheus"}},
                {"kind": "QueryVariable",
                 "spec": {"name": "host", "query": query, "multi": True, "includeAll": True,
                          "hide": "hideVariable"}},
                {"kind": "CustomVariable", "spec": {"name": "size", "query": "1, 2"}},
                {"kind": "AdhocVariable", "spec": {"name": "filters"}},
            ],
            "annotations": [
                {"kind": "AnnotationQuery", "spec": {"name": "Mine", "enable": True, "query": query}}
            ],
        },
    }  # fmt: skip
    assert is_grafana(document)
    found = read_grafana(document)
    one = found.dashboard
    assert [panel.title for panel in one.panels] == titles
    assert found.skipped == []
    assert {remark.title for remark in found.remarks} == {"filters", "Mine"}
    assert (one.title, one.since, one.refresh_s) == ("New", "3h", 30)
    panel = next(panel for panel in one.panels if panel.title == "A")
    assert (panel.kind, panel.unit, panel.width) == ("bars", "bytes", 6)
    assert panel.queries == [Query("rate(x_total[5m])", "{{job}}")]
    assert panel.transforms == [Transform("rename_regex", pattern="a", to="b")]
    assert panel.repeat == ("host" if layout is not AUTO and layout is not OLD_ROWS else "")
    host, size = one.variables
    assert (host.kind, host.metric, host.value_of, host.hidden) == ("labels", "up", "instance", True)
    assert size.values == ["1", "2"]


def test_odd_elements_of_schema_v2_say_why() -> None:
    """A library panel and a reference to nothing are listed with a reason; a wild layout is refused."""
    layout = {"kind": "GridLayout", "spec": {"items": [_item("lib"), _item("none", 12), _item("a", 0, 6)]}}
    elements = {"lib": {"kind": "LibraryPanel", "spec": {"title": "L"}}, "a": _element("A", old=False)}
    found = read_grafana({"spec": {"title": "T", "elements": elements, "layout": layout}})
    assert [one.title for one in found.dashboard.panels] == ["A"]
    assert "library panel" in found.skipped[0].reason
    assert "does not hold" in found.skipped[1].reason
    for _ in range(30):
        layout = {"kind": "TabsLayout", "spec": {"tabs": [{"spec": {"layout": layout}}]}}
    from mamimon.problems import Problem

    with pytest.raises(Problem, match="too deeply"):
        read_grafana({"spec": {"title": "T", "elements": elements, "layout": layout}})
