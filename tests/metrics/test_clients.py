"""promtool and prometheus-api-client, unchanged, against mamimon."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.alerts.rules import BUILTIN
from tests.conftest import ROOT, peer
from tests.metrics.conftest import App, Scraped

Start = Callable[..., Scraped]


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """Run promtool; answers what it says where it is content."""
    done = subprocess.run(
        [peer("promtool"), *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.peer("promtool")
@pytest.mark.feature("M4")
def test_promtool_asks(scraped: Start, app: App) -> None:
    """Health, readiness and each kind of query, as text; an error is promtool's own message."""
    app.requests.labels("GET", "200").inc(4)
    one = scraped(app.address)
    for _ in range(2):
        app.latency.observe(0.2)
        one.tick()
    url, at = one.server.url, f"{one.clock.now():.0f}"
    assert "SUCCESS" in promtool("check", "healthy", f"--url={url}")
    promtool("check", "ready", f"--url={url}")
    instant = promtool("query", "instant", f"--time={at}", url, 'http_requests_total{job="app"}')
    assert instant.strip().endswith(f"=> 4 @[{at}]")
    ranged = promtool("query", "range", "--start=100", "--end=101", "--step=1s", url, "vector(7)")
    assert ranged.split() == ["{}", "=>", "7", "@[100]", "7", "@[101]"]
    series = promtool("query", "series", '--match={__name__="up",job="app"}', url)
    assert f'{{__name__="up", instance="{app.address}", job="app"}}' in series
    assert {"app", "mamimon"} <= set(promtool("query", "labels", url, "job").split())
    analysed = promtool(
        "query", "analyze", f"--server={url}", "--type=histogram", f"--time={at}", "--duration=5m",
        "--match=http_request_duration_seconds_bucket",
    )  # fmt: skip
    assert "http_request_duration_seconds" in analysed
    failed = subprocess.run(
        [peer("promtool"), "query", "instant", url, "sum("], capture_output=True, text=True, timeout=60
    )
    assert failed.returncode == 1
    assert 'invalid parameter "query"' in failed.stderr
    assert "parse error" in failed.stderr


@pytest.mark.peer("promtool")
@pytest.mark.feature("M5")
def test_promtool_checks_what_we_ship_and_show(server: Any) -> None:
    """Our own /metrics passes the linter, our rules and the example configuration the checks."""
    text = httpx.get(f"{server.url}/metrics").text
    assert promtool("check", "metrics", stdin=text) == ""
    assert "rules found" in promtool("check", "rules", "--lint=none", str(BUILTIN))
    for example in sorted((ROOT / "examples").rglob("prometheus*.yml")):
        promtool("check", "config", "--syntax-only", str(example))


@pytest.mark.peer("promtool")
@pytest.mark.feature("M2")
def test_promtool_pushes(server: Any, tmp_path: Path) -> None:
    """`promtool push metrics` sends a file of text through remote write; types arrive with it."""
    file = tmp_path / "m.prom"
    file.write_text(
        '# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{kind="a"} 3\n'
        "# TYPE took histogram\n"
        'took_bucket{le="1"} 1\ntook_bucket{le="+Inf"} 2\ntook_sum 5\ntook_count 2\n'
    )
    promtool("push", "metrics", "--label=job=batch", server.url, str(file))
    params = {"query": '{job="batch"}', "time": f"{time.time()}"}
    found = httpx.get(f"{server.url}/api/v1/query", params=params).json()["data"]["result"]
    shown = {(one["metric"]["__name__"], one["metric"].get("le", "")): one["value"][1] for one in found}
    assert shown == {
        ("jobs_total", ""): "3",
        ("took_bucket", "1"): "1",
        ("took_bucket", "+Inf"): "2",
        ("took_sum", ""): "5",
        ("took_count", ""): "2",
    }


@pytest.mark.peer("promtool")
@pytest.mark.feature("M4")
def test_a_bad_exposition_is_not_pushed(server: Any, tmp_path: Path) -> None:
    """What remote write refuses, promtool reports with our reason."""
    file = tmp_path / "m.prom"
    file.write_text("old 1 1000\n")
    done = subprocess.run(
        [peer("promtool"), "push", "metrics", server.url, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "older than the retention" in done.stderr


@pytest.mark.feature("M4")
def test_prometheus_api_client(scraped: Start, app: App) -> None:
    """The Python client's every question is answered: names, values, ranges, aggregations, targets."""
    from prometheus_api_client import PrometheusConnect

    app.requests.labels("GET", "200").inc()
    one = scraped(app.address)
    for _ in range(3):
        app.requests.labels("GET", "200").inc()
        one.tick()
    client = PrometheusConnect(url=one.server.url)
    now = dt.datetime.fromtimestamp(one.clock.now(), dt.UTC)
    assert client.check_prometheus_connection()
    assert {"up", "http_requests_total"} <= set(client.all_metrics())
    assert "job" in client.get_label_names()
    assert set(client.get_label_values("job")) == {"app", "mamimon"}
    labels = {"job": "app"}
    current = client.get_current_metric_value("http_requests_total", labels, params={"time": now.timestamp()})
    assert current[0]["value"][1] == "4"
    before = now - dt.timedelta(minutes=1)
    ranged = client.get_metric_range_data("http_requests_total", labels, start_time=before, end_time=now)
    assert [value for _, value in ranged[0]["values"]] == ["2", "3", "4"]
    asked = client.custom_query("sum(http_requests_total{job='app'})", params={"time": now.timestamp()})
    assert asked[0]["value"][1] == "4"
    stepped = client.custom_query_range("up{job='app'}", before, now, step="15s")
    assert stepped[0]["values"][-1] == [now.timestamp(), "1"]
    figures = client.get_metric_aggregation(
        "http_requests_total{job='app'}", ["sum", "max", "min", "average"], before, now, step="15"
    )
    assert (figures["max"], figures["min"]) == (4, 2)
    assert client.get_series(start=before, end=now, params={"match[]": "up"})
    targets = client.get_targets()["activeTargets"]
    assert {target["labels"]["job"] for target in targets} == {"app", "mamimon"}
    assert client.get_metric_metadata("http_requests_total")[0]["type"] == "counter"
    assert set(client.get_scrape_pools()) == {"app", "mamimon"}
