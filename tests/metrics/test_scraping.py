"""Scraping real targets and asking for what they said, from outside."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import wait_until
from tests.metrics.conftest import App, Body, Scraped

Start = Callable[..., Scraped]


@pytest.mark.feature("M1")
@pytest.mark.feature("M4")
def test_a_prometheus_client_application_is_scraped_and_queried(scraped: Start, app: App) -> None:
    """Counters and histograms of a real client are scraped; rate, sum by and quantile answer."""
    one = scraped(app.address)
    for _ in range(21):
        app.requests.labels("GET", "200").inc(30)
        app.requests.labels("POST", "500").inc(15)
        for seconds in (0.05, 0.05, 0.3, 0.7):
            app.latency.observe(seconds)
        one.tick()
    assert one.value('http_requests_total{job="app",method="GET"}') == 630
    assert one.value('rate(http_requests_total{job="app",method="GET"}[5m])') == pytest.approx(2.0)
    by = {
        r["metric"]["status"]: float(r["value"][1])
        for r in one.query("sum by (status) (rate(http_requests_total{job='app'}[2m]))")
    }
    assert by == {"200": pytest.approx(2.0), "500": pytest.approx(1.0)}
    quantile = one.value("histogram_quantile(0.9, rate(http_request_duration_seconds_bucket{job='app'}[5m]))")
    assert quantile == pytest.approx(0.8)
    assert one.query("http_requests_total{job='app'} > 400")[0]["metric"]["method"] == "GET"
    assert one.query("http_requests_total{job='app'} > 4000") == []


@pytest.mark.feature("M1")
def test_the_five_series_about_a_scrape(scraped: Start, body: Body) -> None:
    """`up` and its siblings tell of each scrape: samples, what relabelling left, what is new."""
    extra = (
        "    metric_relabel_configs:\n      - {source_labels: [__name__], regex: 'noise_.*', action: drop}\n"
    )
    one = scraped(body.address, extra=extra)
    body.text = "a 1\nb 2\nnoise_x 3\n"
    one.tick()
    job = '{job="app"}'
    assert one.value(f"up{job}") == 1
    assert one.value(f"scrape_samples_scraped{job}") == 3
    assert one.value(f"scrape_samples_post_metric_relabeling{job}") == 2
    assert one.value(f"scrape_series_added{job}") == 2
    assert one.value(f"scrape_duration_seconds{job}") > 0
    assert one.query("noise_x") == []
    body.text = "a 1\nb 2\nc 3\n"
    one.tick()
    assert one.value(f"scrape_series_added{job}") == 1
    agent = body.headers[0]
    assert "openmetrics" in agent["Accept"]
    assert agent["X-Prometheus-Scrape-Timeout-Seconds"] == "5"


@pytest.mark.feature("M1")
def test_a_broken_line_fails_the_scrape_with_its_reason(scraped: Start, body: Body) -> None:
    """A broken line fails that scrape alone: DOWN with the line on /targets, series stale, then recovery."""
    one = scraped(body.address)
    assert one.tick()["health"] == "up"
    body.text = "a 1\nb{x=} 2\n"
    target = one.tick()
    assert target["health"] == "down"
    assert "line 2" in target["lastError"]
    page = one.server.client.get("/targets").text
    assert "DOWN" in page
    assert "line 2" in page
    assert one.value('up{job="app"}') == 0
    assert one.query("a") == []
    body.text = "a 3\n"
    assert one.tick()["health"] == "up"
    assert one.value("a") == 3


@pytest.mark.feature("M1")
def test_refused_and_failing_targets_say_why(scraped: Start, body: Body, app: App) -> None:
    """A closed port and an HTTP error are DOWN with their reason while the other target goes on."""
    body.status = 503
    gone = App()
    address = gone.address
    gone.stop()
    one = scraped(body.address, address, app.address)
    one.tick()

    def states() -> dict[str, Any]:
        active = one.server.client.get("/api/v1/targets").json()["data"]["activeTargets"]
        return {t["labels"]["instance"]: t for t in active if t["health"] != "unknown"}

    found = wait_until(lambda: len(states()) == 4 and states(), what="all targets scraped")
    assert "503" in found[body.address]["lastError"]
    assert "refused" in found[address]["lastError"]
    assert found[app.address]["health"] == "up"


@pytest.mark.feature("M1")
def test_vanished_series_end_at_once(scraped: Start, body: Body) -> None:
    """A series that the target stops exposing is gone from instant queries with the next scrape."""
    one = scraped(body.address)
    body.text = "a 1\nb 1\n"
    one.tick()
    assert len(one.query("{job='app',__name__=~'a|b'}")) == 2
    body.text = "a 2\n"
    one.tick()
    assert [r["metric"]["__name__"] for r in one.query("{job='app',__name__=~'a|b'}")] == ["a"]
    assert [v for _, v in one.query("b[5m]")[0]["values"]] == ["1"]


@pytest.mark.feature("M1")
def test_honor_labels_and_explicit_timestamps(scraped: Start, body: Body) -> None:
    """Clashing labels become exported_… unless honoured, and a line's own timestamp is kept."""
    one = scraped(body.address)
    earlier = int(one.clock.now() * 1000) - 60_000
    body.text = f'a{{job="theirs"}} 1\nold 5 {earlier}\n'
    one.tick()
    assert one.query("a")[0]["metric"]["exported_job"] == "theirs"
    assert one.query("old[10m]")[0]["values"] == [[earlier / 1000, "5"]]


@pytest.mark.feature("M1")
def test_own_metrics_are_scraped_without_configuration(server: Any, clock: Any) -> None:
    """mamimon's own metrics are there from the start, under job "mamimon"."""
    one = Scraped(server, clock)
    wait_until(lambda: one.query("up{job='mamimon'}"), what="the first own scrape")
    assert one.value("up{job='mamimon'}") == 1
    assert one.query("http_requests_total") or one.query("system_cpu_usage_percent")


@pytest.mark.feature("M4")
def test_the_missions_curl_on_a_drop_in_port(
    start: Callable[..., Any], app: App, yml: Callable[..., str], clock: Any
) -> None:
    """The mission's curl to Prometheus' own port answers in Prometheus' shape."""
    ports = "es=0,prometheus=0,alertmanager=0,ui=0"
    server = start(
        metrics={"prometheus_config": yml(app.address)}, server={"drop_in": True, "drop_in_ports": ports}
    )
    one = Scraped(server, clock)
    app.requests.labels("GET", "200").inc(7)
    one.tick()
    port = server.server.ports()["prometheus"]
    done = subprocess.run(
        ["curl", "-sS", f"http://localhost:{port}/api/v1/query?query=http_requests_total"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    answer = json.loads(done.stdout)
    mine = [r for r in answer["data"]["result"] if r["metric"]["job"] == "app"]
    assert answer["status"] == "success"
    assert answer["data"]["resultType"] == "vector"
    assert mine[0]["value"][1] == "7"
    assert mine[0]["metric"] == {
        "__name__": "http_requests_total",
        "instance": app.address,
        "job": "app",
        "method": "GET",
        "status": "200",
    }


@pytest.mark.feature("M3")
def test_samples_survive_a_restart(scraped: Start, app: App) -> None:
    """After a restart the samples of before are answered as before."""
    one = scraped(app.address)
    app.requests.labels("GET", "200").inc(5)
    for _ in range(3):
        one.tick()
    before = one.query("http_requests_total{job='app'}[10m]")
    assert len(before[0]["values"]) == 3
    one.server.stop()
    again = scraped(app.address)
    assert again.query("http_requests_total{job='app'}[10m]") == before


@pytest.mark.feature("M1")
def test_a_reload_follows_the_file(scraped: Start, app: App, body: Body, yml: Callable[..., str]) -> None:
    """A reload starts new targets and ends old ones; a broken file is refused and changes nothing."""
    one = scraped(body.address)
    one.tick()
    assert one.value("a") == 1
    path = Path(yml(app.address))
    good = path.read_text()
    path.write_text(good.replace("scrape_configs", "scrape_config"))
    answer = one.server.client.post("/-/reload")
    assert answer.status_code == 500
    assert "did you mean scrape_configs" in answer.text
    assert one.server.client.get("/api/v1/status/runtimeinfo").json()["data"]["reloadConfigSuccess"] is False
    assert one.target()["labels"]["instance"] == body.address
    path.write_text(good)
    assert one.server.client.post("/-/reload").status_code == 200
    wait_until(lambda: one.target().get("labels", {}).get("instance") == app.address, what="the new target")
    app.requests.labels("GET", "200").inc()
    one.tick()
    assert one.query("a") == []
    assert one.value("http_requests_total{job='app'}") == 1


@pytest.mark.feature("M1")
def test_sighup_reloads(process: Callable[..., Any], app: App, yml: Callable[..., str]) -> None:
    """SIGHUP reads prometheus.yml again without a restart."""
    path = yml()
    one = process("--prometheus-config", path)
    yml(app.address)
    one.popen.send_signal(signal.SIGHUP)

    def jobs() -> list[str]:
        active = httpx.get(f"{one.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
        return [target["labels"]["job"] for target in active]

    wait_until(lambda: "app" in jobs(), what="the new target")
    assert one.popen.poll() is None


@pytest.mark.feature("M1")
def test_exemplars_are_kept_and_answered(scraped: Start, app: App) -> None:
    """A real client's exemplars come back by query_exemplars, once each, also after a restart."""
    one = scraped(app.address)
    app.latency.observe(0.3, exemplar={"trace_id": "abc"})
    one.tick()
    one.tick()
    app.latency.observe(0.4, exemplar={"trace_id": "def"})
    one.tick()
    now = one.clock.now()
    query = "histogram_quantile(0.9, rate(http_request_duration_seconds_bucket{job='app'}[5m]))"
    # The application stamps its exemplars by the machine's clock, the test moves the server's.
    params = {"query": query, "start": now - 3600, "end": now + 3600}
    answer = one.server.client.get("/api/v1/query_exemplars", params=params).json()["data"]
    assert [series["seriesLabels"]["le"] for series in answer] == ["0.5"]
    found = answer[0]["exemplars"]
    assert [(e["labels"], e["value"]) for e in found] == [
        ({"trace_id": "abc"}, "0.3"),
        ({"trace_id": "def"}, "0.4"),
    ]
    one.server.stop()
    again = scraped(app.address)
    assert again.server.client.get("/api/v1/query_exemplars", params=params).json()["data"] == answer
    params["query"] = "other"
    assert again.server.client.get("/api/v1/query_exemplars", params=params).json()["data"] == []


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("".join(f'a{{n="{i}"}} 1\n' for i in range(2001)), "max_series_per_target"),
        ('a{x="' + "y" * 5000 + '"} 1\n', "label_value_length_limit exceeded"),
        ("a{" + ",".join(f'l{i}="1"' for i in range(80)) + "} 1\n", "label_limit exceeded"),
        ("a 1\n" * 300_000, "body size limit exceeded"),
        ('a{x="1",x="2"} 1\n', "twice"),
        ("a 1\nb NaNa\n", "line 2"),
    ],
    ids=["series", "value", "labels", "body", "doubled label", "number"],
)
def test_what_is_over_a_limit_is_refused_with_its_reason(
    scraped: Start, body: Body, app: App, text: str, reason: str
) -> None:
    """A target over a limit is DOWN and says which, and the other target is not disturbed."""
    body.text = text
    limits = {"max_series_per_target": 2000, "max_exposition_bytes": 1 << 20}
    one = scraped(body.address, app.address, metrics=limits)
    app.requests.labels("GET", "200").inc()
    one.tick()

    def states() -> dict[str, Any]:
        active = one.server.client.get("/api/v1/targets").json()["data"]["activeTargets"]
        return {t["labels"]["instance"]: t for t in active if t["health"] != "unknown"}

    found = wait_until(lambda: len(states()) == 3 and states(), what="all targets scraped")
    assert reason in found[body.address]["lastError"]
    assert found[app.address]["health"] == "up"
    assert one.query("a") == []
    assert one.value("http_requests_total{job='app'}") == 1
