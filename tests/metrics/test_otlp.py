"""OTLP metrics: by the real SDK, and side by side with a real Prometheus' OTLP receiver."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from tests.conftest import peer, wait_until
from tests.metrics.conftest import Scraped

SECOND = 1_000_000_000
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def attribute(where: Any, key: str, value: Any) -> None:
    """Add an attribute of the value's kind."""
    one = where.add(key=key).value
    if isinstance(value, bool):
        one.bool_value = value
    elif isinstance(value, int):
        one.int_value = value
    elif isinstance(value, float):
        one.double_value = value
    elif isinstance(value, list):
        for part in value:
            one.array_value.values.add().string_value = part
    else:
        one.string_value = value


def empty(now: float, **resource: Any) -> tuple[ExportMetricsServiceRequest, Any]:
    """A request of one resource and scope, and where its metrics go."""
    request = ExportMetricsServiceRequest()
    one = request.resource_metrics.add()
    for key, value in {"service.name": "shop", "service.instance.id": "i-1", **resource}.items():
        attribute(one.resource.attributes, key, value)
    scope = one.scope_metrics.add()
    scope.scope.name, scope.scope.version = "lib", "1"
    return request, scope.metrics


def sum_of(metrics: Any, name: str, value: float, at: float, unit: str = "", **options: Any) -> Any:
    """Add a sum of one point; answers the point."""
    metric = metrics.add(name=name, unit=unit, description=f"About {name}.")
    metric.sum.is_monotonic = options.pop("monotonic", True)
    metric.sum.aggregation_temporality = options.pop("temporality", 2)
    point = metric.sum.data_points.add(time_unix_nano=round(at * SECOND), as_double=value)
    for key, value_ in options.items():
        attribute(point.attributes, key, value_)
    return point


def gauge_of(metrics: Any, name: str, value: int, at: float, unit: str = "") -> Any:
    """Add a gauge of one integer point."""
    metric = metrics.add(name=name, unit=unit)
    return metric.gauge.data_points.add(time_unix_nano=round(at * SECOND), as_int=value)


NAMES = [
    ("http.server.request.duration", "s"), ("http.server.requests", "{request}"), ("a.b_total", ""),
    ("total", ""), ("total.a", "1"), ("process.cpu.time", "s"), ("disk.io", "By"), ("net.speed", "By/s"),
    ("rate", "{packet}/s"), ("odd", "m/s"), ("already.seconds", "s"), ("x_seconds_total", "s"),
    ("9lives", ""), ("ratio.of", "1"), ("of_ratio", "1"), ("temp", "Cel"), ("percent.used", "%"),
    ("ünïcode.näme", "ms"),
    ("a__b..c", "custom unit"), ("fläche", "m2"), ("per", "/s"), ("both", "KiBy/min"), ("m/s", "m/s"),
    ("bytes.per.second", "By/s"), ("colon:name", "h"), ("_lead", "d"), ("trail_", "us"), ("w", "By/{thing}"),
]  # fmt: skip
LABELS = {
    "plain": "x",
    "http.method": "GET",
    "http_method": "POST",
    "9digit": "d",
    "_one": "u",
    "__two": "v",
    "a b/c": "w",
    "flag": True,
    "int": -5,
    "float": 1.5,
    "whole": 3.0,
    "tiny": 1e-9,
    "tinier": -2.5e-12,
    "huge": 1e22,
    "nothing": 0.0,
    "list": ["a", "b"],
    "empty": "",
    "ünï": "ö",
    "double__under": "k",
}


def everything(at: float, *, without_buckets: bool = True) -> ExportMetricsServiceRequest:
    """Every kind of metric, names and units of all sorts, attributes of all types."""
    request, metrics = empty(
        at, **{"service.namespace": "web", "host.name": "h1", "os.type": "linux", "n": 3}
    )
    for number, (name, unit) in enumerate(NAMES):
        sum_of(metrics, f"s{number}.{name}", number, at, unit)
        sum_of(metrics, f"t{number}.{name}", number, at, unit, monotonic=False)
        gauge_of(metrics, f"g{number}.{name}", number, at, unit)
        gauge_of(metrics, name, number, at, unit)
    sum_of(metrics, "labelled", 1.25, at, **LABELS)
    histogram = metrics.add(name="latency", unit="ms")
    histogram.histogram.aggregation_temporality = 2
    point = histogram.histogram.data_points.add(time_unix_nano=round(at * SECOND), count=6, sum=12.5)
    point.explicit_bounds.extend([0.5, 1, 2.5, 10])
    point.bucket_counts.extend([1, 0, 2, 2, 1])
    if without_buckets:
        nosum = metrics.add(name="nosum")
        nosum.histogram.aggregation_temporality = 2
        nosum.histogram.data_points.add(time_unix_nano=round(at * SECOND), count=3)
    for name, scale, offset in (("exp.a", 2, -3), ("exp.b", 11, 40), ("exp.c", -4, 0)):
        exponential = metrics.add(name=name, unit="s")
        exponential.exponential_histogram.aggregation_temporality = 2
        wide = exponential.exponential_histogram.data_points.add(
            time_unix_nano=round(at * SECOND), count=20, sum=9.5, scale=scale, zero_count=2
        )
        wide.positive.offset = offset
        wide.positive.bucket_counts.extend([1, 0, 0, 0, 3, 2, 0, 5])
        wide.negative.offset = 1
        wide.negative.bucket_counts.extend([7])
    summary = metrics.add(name="sizes", unit="By")
    quantiles = summary.summary.data_points.add(time_unix_nano=round(at * SECOND), count=4, sum=100)
    for quantile, value in ((0.0, 1.0), (0.5, 20.0), (0.99, 70.5), (1.0, 71.0)):
        quantiles.quantile_values.add(quantile=quantile, value=value)
    return request


CONFIGS = {
    "default": "",
    "utf8": "translation_strategy: NoUTF8EscapingWithSuffixes, promote_all_resource_attributes: true",
    "plain": "translation_strategy: UnderscoreEscapingWithoutSuffixes, convert_histograms_to_nhcb: true, "
    "promote_resource_attributes: [os.type, host.name], keep_identifying_resource_attributes: true",
    "untranslated": "translation_strategy: NoTranslation, promote_scope_metadata: true",
    "collapsed": "label_name_preserve_multiple_underscores: false, label_name_underscore_sanitization: false",
}


class Receiver:
    """A real Prometheus with its OTLP receiver on and a configuration that mamimon gets as well."""

    def __init__(self, folder: Path, otlp: str) -> None:
        self.config = folder / "receiver.yml"
        self.config.write_text(f"otlp: {{{otlp}}}\n" if otlp else "{}\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.popen = subprocess.Popen(
            [
                peer("prometheus"),
                f"--config.file={self.config}",
                f"--storage.tsdb.path={folder / 'receiver'}",
                f"--web.listen-address={self.url.partition('//')[2]}",
                "--web.enable-otlp-receiver",
                "--enable-feature=otlp-deltatocumulative",
            ],
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._ready, timeout_s=60, what="the peer")

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End it."""
        self.popen.terminate()
        self.popen.wait(20)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Callable[[str], Receiver]]:
    """Start a receiver with an `otlp` section."""
    running: list[Receiver] = []

    def run(otlp: str) -> Receiver:
        running.append(Receiver(tmp_path, otlp))
        return running[-1]

    yield run
    for one in running:
        one.stop()


def series_at(url: str, at: float) -> dict[str, Any]:
    """Every series of the request with its value or histogram."""
    params = {"query": '{job="web/shop"}', "time": at}
    found = httpx.get(f"{url}/api/v1/query", params=params).json()["data"]["result"]
    return {
        json.dumps(one["metric"], sort_keys=True): one.get("value") or one.get("histogram") for one in found
    }


def compare(theirs: str, ours: str, at: float) -> dict[str, Any]:
    """Hold our series to theirs."""
    expected, found = series_at(theirs, at), series_at(ours, at)
    assert sorted(found) == sorted(expected)
    different = {name: (found[name], expected[name]) for name in expected if found[name] != expected[name]}
    assert different == {}
    return expected


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M2")
@pytest.mark.parametrize("config", CONFIGS)
def test_translation_is_that_of_a_real_prometheus(
    receiver: Callable[[str], Receiver], process: Callable[..., Any], config: str
) -> None:
    """Both get the same `otlp` section and request and then hold the same series with the same values."""
    theirs = receiver(CONFIGS[config])
    ours = process("--prometheus-config", str(theirs.config))
    at = float(int(time.time()))
    body = everything(at, without_buckets="nhcb" not in CONFIGS[config]).SerializeToString()
    answer = httpx.post(f"{theirs.url}/api/v1/otlp/v1/metrics", content=body, headers=PROTOBUF)
    assert answer.status_code == 200, answer.text
    for path in ("/v1/metrics", "/api/v1/otlp/v1/metrics"):
        answer = httpx.post(f"{ours.url}{path}", content=body, headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    assert len(compare(theirs.url, ours.url, at)) > 100


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M2")
def test_deltas_are_summed_up_as_a_real_prometheus_does(
    receiver: Callable[[str], Receiver], process: Callable[..., Any]
) -> None:
    """Three batches of delta sums and histograms of both kinds end at the same sums."""
    theirs = receiver("")
    ours = process(env={"MAMIMON_METRICS__OTLP_CONVERT_DELTAS": "true"})
    base = float(int(time.time())) - 30
    for number in range(3):
        at = base + number * 10
        request, metrics = empty(at, **{"service.namespace": "web"})
        point = sum_of(metrics, "orders", 2.5 + number, at, temporality=1, kind="a")
        point.start_time_unix_nano = round((at - 10) * SECOND)
        histogram = metrics.add(name="took", unit="s")
        histogram.histogram.aggregation_temporality = 1
        part = histogram.histogram.data_points.add(
            time_unix_nano=round(at * SECOND),
            start_time_unix_nano=round((at - 10) * SECOND),
            count=3 + number,
            sum=1.5,
        )
        part.explicit_bounds.extend([1, 2])
        part.bucket_counts.extend([1 + number, 1, 1])
        exponential = metrics.add(name="size")
        exponential.exponential_histogram.aggregation_temporality = 1
        wide = exponential.exponential_histogram.data_points.add(
            time_unix_nano=round(at * SECOND),
            start_time_unix_nano=round((at - 10) * SECOND),
            count=6,
            sum=9,
            scale=3 - number,
            zero_count=1,
        )
        wide.positive.offset = 2 - number
        wide.positive.bucket_counts.extend([1, 0, 2, 2])
        body = request.SerializeToString()
        for url in (theirs.url, ours.url):
            answer = httpx.post(f"{url}/api/v1/otlp/v1/metrics", content=body, headers=PROTOBUF)
            assert (answer.status_code, answer.content) == (200, b""), answer.text
    expected = compare(theirs.url, ours.url, base + 21)
    orders = next(value for name, value in expected.items() if "orders_total" in name)
    assert orders[1] == "10.5"
    late, metrics = empty(base, **{"service.namespace": "web"})
    sum_of(metrics, "orders", 1, base, temporality=1, kind="a")
    answer = httpx.post(f"{ours.url}/v1/metrics", content=late.SerializeToString(), headers=PROTOBUF)
    found = ExportMetricsServiceResponse.FromString(answer.content)
    assert found.partial_success.rejected_data_points == 1
    assert "older than the one before it" in found.partial_success.error_message


@pytest.mark.feature("M2")
def test_the_real_sdk(server: Any, clock: Any) -> None:
    """The SDK's exporter delivers a counter, a gauge and a histogram; job and instance name the service."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    exporter = OTLPMetricExporter(endpoint=f"{server.url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    resource = Resource({"service.name": "shop", "service.instance.id": "i-1", "service.version": "1.2"})
    provider = MeterProvider([reader], resource=resource)
    meter = provider.get_meter("test")
    meter.create_counter("orders", unit="{order}", description="Orders.").add(3, {"kind": "book"})
    meter.create_gauge("queue.length").set(7)
    meter.create_histogram("took", unit="s").record(0.2)
    assert reader.force_flush()
    provider.shutdown()
    one = Scraped(server, clock)
    at = time.time()
    assert one.query("orders_total", time=at)[0]["metric"] == {
        "__name__": "orders_total",
        "instance": "i-1",
        "job": "shop",
        "kind": "book",
    }
    assert one.query("queue_length", time=at)[0]["value"][1] == "7"
    assert one.query('took_seconds_bucket{le="0.25"}', time=at) == []
    assert one.query('took_seconds_bucket{le="5"}', time=at)[0]["value"][1] == "1"
    info = one.query("target_info", time=at)[0]["metric"]
    assert (info["job"], info["service_version"]) == ("shop", "1.2")
    metadata = server.client.get("/api/v1/metadata", params={"metric": "orders_total"}).json()["data"]
    assert metadata == {"orders_total": [{"type": "counter", "help": "Orders.", "unit": ""}]}


@pytest.mark.feature("M2")
def test_json_and_gzip_say_the_same(server: Any, clock: Any) -> None:
    """The JSON encoding of a request, compressed, gives the series that its protobuf gives."""
    one = Scraped(server, clock)
    at = clock.now()
    kept = []
    for number in range(2):
        request = everything(at + number)
        if number:
            raw = gzip.compress(json_format.MessageToJson(request).encode())
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        else:
            raw, headers = request.SerializeToString(), PROTOBUF
        answer = server.client.post("/v1/metrics", content=raw, headers=headers)
        assert answer.status_code == 200
        assert answer.content == (b"{}" if number else b"")
        found = one.query('{job="web/shop"}', time=at + number, lookback_delta="500ms")
        kept.append([(series["metric"], (series.get("value") or series["histogram"])[1]) for series in found])
    assert len(kept[0]) > 100
    assert kept[1] == kept[0]


@pytest.mark.feature("M2")
def test_exemplars_and_the_end_of_a_series(server: Any, clock: Any) -> None:
    """Exemplars land with their bucket and trace; "no recorded value" ends a series."""
    one = Scraped(server, clock)
    at = clock.now()
    request, metrics = empty(at)
    histogram = metrics.add(name="latency")
    histogram.histogram.aggregation_temporality = 2
    point = histogram.histogram.data_points.add(time_unix_nano=round(at * SECOND), count=2, sum=3)
    point.explicit_bounds.extend([1, 2])
    point.bucket_counts.extend([1, 0, 1])
    for value in (0.5, 7.0):
        example = point.exemplars.add(time_unix_nano=round(at * SECOND), as_double=value)
        example.trace_id, example.span_id = b"\x01" * 16, b"\x02" * 8
        attribute(example.filtered_attributes, "user", "7")
    sum_of(metrics, "orders", 3, at)
    assert (
        server.client.post("/v1/metrics", content=request.SerializeToString(), headers=PROTOBUF).content
        == b""
    )
    params = {"query": "latency_bucket", "start": at - 10, "end": at + 10}
    found = server.client.get("/api/v1/query_exemplars", params=params).json()["data"]
    shown = {row["seriesLabels"]["le"]: row["exemplars"] for row in found}
    labels = {"trace_id": "01" * 16, "span_id": "02" * 8, "user": "7"}
    assert shown == {
        "1": [{"labels": labels, "value": "0.5", "timestamp": at}],
        "+Inf": [{"labels": labels, "value": "7", "timestamp": at}],
    }
    assert one.value(f"orders_total @ {at}") == 3
    request, metrics = empty(at)
    sum_of(metrics, "orders", 0, at + 5).flags = 1
    assert (
        server.client.post("/v1/metrics", content=request.SerializeToString(), headers=PROTOBUF).content
        == b""
    )
    assert one.query("orders_total", time=at + 6) == []


@pytest.mark.feature("M2")
def test_what_cannot_be_translated_is_rejected_alone(server: Any, clock: Any) -> None:
    """Delta sums, empty metrics, names of nothing and far future points are counted with a reason."""
    at = clock.now()
    request, metrics = empty(at)
    sum_of(metrics, "good", 1, at)
    sum_of(metrics, "delta", 1, at, temporality=1)
    sum_of(metrics, "unspecified", 1, at, temporality=0)
    sum_of(metrics, "...", 1, at, monotonic=False)
    sum_of(metrics, "future", 1, at + 3600)
    sum_of(metrics, "nolabel", 1, at, **{"...": "x"})
    metrics.add(name="nothing")
    coarse = metrics.add(name="coarse")
    coarse.exponential_histogram.aggregation_temporality = 2
    coarse.exponential_histogram.data_points.add(time_unix_nano=round(at * SECOND), count=1, scale=-5)
    answer = server.client.post("/v1/metrics", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    found = ExportMetricsServiceResponse()
    found.ParseFromString(answer.content)
    assert found.partial_success.rejected_data_points == 6
    for part in (
        '"delta": it is delta',
        '"unspecified"',
        "empty name",
        "in the future",
        "nothing",
        ">= -4, was -5",
    ):
        assert part in found.partial_success.error_message, part
    assert Scraped(server, clock).value("good_total") == 1
    raw = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "x"}]}]}]})
    json_answer = server.client.post(
        "/api/v1/otlp/v1/metrics", content=raw, headers={"Content-Type": "application/json"}
    )
    assert json_answer.json()["partialSuccess"]["rejectedDataPoints"] == "0"


@pytest.mark.feature("M2")
def test_what_is_no_request(server: Any) -> None:
    """A body that cannot be read, another type or verb: refused as a google.rpc.Status."""
    for content, headers, status in (
        (b"\xff\xff", PROTOBUF, 400),
        (b"[]", {"Content-Type": "application/json"}, 400),
        (
            b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[3]}]}]}',
            {"Content-Type": "application/json"},
            400,
        ),
        (b"x", {"Content-Type": "text/plain"}, 415),
        (b"x", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
    ):
        answer = server.client.post("/v1/metrics", content=content, headers=headers)
        assert answer.status_code == status, (content, answer.text)
    assert server.client.get("/v1/metrics").status_code == 405


@pytest.mark.feature("M2")
def test_the_examples_of_the_protocol(server: Any, clock: Any, material: Path) -> None:
    """opentelemetry-proto's own JSON example is read; its points are years old and are refused as such."""
    example = json.loads((material / "otlp" / "examples" / "metrics.json").read_text())
    answer = server.client.post("/v1/metrics", json=example)
    assert answer.status_code == 200
    assert "older than the retention" in answer.json()["partialSuccess"]["errorMessage"]
    text = json.dumps(example).replace("1544712660300000000", str(round(clock.now() * SECOND)))
    answer = server.client.post("/v1/metrics", content=text, headers={"Content-Type": "application/json"})
    one = Scraped(server, clock)
    assert one.query('{job="my.service"}') != []
