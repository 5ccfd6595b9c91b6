"""One prometheus.yml for both: a real Prometheus 3 and mamimon scrape the same targets into the same series."""

# ruff: noqa: E501 (a table)

from __future__ import annotations

import http.server
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import peer, wait_until
from tests.metrics.messages import delimited
from tests.metrics.test_native_beside_prometheus import ask, close
from tests.metrics.test_native_histograms import PROTOBUF, M, family

TEXT = "text/plain; version=0.0.4"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = """# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",instance="mine",job="theirs",exported_job="x"} 1.5e3
# TYPE latency histogram
latency_bucket{le="0"} 0
latency_bucket{le="1"} 3
latency_bucket{le="1000000"} 5
latency_bucket{le="+Inf"} 6
latency_sum 12.25
latency_count 6
# TYPE size summary
size{quantile="0.5"} 3
size{quantile="1"} NaN
size_sum 7
size_count 2
odd{a="",b="q\\"uo\\\\te\\n",} -Inf
{"utf8.metric","label.with.dots"="ü"} 7
# TYPE not_a_histogram gauge
not_a_histogram{le="5"} 1
twice 1
twice 2
"""
OPENED = """# TYPE hits counter
# HELP hits Hits.
hits_total{x="1"} 5 # {trace_id="abc"} 1.5
hits_created{x="1"} 1700000000.5
# TYPE answer histogram
answer_bucket{le="1.0"} 1
answer_bucket{le="+Inf"} 2
answer_count 2
answer_sum 3.5
answer_created 1700000000
# TYPE build info
build_info{version="1"} 1
# TYPE temp_celsius gauge
# UNIT temp_celsius celsius
temp_celsius 21.5
# EOF
"""


def protobuf() -> bytes:
    """A counter, a summary, and histograms exposed natively, classically and both ways."""
    counter = M["MetricFamily"](name="hits_total", type=0)
    counter.metric.add().counter.value = 3
    summary = M["MetricFamily"](name="size", type=2)
    quantiles = summary.metric.add().summary
    quantiles.sample_count, quantiles.sample_sum = 4, 10.5
    quantiles.quantile.add(quantile=0.99, value=2)
    classic = M["MetricFamily"](name="classic", type=4)
    histogram = classic.metric.add().histogram
    histogram.sample_count, histogram.sample_sum = 7, 1.5
    histogram.bucket.add(cumulative_count=2, upper_bound=0.001)
    histogram.bucket.add(cumulative_count=5, upper_bound=250000)
    gauge = M["MetricFamily"](name="gauging", type=5)
    other = gauge.metric.add().histogram
    other.sample_count, other.sample_sum, other.schema = 3, -2, 1
    other.negative_span.add(offset=-1, length=2)
    other.negative_delta.extend([1, 1])
    native_only = family(buckets=False, count=9)
    native_only.name = "only"
    return delimited(counter, summary, classic, gauge, family(), native_only)


BODIES = {
    "/plain": (PLAIN.encode(), TEXT),
    "/open": (OPENED.encode(), OPEN),
    "/proto": (protobuf(), PROTOBUF),
    # Prometheus 3.14 loses a `_created` that follows a converted histogram.
    "/open_custom": (OPENED.replace("answer_created 1700000000\n", "").encode(), OPEN),
    "/blank": (b"a 1\n", ""),
    "/json": (b"a 1\n", "application/json"),
    "/broken": (b"a 1\nb{ 2\n", TEXT),
    "/many": (b"".join(b"m%d 1\n" % n for n in range(9)), TEXT),
    "/labels": (b'a{a="1",b="2",c="3",d="4"} 1\n', TEXT),
    "/long": (b'a{a="12345678901234567890"} 1\n', TEXT),
    "/old": (b"a 1 1000\nb 2\n", TEXT),
    "/open_without_end": (b"a 1\n", OPEN),
    "/created_only": (b"# TYPE a counter\na_created 5\n# EOF\n", OPEN),
}
JOBS = """
  - {job_name: plain, metrics_path: /plain}
  - {job_name: plain honoring, metrics_path: /plain, honor_labels: true}
  - {job_name: plain custom, metrics_path: /plain, convert_classic_histograms_to_nhcb: true}
  - {job_name: plain both, metrics_path: /plain, convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true}
  - {job_name: open, metrics_path: /open}
  - {job_name: open custom, metrics_path: /open_custom, convert_classic_histograms_to_nhcb: true}
  - {job_name: proto, metrics_path: /proto}
  - {job_name: proto native, metrics_path: /proto, scrape_native_histograms: true}
  - {job_name: proto both, metrics_path: /proto, scrape_native_histograms: true, always_scrape_classic_histograms: true}
  - {job_name: proto custom, metrics_path: /proto, convert_classic_histograms_to_nhcb: true}
  - {job_name: proto all, metrics_path: /proto, scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true}
  - {job_name: proto few, metrics_path: /proto, scrape_native_histograms: true, native_histogram_bucket_limit: 1}
  - {job_name: proto coarse, metrics_path: /proto, scrape_native_histograms: true, native_histogram_min_bucket_factor: 4}
  - {job_name: blank, metrics_path: /blank}
  - {job_name: blank with fallback, metrics_path: /blank, fallback_scrape_protocol: PrometheusText0.0.4}
  - {job_name: json, metrics_path: /json}
  - {job_name: json with fallback, metrics_path: /json, fallback_scrape_protocol: PrometheusText1.0.0}
  - {job_name: broken, metrics_path: /broken}
  - {job_name: many, metrics_path: /many, sample_limit: 8}
  - {job_name: many dropped, metrics_path: /many, sample_limit: 8, metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: m0}]}
  - {job_name: labels, metrics_path: /labels, label_limit: 6}
  - {job_name: labels in bounds, metrics_path: /labels, label_limit: 7}
  - {job_name: long, metrics_path: /long, label_value_length_limit: 19}
  - {job_name: old, metrics_path: /old}
  - {job_name: old without times, metrics_path: /old, honor_timestamps: false}
  - {job_name: open without end, metrics_path: /open_without_end}
  - {job_name: created only, metrics_path: /created_only}
  - {job_name: legacy, metrics_path: /plain, metric_name_validation_scheme: legacy}
  - {job_name: extra, metrics_path: /many, extra_scrape_metrics: true, sample_limit: 100}
  - {job_name: gone, metrics_path: /gone}
  - {job_name: renamed, metrics_path: /plain, metric_relabel_configs: [{action: labelmap, regex: (co).*, replacement: my_$1}, {source_labels: [code], target_label: code, regex: "(.)(.*)", replacement: "$2-${1}x"}, {action: labeldrop, regex: exported_.*}]}
"""


class Targets:
    """Answers a path's body."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, kind = BODIES.get(self.path, (b"", ""))
                self.send_response(200 if self.path in BODIES else 404)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def sides(process: Callable[..., Any], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Both with the same prometheus.yml: Prometheus' address, and ours."""
    targets = Targets()
    config = tmp_path / "prometheus.yml"
    static = f", static_configs: [{{targets: ['{targets.address}'], labels: {{team: a}}}}]}}"
    jobs = "\n".join(line[:-1] + static for line in JOBS.strip("\n").split("\n"))
    config.write_text(f"global: {{scrape_interval: 2s, scrape_timeout: 2s}}\nscrape_configs:\n{jobs}\n")
    quiet = {"MAMIMON_METRICS__SCRAPE_SELF": "false", "MAMIMON_ALERTS__BUILTIN_RULES": "false"}
    ours = process("--prometheus-config", str(config), env=quiet)
    popen = subprocess.Popen(
        [
            peer("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'peer'}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert popen.stderr is not None
        found = (re.search(r"Listening on.* address=127\.0\.0\.1:(\d+)", line) for line in popen.stderr)
        port = next(one.group(1) for one in found if one)
        threading.Thread(target=popen.stderr.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}", ours.url
    finally:
        popen.terminate()
        popen.wait(20)
        targets.stop()


def states(url: str) -> dict[str, dict[str, Any]]:
    """Job → its target as the API shows it."""
    active = httpx.get(f"{url}/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
    return {one["labels"]["job"]: one for one in active}


def scraped(url: str, job: str) -> list[Any]:
    """A job's series with their values, without what differs by the moment."""
    return [
        (one["metric"], one.get("value", [0, None])[1], one.get("histogram", [0, None])[1])
        for one in ask(url, f'{{job="{job}",__name__!="scrape_duration_seconds"}}')
        if one["metric"]["__name__"] != "scrape_series_added"
    ]


@pytest.mark.feature("M1")
@pytest.mark.peer("prometheus")
def test_both_scrape_the_same(sides: tuple[str, str]) -> None:
    """Thirty jobs: the same series, values, native histograms and health on both sides."""
    theirs, ours = sides
    jobs = re.findall(r"job_name: ([^,}]+)", JOBS)

    def settled() -> bool:
        return all(
            len(found := states(url)) == len(jobs)
            and all(one["health"] != "unknown" for one in found.values())
            for url in sides
        )

    wait_until(settled, timeout_s=60, what="every target scraped by both")
    wait_until(lambda: len(ask(ours, "count_over_time(up[1m]) >= 2")) == len(jobs), 60, "two scrapes each")
    left, right = states(theirs), states(ours)
    assert {job: right[job]["health"] for job in jobs} == {job: left[job]["health"] for job in jobs}
    for field in ("labels", "scrapeUrl", "scrapePool", "scrapeInterval", "scrapeTimeout"):
        assert {job: right[job][field] for job in jobs} == {job: left[job][field] for job in jobs}
    wrong = {}
    for job in jobs:
        a, b = scraped(theirs, job), scraped(ours, job)
        if not close([list(one) for one in a], [list(one) for one in b]):
            wrong[job] = ([one for one in a if one not in b], [one for one in b if one not in a])
    assert not wrong, "\n".join(f"{job}: only theirs {a}, only ours {b}" for job, (a, b) in wrong.items())
