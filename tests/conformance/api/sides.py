"""A real Prometheus 3 and mamimon over one prometheus.yml: the same targets, rules and pushed samples."""

from __future__ import annotations

import http.server
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import cramjam
import httpx

from tests.conformance.differential.sides import DELAYED, FEATURES
from tests.conftest import Process, peer, wait_until
from tests.metrics.test_remote_write import M

TEXT = """# HELP app_requests_total Requests by code.
# TYPE app_requests_total counter
app_requests_total{code="200"} 40
app_requests_total{code="500"} 2
# HELP app_up_seconds Since when.
# TYPE app_up_seconds gauge
# UNIT app_up_seconds seconds
app_up_seconds 12.5
# TYPE app_latency histogram
app_latency_bucket{le="0.5"} 3
app_latency_bucket{le="+Inf"} 4
app_latency_sum 2.5
app_latency_count 4
{"app.utf8","label.dotted"="ü"} 7
odd{a="",b="q\\"uo\\\\te\\n<&>"} NaN
# EOF
"""
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CONFIG = """global:
  scrape_interval: 2s
  scrape_timeout: 2s
  evaluation_interval: 1s
  external_labels: {{monitor: "here", replica: "1"}}
rule_files: ["{folder}/rules.yml"]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:9"]}}]
scrape_configs:
  - job_name: app
    static_configs:
      - targets: ["{address}"]
        labels: {{team: a}}
  - job_name: broken
    metrics_path: /broken
    params: {{x: ["1 2"], y: ["ü"]}}
    static_configs: [{{targets: ["{address}"]}}]
  - job_name: down
    metrics_path: /absent
    basic_auth: {{username: me, password: hunter2}}
    static_configs: [{{targets: ["{address}"]}}]
  - job_name: odd times
    scrape_interval: 2500ms
    scrape_timeout: 1500ms
    static_configs: [{{targets: ["{address}"]}}]
  - job_name: some dropped
    honor_labels: true
    sample_limit: 1000
    static_configs:
      - targets: ["{address}", "a:1", "b:2"]
    relabel_configs:
      - {{source_labels: [__address__], regex: "[ab]:.*", action: drop}}
      - {{source_labels: [__address__], target_label: host, regex: "(.*):.*", replacement: "h-$1"}}
      - {{regex: "team", action: labeldrop}}
"""
RULES = """groups:
  - name: recording
    interval: 1s
    limit: 10
    rules:
      - {record: "app:requests:sum", expr: 'sum by (job) (app_requests_total)', labels: {level: job}}
      - {record: "app:nothing", expr: 'absent_metric'}
  - name: alerting
    interval: 1s
    labels: {group: "yes"}
    rules:
      - alert: Firing
        expr: app_requests_total{job="app", code="500"} > 1
        labels: {severity: page, code: "{{ $labels.code }}"}
        annotations: {summary: "{{ $value }} of {{ $labels.instance }}", description: "<b>&"}
        keep_firing_for: 1m
      - alert: Pending
        expr: app_up_seconds{job="app"} > 1
        for: 1h
      - alert: Inactive
        expr: app_up_seconds < 1
        for: 5m30s
        labels: {severity: warning}
  - name: failing
    interval: 1s
    query_offset: 1s
    rules:
      - {alert: Failing, expr: 'app_requests_total + on(job) app_requests_total'}
      - {record: "too_many", expr: 'vector(1) / 0'}
  - name: crowded
    interval: 1s
    limit: 1
    rules:
      - {record: "crowded", expr: 'app_requests_total'}
"""
QUIET = {
    "MAMIMON_METRICS__SCRAPE_SELF": "false",
    "MAMIMON_ALERTS__BUILTIN_RULES": "false",
    # Prometheus calls itself by the name of the machine.
    "MAMIMON_SERVER__PUBLIC_URL": f"http://{socket.gethostname()}",
}
STEP_S = 15
SPAN_S = 1800


class Targets:
    """An application, and one whose exposition cannot be read."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                body = {"/metrics": TEXT.encode(), "/broken": b"b{ 2\n# EOF\n"}.get(path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", OPEN)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def pushed(until: int) -> bytes:
    """A remote write of half an hour up to `until` (epoch seconds), with an exemplar."""
    request = M["WriteRequest"]()
    for number in range(12):
        names = {"path": f"/p{number}", "code": ("200", "404", "500")[number % 3], "job": "world"}
        _add(
            request, {"__name__": "world_hits_total", **names}, until, lambda at, n=number: at % 900 * (n + 1)
        )
        _add(request, {"__name__": "world_load", **names}, until, lambda at, n=number: (at % 300) / 7 - n)
    for count, bound in enumerate(("0.1", "1", "+Inf"), 1):
        labels = {"__name__": "world_latency_bucket", "le": bound, "job": "world"}
        series = _add(request, labels, until, lambda at, n=count: at % 1000 * n)
        if bound == "1":
            exemplar = series.exemplars.add(value=0.7, timestamp=(until - 60) * 1000)
            exemplar.labels.add(name="trace_id", value="abc")
    return bytes(request.SerializeToString())


def _add(request: Any, labels: dict[str, str], until: int, value: Any) -> Any:
    series = request.timeseries.add()
    for name, text in sorted(labels.items()):
        series.labels.add(name=name, value=text)
    for at in range(until - SPAN_S, until + 1, STEP_S):
        series.samples.add(value=value(at), timestamp=at * 1000)
    return series


class Sides:
    """Both, running; `theirs` and `ours` ask them."""

    def __init__(self, folder: Path, *, admin: bool = False) -> None:
        self.targets = Targets()
        self.folder = folder
        (folder / "rules.yml").write_text(RULES)
        config = folder / "prometheus.yml"
        config.write_text(CONFIG.format(folder=folder, address=self.targets.address))
        env = {**QUIET, "MAMIMON_METRICS__ADMIN_API": "true"} if admin else QUIET
        self._ours = Process(folder / "data", "--prometheus-config", str(config), env=env)
        self._theirs = subprocess.Popen(
            [
                peer("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
                "--web.enable-remote-write-receiver",
                "--web.enable-otlp-receiver",
                "--web.enable-lifecycle",
                f"--enable-feature={','.join((*FEATURES, DELAYED, 'exemplar-storage'))}",
                *(["--web.enable-admin-api"] if admin else []),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._theirs.stderr is not None
        found = (
            re.search(r"Listening on.* address=127\.0\.0\.1:(\d+)", line) for line in self._theirs.stderr
        )
        port = next(one.group(1) for one in found if one)
        threading.Thread(target=self._theirs.stderr.read, daemon=True).start()
        self.theirs = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.ours = httpx.Client(base_url=self._ours.url, timeout=60)
        wait_until(lambda: self.theirs.get("/-/ready").status_code == 200, what="Prometheus")
        self.until = int(time.time()) // STEP_S * STEP_S - STEP_S
        raw = bytes(cramjam.snappy.compress_raw(pushed(self.until)))
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        for client in (self.theirs, self.ours):
            answer = client.post("/api/v1/write", content=raw, headers=headers)
            assert answer.status_code in (200, 204), answer.text

    def settle(self) -> None:
        """Wait until each target was scraped and each rule has its lasting state."""
        for client in (self.theirs, self.ours):
            wait_until(lambda client=client: _settled(client), what="targets and rules")

    def stop(self) -> None:
        """End both."""
        self.theirs.close()
        self.ours.close()
        self._theirs.terminate()
        self._ours.terminate()
        try:
            self._theirs.wait(30)
        except subprocess.TimeoutExpired:  # seen once, on a busy machine; how a peer ends is not our matter
            self._theirs.kill()
            self._theirs.wait(30)
        self.targets.stop()


def _settled(client: httpx.Client) -> bool:
    active = client.get("/api/v1/targets").json()["data"]["activeTargets"]
    groups = client.get("/api/v1/rules").json()["data"]["groups"]
    states = {rule["name"]: rule.get("state") for group in groups for rule in group["rules"]}
    healths = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    twice = "count(count_over_time(up[5m]) > 1) or vector(0)"
    scraped = client.get("/api/v1/query", params={"query": twice}).json()["data"]["result"][0]["value"][1]
    return (
        {one["health"] for one in active} == {"up", "down"}
        and int(scraped) == len(active)
        and (states.get("Firing"), states.get("Pending")) == ("firing", "pending")
        and (healths["Failing"], healths["crowded"], healths["too_many"]) == ("err", "err", "ok")
        and len(client.get("/api/v1/query?query=app:requests:sum").json()["data"]["result"]) > 0
    )
