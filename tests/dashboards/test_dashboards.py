"""Dashboards, the overview and explore, asked as a browser without JavaScript would."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.dashboards.builtin import ORDER
from mamimon.dashboards.fill import Value, expand, expand_logs, value_of
from mamimon.dashboards.model import slug_of
from mamimon.dashboards.units import shown
from mamimon.window import Window
from tests.conftest import wait_until

HTML = {"Accept": "text/html"}


def _scraped(server: Any) -> None:
    """Wait until mamimon has scraped itself once."""
    wait_until(lambda: server.client.get("/api/v1/query?query=up").json()["data"]["result"])


@pytest.mark.feature("D1")
@pytest.mark.parametrize("slug", ORDER)
def test_builtin_dashboards_open_without_a_failing_panel(server: Any, slug: str) -> None:
    """Each built-in dashboard is there from the first start and none of its panels or charts fails."""
    _scraped(server)
    page = server.client.get(f"/dashboards/{slug}", headers=HTML)
    assert page.status_code == 200
    assert "error-box" not in page.text
    from html import unescape

    for part in page.text.split('data-src="')[1:]:
        answer = server.client.get(unescape(part.split('"')[0]))
        assert answer.json()["error"] == "", answer.url


@pytest.mark.feature("D1")
def test_the_overview_without_data_says_what_to_run(server: Any) -> None:
    """An empty server's first page shows the exact commands that bring data in."""
    page = server.client.get("/", headers=HTML).text
    assert f"curl {server.url}/capture/" in page
    # On a busy machine its own load may need somebody.
    assert "Nothing needs you." in page or '<a href="/checks">load</a>' in page


@pytest.mark.feature("D1")
def test_a_failing_panel_fails_alone(server: Any) -> None:
    """A panel with a query that cannot be read shows its own error; the others show their data."""
    _scraped(server)
    panels = [
        {"title": "Broken", "kind": "stat", "queries": [{"expr": "sum((("}]},
        {"title": "Fine", "kind": "stat", "queries": [{"expr": "sum(up)"}]},
    ]
    body = {"title": "Mixed", "panels": panels}
    assert server.client.put("/api/mamimon/dashboards/mixed", json=body).status_code == 200
    page = server.client.get("/dashboards/mixed", headers=HTML).text
    assert page.count("error-box") == 1
    assert '<span class="stat">1</span>' in page


@pytest.mark.feature("D2")
def test_own_dashboards_survive_a_restart_and_travel_as_json(start: Callable[..., Any]) -> None:
    """A dashboard made by form is there after a restart, exports as JSON and imports under a new name."""
    server = start()
    made = server.client.post("/dashboards", data={"title": "Müşteri panosu"})
    assert made.headers["location"] == "/dashboards/musteri-panosu/edit"
    queries = [{"expr": "up", "legend": "{{job}}"}, {"expr": "sum(up)"}]
    panel = {"title": "Load", "kind": "timeseries", "queries": queries, "width": 12}
    body = {"title": "Müşteri panosu", "panels": [panel]}
    saved = server.client.put(
        "/api/mamimon/dashboards/musteri-panosu", json=body, headers={"If-Match": '"1"'}
    )
    assert saved.headers["etag"] == '"2"'
    server.stop()
    server = start()
    exported = server.client.get("/api/mamimon/dashboards/musteri-panosu")
    assert exported.json()["panels"] == [panel]
    again = server.client.post("/dashboards/import", files={"file": ("a.json", exported.text)})
    assert again.headers["location"] == "/dashboards/musteri-panosu-2"
    assert server.client.post("/dashboards/musteri-panosu/delete").status_code == 303
    assert server.client.get("/dashboards/musteri-panosu").status_code == 404


@pytest.mark.feature("D2")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/dashboards/api-performance/json", 409),
        ("/dashboards/none/json", 404),
    ],
)
def test_builtin_and_missing_dashboards_are_not_changed(server: Any, path: str, status: int) -> None:
    """A built-in dashboard answers 409 to a change, one that does not exist 404."""
    assert server.client.post(path, data={"json": '{"slug": "x", "title": "x"}'}).status_code == status


@pytest.mark.feature("D2")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        json.dumps({"title": "x", "panels": [{"title": "y", "kind": "nonsense"}]}).encode(),
        json.dumps({"title": "x", "panels": [{"title": "y", "kind": "stat", "width": 99}]}).encode(),
    ],
)
def test_a_wrong_dashboard_is_refused_with_its_place(server: Any, body: bytes) -> None:
    """JSON that is not a dashboard answers 400 and stores nothing."""
    answer = server.client.put("/api/mamimon/dashboards/bad", content=body)
    assert answer.status_code == 400
    assert server.client.get("/api/mamimon/dashboards/bad").status_code == 404


@pytest.mark.feature("D5")
def test_explore_tells_metrics_and_logs_apart(server: Any) -> None:
    """PromQL and names of metrics that exist ask the metrics; everything else searches the logs."""
    _scraped(server)
    for text in ("up", "rate(http_requests_total[5m])", 'up{job="mamimon"}', "sum by (job) (up)"):
        page = server.client.get("/explore", params={"q": text}, headers=HTML).text
        assert "/api/mamimon/chart?" in page, text
    for text in ("level:ERROR", "timeout", "error OR (warn AND chat)", '"a phrase"', "404", "-debug", "a/b"):
        page = server.client.get("/explore", params={"q": text}, headers=HTML).text
        assert "/api/mamimon/dashboards/log-chart?" in page, text


def test_queries_are_filled_in() -> None:
    """Variables and Grafana's intervals are put into a query, and nothing else is touched."""
    window = Window(0, 3600, "1h")
    expr = 'sum(rate(x{job=~"$job"}[$__rate_interval])) / ${__range} + $other'
    two = {"job": value_of(["a.b", "c"])}
    assert expand(expr, window, two) == 'sum(rate(x{job=~"a\\\\.b|c"}[60s])) / 3600s + $other'
    one = {"node": value_of(["a.b:9100"]), "top": value_of(["3"]), "all": Value(".+")}
    told = 'topk($top, up{instance="$node", job=~"[[all]]", x!~"${node:regex}"}[$__interval])'
    wanted = 'topk(3, up{instance="a.b:9100", job=~".+", x!~"a\\\\.b:9100"}[15s])'
    assert expand(told, window, one) == wanted
    assert expand_logs('job:$job AND host:"$node" AND x:$all', two | one) == (
        'job:("a.b" OR "c") AND host:"a.b:9100" AND x:*'
    )
    assert slug_of("Çok Güzel / Pano!") == "cok-guzel-pano"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (7300, "s", "2.03 h"),
        (1536, "bytes", "1.5 KiB"),
        (0.5, "ratio", "50 %"),
        (412.4, "rate", "412 /s"),
        (1234567, "", "1.23 M"),
        (float("nan"), "", "–"),
        (0, "percent", "0 %"),
    ],
)
def test_numbers_read_well(value: float, unit: str, text: str) -> None:
    """Values are shown with three digits in the unit that fits."""
    assert shown(value, unit) == text


@pytest.mark.feature("D1")
def test_error_lines_that_differ_in_numbers_are_one(server: Any) -> None:
    """The overview counts error lines without their ids and durations, the most frequent first."""
    for i in range(3):
        line = {"level": "ERROR", "message": f"POST /api/chat/c{i} 500 in {i}.7 ms"}
        assert server.client.post("/es/logs-app/_doc", json=line).status_code == 201
    page = server.client.get("/", headers=HTML).text
    assert "POST /api/chat/c&lt;n&gt; &lt;n&gt; in &lt;n&gt; ms" in page
    assert '<td class="r">3</td>' in page


@pytest.mark.feature("D1")
def test_an_open_live_page_does_not_hold_up_the_stop(start: Callable[..., Any]) -> None:
    """The server stops long before its grace is over while somebody watches the overview's stream."""
    server = start(server={"stop_grace_s": 60.0})

    with server.client.stream("GET", "/overview/stream") as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        server.server.stop()
        server._thread.join(40)
        assert not server._thread.is_alive()
