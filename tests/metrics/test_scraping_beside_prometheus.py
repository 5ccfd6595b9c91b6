"""One prometheus.yml for both: a real Prometheus 3 and mamimon scrape the same targets into the same series."""

# ruff: noqa: E501 (a table)

from __future__ import annotations

import gzip
import http.server
import json
import re
import subprocess
import threading
import time
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
    "/zipped": (gzip.compress(b'a 1\nb{x="1"} 2\n'), TEXT),
    "/half_zipped": (gzip.compress(b"a 1\n" * 500)[:-12], TEXT),
    "/utf8": (b'{"a.b-c","d.e"="f"} 1\n{"_leading"} 2\n{"1digit"} 3\n', f"{TEXT}; escaping=allow-utf-8"),
    "/empty": (b"", TEXT),
    "/comments": (b"# nothing\n\n# HELP a b\n", TEXT),
    "/no_newline": (b"a 1\nb 2", TEXT),
    "/windows": (b"a 1\r\nb 2\r\n", TEXT),
    "/not_utf8": (b'a{x="\xff"} 1\n', TEXT),
    "/bad_value": (b"a 1\nb x\n", TEXT),
    "/bad_name": (b"a 1\n1b 2\n", TEXT),
    "/twice": (b'a{x="1"} 1\na{x="1"} 1\nb 1\n', TEXT),
    "/twice_timed": (b"a 1 1000\na 2 1000\n", TEXT),
    "/same_label": (b'a{x="1",x="2"} 1\n', TEXT),
    "/numbers": (b"a 1e400\nb -Inf\nc NaN\nd 0x1p4\ne 1_000\nf +5\ng .5\n", TEXT),
    "/html": (b"<html>no</html>", "text/html"),
    "/big": (b"".join(b"big%d 1\n" % n for n in range(400)), TEXT),
    "/relabelled": (b'm{a="x-1",b="y",c="",tmp_z="Z",__meta="m"} 1\nn{a="x-2",b="y"} 2\n', TEXT),
    "/info": (b'# TYPE i info\ni_info{v="1"} 1\n# TYPE s stateset\ns{s="on"} 1\n# EOF\n', OPEN),
}
ZIPPED = ("/zipped", "/half_zipped")
STATUSES = {"/unavailable": 503, "/forbidden": 403, "/teapot": 418, "/no_content": 204}
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
  - {job_name: zipped, metrics_path: /zipped}
  - {job_name: half zipped, metrics_path: /half_zipped}
  - {job_name: utf8, metrics_path: /utf8}
  - {job_name: utf8 escaped, metrics_path: /utf8, metric_name_escaping_scheme: underscores, metric_name_validation_scheme: legacy}
  - {job_name: empty, metrics_path: /empty}
  - {job_name: comments, metrics_path: /comments}
  - {job_name: no newline, metrics_path: /no_newline}
  - {job_name: windows, metrics_path: /windows}
  - {job_name: not utf8, metrics_path: /not_utf8}
  - {job_name: bad value, metrics_path: /bad_value}
  - {job_name: bad name, metrics_path: /bad_name}
  - {job_name: twice, metrics_path: /twice}
  - {job_name: twice timed, metrics_path: /twice_timed}
  - {job_name: same label, metrics_path: /same_label}
  - {job_name: numbers, metrics_path: /numbers}
  - {job_name: html, metrics_path: /html}
  - {job_name: info, metrics_path: /info}
  - {job_name: big, metrics_path: /big, body_size_limit: 100B}
  - {job_name: big zipped, metrics_path: /zipped, body_size_limit: 5B}
  - {job_name: unavailable, metrics_path: /unavailable}
  - {job_name: forbidden, metrics_path: /forbidden}
  - {job_name: teapot, metrics_path: /teapot}
  - {job_name: no content, metrics_path: /no_content}
  - {job_name: redirected, metrics_path: /redirect}
  - {job_name: redirected not, metrics_path: /redirect, follow_redirects: false}
  - {job_name: around, metrics_path: /around}
  - {job_name: hung, metrics_path: /hung, scrape_timeout: 1s}
  - {job_name: cut, metrics_path: /cut}
  - {job_name: refused, metrics_path: /, relabel_configs: [{target_label: __address__, replacement: "127.0.0.1:9"}]}
  - {job_name: no such host, metrics_path: /, relabel_configs: [{target_label: __address__, replacement: "no.such.host.invalid:9"}]}
  - {job_name: no tls, scheme: https, metrics_path: /plain}
  - {job_name: label name, metrics_path: /labels, label_name_length_limit: 7}
  - {job_name: too many targets, metrics_path: /old, target_limit: 1}
  - {job_name: query, metrics_path: "/query", params: {a: ["1", "2"], "b c": ["ü&="]}}
  - {job_name: all actions, metrics_path: /relabelled, metric_relabel_configs: [{action: hashmod, source_labels: [a, b], modulus: 8, target_label: shard}, {action: lowercase, source_labels: [tmp_z], target_label: lower}, {action: uppercase, source_labels: [b], target_label: upper}, {action: labelmap, regex: "tmp_(.*)", replacement: "mapped_$1"}, {action: labeldrop, regex: "tmp_.*"}, {action: keepequal, source_labels: [b], target_label: b}, {source_labels: [a], regex: "x-(?P<n>.*)", target_label: named, replacement: "${n}$$"}, {source_labels: [a], regex: "x-(.*)", target_label: "t_$1", replacement: v}, {source_labels: [c], regex: "", target_label: empty, replacement: "yes"}, {target_label: a, replacement: ""}]}
  - {job_name: kept, metrics_path: /relabelled, metric_relabel_configs: [{action: keep, source_labels: [__name__, a], separator: "@", regex: "m@x.*"}]}
  - {job_name: kept labels, metrics_path: /relabelled, metric_relabel_configs: [{action: labelkeep, regex: "__name__|a|job|instance"}]}
  - {job_name: dropped equal, metrics_path: /relabelled, metric_relabel_configs: [{action: dropequal, source_labels: [b], target_label: b}]}
  - {job_name: nameless, metrics_path: /relabelled, metric_relabel_configs: [{action: labeldrop, regex: "__name__"}]}
  - {job_name: clash, metrics_path: /relabelled, metric_relabel_configs: [{target_label: __name__, replacement: same}, {action: labelkeep, regex: "__name__"}]}
  - {job_name: own params, metrics_path: /params, relabel_configs: [{source_labels: [__address__], target_label: __param_target}, {target_label: instance, replacement: "me"}, {target_label: __metrics_path__, replacement: /blank}, {target_label: __scrape_timeout__, replacement: 1s}], fallback_scrape_protocol: PrometheusText0.0.4}
  - {job_name: native by label, metrics_path: /proto, relabel_configs: [{target_label: __scrape_native_histograms__, replacement: "true"}]}
  - {job_name: converted by label, metrics_path: /plain, relabel_configs: [{target_label: __convert_classic_histograms_to_nhcb__, replacement: "true"}]}
  - {job_name: tracked, metrics_path: /old, track_timestamps_staleness: true}
  - {job_name: renamed, metrics_path: /plain, metric_relabel_configs: [{action: labelmap, regex: (co).*, replacement: my_$1}, {source_labels: [code], target_label: code, regex: "(.)(.*)", replacement: "$2-${1}x"}, {action: labeldrop, regex: exported_.*}]}
"""


def _redirect(handler: http.server.BaseHTTPRequestHandler, where: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", where)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _query(handler: http.server.BaseHTTPRequestHandler) -> None:
    body = f"query{{text={json.dumps(handler.path, ensure_ascii=False)}}} 1\n".encode()
    handler.send_response(200)
    handler.send_header("Content-Type", TEXT)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Promise more than comes."""
    handler.send_response(200)
    handler.send_header("Content-Type", TEXT)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"a 1\n")
    handler.close_connection = True


ODD: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {
    "/redirect": lambda handler: _redirect(handler, "/plain"),
    "/around": lambda handler: _redirect(handler, "/around"),
    "/hung": lambda handler: time.sleep(1.5),
    "/cut": _cut,
    "/query": _query,
}

REASONS = {
    "json": "received unsupported Content-Type 'application/json' and no fallback_scrape_protocol specified",
    "broken": "line 2: labels are not closed: 'b{ 2'",
    "many": "sample limit exceeded (9 samples, limit 8)",
    "labels": "label_limit exceeded (metric: a, number of labels: 8, limit: 6)",
    "gone": "server returned HTTP status 404 Not Found",
    "half zipped": "body is not valid gzip",
    "big": "body size limit exceeded (100 bytes)",
    "unavailable": "server returned HTTP status 503 Service Unavailable",
    "around": "Exceeded maximum allowed redirects",
    "hung": "context deadline exceeded",
    "refused": "connection refused",
    "no such host": "unreachable",
    "no tls": "SSL",
    "nameless": "without a name",
    "numbers": "line 1: value out of range: '1e400'",
}
"""What our targets page says, which is more than Prometheus' does: the line, the limit, the address."""


class Targets:
    """Answers a path's body."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path in ODD:
                    ODD[path](self)
                    return
                body, kind = BODIES.get(path, (b"", ""))
                self.send_response(STATUSES.get(path, 200 if path in BODIES else 404))
                if kind:
                    self.send_header("Content-Type", kind)
                if path in ZIPPED:
                    self.send_header("Content-Encoding", "gzip")
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
    config.write_text(f"global: {{scrape_interval: 3s, scrape_timeout: 3s}}\nscrape_configs:\n{jobs}\n")
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


FIELDS = (
    "labels",
    "discoveredLabels",
    "scrapeUrl",
    "scrapePool",
    "scrapeInterval",
    "scrapeTimeout",
    "health",
)


def differences(theirs: str, ours: str, jobs: list[str]) -> list[str]:
    """What differs between the targets of both and between their series; errors in their own words."""
    left, right = states(theirs), states(ours)
    out = []
    for job in jobs:
        if job not in left or job not in right:
            out.append(f"{job}: no target")
            continue
        one, own = left[job], right[job]
        out += [
            f"{job}: {field}: {one[field]} | {own[field]}" for field in FIELDS if one[field] != own[field]
        ]
        if bool(one["lastError"]) != bool(own["lastError"]):
            out.append(f"{job}: {one['lastError']!r} | {own['lastError']!r}")
        a, b = scraped(theirs, job), scraped(ours, job)
        if not close([list(each) for each in a], [list(each) for each in b]):
            only = [each for each in a if each not in b], [each for each in b if each not in a]
            out.append(f"{job}: only theirs {only[0]}, only ours {only[1]}")
    return out


@pytest.mark.feature("M1")
@pytest.mark.peer("prometheus")
def test_both_scrape_the_same(sides: tuple[str, str]) -> None:
    """Seventy jobs of good and awkward targets: the same series, native histograms, labels and health."""
    theirs, ours = sides
    jobs = re.findall(r"job_name: ([^,}]+)", JOBS)
    wait_until(lambda: len(ask(ours, "count_over_time(up[5m]) >= 2")) == len(jobs), 120, "two scrapes each")
    wait_until(lambda: len(ask(theirs, "count_over_time(up[5m]) >= 2")) == len(jobs), 120, "two scrapes each")
    # On a busy machine a scrape may take too long on one side: what differs for a moment is no difference.
    wrong = []
    for _ in range(8):
        wrong = differences(theirs, ours, jobs)
        if not wrong:
            break
        time.sleep(4)
    assert not wrong, "theirs | ours\n" + "\n".join(wrong)
    refused = {job: one["lastError"] for job, one in states(ours).items() if one["health"] == "down"}
    for job, reason in REASONS.items():
        assert reason in refused[job], f"{job}: {refused[job]}"
