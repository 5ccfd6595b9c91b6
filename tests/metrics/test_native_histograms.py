"""Native histograms from targets: the protobuf format, what is negotiated, what becomes of classic ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import peer, wait_until
from tests.metrics.conftest import Body, Scraped
from tests.metrics.messages import EXPOSED, delimited, messages

Start = Callable[..., Scraped]
M = messages(EXPOSED)
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
NATIVE = "    scrape_native_histograms: true\n"
CLASSIC = """# TYPE latency histogram
latency_bucket{path="/",le="0.5"} 3
latency_bucket{path="/",le="1"} 5
latency_bucket{path="/",le="+Inf"} 6
latency_sum{path="/"} 4.5
latency_count{path="/"} 6
# TYPE other counter
other 1
"""


def family(*, buckets: bool = True, count: int = 6) -> Any:
    """A histogram exposed both ways, with an exemplar and a creation time."""
    out = M["MetricFamily"](name="latency", help="Time to answer.", type=4, unit="seconds")
    metric = out.metric.add()
    metric.label.add(name="path", value='/"x"')
    histogram = metric.histogram
    histogram.sample_count, histogram.sample_sum = count, 4.5
    histogram.schema, histogram.zero_threshold, histogram.zero_count = 0, 0.001, 1
    histogram.positive_span.add(offset=0, length=2)
    histogram.positive_delta.extend([2, count - 5])
    histogram.created_timestamp.seconds = 1_700_000_000
    example = histogram.exemplars.add(value=0.7)
    example.label.add(name="trace_id", value="abc")
    example.timestamp.seconds = 1_700_000_001
    if buckets:
        histogram.bucket.add(cumulative_count=3, upper_bound=0.5)
        histogram.bucket.add(cumulative_count=5, upper_bound=1)
    return out


@pytest.mark.feature("M1")
def test_a_target_is_asked_for_formats_as_prometheus_asks(scraped: Start, body: Body) -> None:
    """The Accept header is the one that Prometheus 3 sends."""
    scraped(body.address).tick()
    asked = body.headers[-1]["Accept"]
    assert asked == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    )


@pytest.mark.feature("M1")
def test_the_protobuf_format_is_read(scraped: Start, body: Body) -> None:
    """Counter, gauge, summary, untyped metric, native histogram, exemplar and help come through."""
    counter = M["MetricFamily"](name="hits_total", help="Hits.", type=0)
    one = counter.metric.add()
    one.counter.value = 7
    gauge = M["MetricFamily"](name="temperature", type=1)
    gauge.metric.add().gauge.value = -2.5
    summary = M["MetricFamily"](name="size", type=2)
    quantiles = summary.metric.add().summary
    quantiles.sample_count, quantiles.sample_sum = 4, 10.5
    quantiles.quantile.add(quantile=0.5, value=2)
    untyped = M["MetricFamily"](name="what", type=3)
    untyped.metric.add().untyped.value = 1
    body.raw, body.content_type = delimited(counter, gauge, summary, untyped, family()), PROTOBUF
    server = scraped(body.address, extra=NATIVE)
    assert server.tick()["health"] == "up", server.target()
    assert body.headers[-1]["Accept"].startswith("application/vnd.google.protobuf;proto=io.prom")
    assert server.value("hits_total") == 7
    assert server.value("temperature") == -2.5
    assert server.value('size{quantile="0.5"}') == 2
    assert server.value("size_sum") == 10.5
    assert server.value("what") == 1
    (found,) = server.query("latency")
    assert found["metric"]["path"] == '/"x"'
    assert found["histogram"][1] == {
        "count": "6",
        "sum": "4.5",
        "buckets": [[3, "-0.001", "0.001", "1"], [0, "0.5", "1", "2"], [0, "1", "2", "3"]],
    }
    assert server.query("latency_bucket") == []
    metadata = server.server.client.get("/api/v1/metadata", params={"metric": "latency"}).json()["data"]
    assert metadata["latency"] == [{"type": "histogram", "help": "Time to answer.", "unit": "seconds"}]
    exemplars = server.server.client.get(
        "/api/v1/query_exemplars", params={"query": "latency", "start": 1_600_000_000, "end": 1_800_000_000}
    ).json()["data"]
    assert exemplars[0]["exemplars"][0]["labels"] == {"trace_id": "abc"}


@pytest.mark.feature("M1")
def test_rates_and_staleness_of_native_histograms(scraped: Start, body: Body) -> None:
    """A native histogram has a rate and a quantile, and ends with the scrape that lacks it."""
    body.content_type = PROTOBUF
    server = scraped(body.address, extra=NATIVE)
    for round in range(5):
        body.raw = delimited(family(count=6 + 30 * round))
        server.tick()
    assert server.value("histogram_count(rate(latency[1m]))") == pytest.approx(2)
    assert 1 < server.value("histogram_quantile(0.9, rate(latency[1m]))") < 2
    body.raw = b""
    server.tick()
    assert server.query("latency") == []


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("extra", "native", "buckets"),
    [
        ("", 0, 3),
        (NATIVE, 1, 0),
        (NATIVE + "    always_scrape_classic_histograms: true\n", 1, 3),
        ("    convert_classic_histograms_to_nhcb: true\n", 1, 0),
        (
            "    convert_classic_histograms_to_nhcb: true\n    always_scrape_classic_histograms: true\n",
            1,
            3,
        ),
    ],
    ids=["neither", "native", "both", "custom", "custom and classic"],
)
def test_which_form_of_a_histogram_is_kept(
    scraped: Start, body: Body, extra: str, native: int, buckets: int
) -> None:
    """A histogram exposed both ways is kept as the job says: classic, native, both, custom buckets."""
    body.raw, body.content_type = delimited(family(count=6)), PROTOBUF
    server = scraped(body.address, extra=extra)
    assert server.tick()["health"] == "up", server.target()
    assert len(server.query("latency")) == native
    assert len(server.query("latency_bucket")) == buckets
    assert {one["metric"]["le"] for one in server.query("latency_bucket")} == (
        {"0.5", "1.0", "+Inf"} if buckets else set()
    )


@pytest.mark.feature("M1")
def test_classic_histograms_of_the_text_format_become_native_ones(scraped: Start, body: Body) -> None:
    """With convert_classic_histograms_to_nhcb buckets, sum and count are one custom histogram."""
    body.text = CLASSIC
    server = scraped(body.address, extra="    convert_classic_histograms_to_nhcb: true\n")
    server.tick()
    (found,) = server.query("latency")
    assert found["metric"]["path"] == "/"
    assert found["histogram"][1] == {
        "count": "6",
        "sum": "4.5",
        "buckets": [[3, "-Inf", "0.5", "3"], [0, "0.5", "1", "2"], [0, "1", "+Inf", "1"]],
    }
    assert server.query("latency_count") == []
    assert server.value("other") == 1
    body.text = CLASSIC.replace('le="1"} 5', 'le="1"} 2')
    server.tick()
    assert server.query("latency") == []
    assert server.value("latency_count") == 6


@pytest.mark.feature("M1")
def test_bucket_limits_coarsen_or_refuse(scraped: Start, body: Body) -> None:
    """More buckets than the limit are merged by resolution until they fit."""
    wide = family(buckets=False)
    histogram = wide.metric[0].histogram
    histogram.positive_span[0].length = 8
    del histogram.positive_delta[:]
    histogram.positive_delta.extend([1, 0, 0, 0, 0, 0, 0, 0])
    histogram.sample_count = 9
    body.raw, body.content_type = delimited(wide), PROTOBUF
    server = scraped(body.address, extra=NATIVE + "    native_histogram_bucket_limit: 3\n")
    server.tick()
    (found,) = server.query("latency")
    assert len(found["histogram"][1]["buckets"]) <= 4
    assert found["histogram"][1]["count"] == "9"


@pytest.mark.feature("M1")
@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_broken_protobuf_body_fails_the_scrape(scraped: Start, body: Body, cut: int) -> None:
    """A message that ends too soon is DOWN with its reason."""
    body.raw, body.content_type = delimited(family())[:-cut], PROTOBUF
    target = scraped(body.address, extra=NATIVE).tick()
    assert target["health"] == "down"
    assert "MetricFamily" in target["lastError"]


@pytest.mark.feature("M1")
@pytest.mark.parametrize(
    ("kind", "extra", "health"),
    [
        ("", "", "down"),
        ("application/json", "", "down"),
        ("application/json", "    fallback_scrape_protocol: PrometheusText0.0.4\n", "up"),
        ("text/plain", "", "up"),
    ],
)
def test_a_content_type_that_is_no_exposition_needs_a_fallback(
    scraped: Start, body: Body, kind: str, extra: str, health: str
) -> None:
    """Prometheus 3 refuses a blank or foreign Content-Type unless a fallback is configured."""
    body.content_type = kind
    target = scraped(body.address, extra=extra).tick()
    assert target["health"] == health
    assert ("fallback_scrape_protocol" in target["lastError"]) == (health == "down")


@pytest.mark.feature("M1")
@pytest.mark.peer("prometheus")
def test_prometheus_own_native_histograms_are_scraped(process: Callable[..., Any], tmp_path: Path) -> None:
    """Prometheus exposes native histograms of itself by protobuf; their counts and quantiles are here."""
    config = tmp_path / "peer.yml"
    config.write_text("global: {scrape_interval: 1m}\n")
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
        address = next(
            found.group(1)
            for line in popen.stderr
            if (found := re.search(r"Listening on.* address=(127\.0\.0\.1:\d+)", line))
        )
        for _ in range(5):
            httpx.get(f"http://{address}/-/healthy")
        ours = tmp_path / "prometheus.yml"
        ours.write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, scrape_native_histograms: true}\n"
            f"scrape_configs: [{{job_name: peer, static_configs: [{{targets: ['{address}']}}]}}]\n"
        )
        server = process("--prometheus-config", str(ours))

        def count() -> Any:
            query = 'histogram_count(prometheus_http_request_duration_seconds{handler="/-/healthy"})'
            found = httpx.get(f"{server.url}/api/v1/query", params={"query": query}).json()["data"]["result"]
            return found and float(found[0]["value"][1])

        assert wait_until(count, timeout_s=60, what="the peer's native histogram") == 5
    finally:
        popen.terminate()
        popen.communicate(timeout=20)
