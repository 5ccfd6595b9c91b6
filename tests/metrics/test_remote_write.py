"""The remote write receiver, spoken to in messages that Google's protobuf encodes."""

from __future__ import annotations

import struct
from typing import Any

import cramjam
import httpx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mamimon.metrics.model import STALE_BITS
from tests.metrics.conftest import Scraped

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
_KINDS = {"string": 9, "double": 1, "int64": 3, "uint32": 13}


def _schema() -> dict[str, Any]:
    """The messages of prompb's types.proto, remote.proto and write/v2/types.proto that senders fill."""
    shapes: dict[str, list[tuple[str, int, str, bool]]] = {
        "Label": [("name", 1, "string", False), ("value", 2, "string", False)],
        "Sample": [("value", 1, "double", False), ("timestamp", 2, "int64", False)],
        "Histogram": [("count_int", 1, "int64", False)],
        "TimeSeries": [
            ("labels", 1, "Label", True),
            ("samples", 2, "Sample", True),
            ("histograms", 4, "Histogram", True),
        ],
        "WriteRequest": [("timeseries", 1, "TimeSeries", True)],
        "TimeSeries2": [("labels_refs", 1, "uint32", True), ("samples", 2, "Sample", True)],
        "Request": [("symbols", 4, "string", True), ("timeseries", 5, "TimeSeries2", True)],
    }
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            one = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _KINDS:
                one.type = _KINDS[kind]
            else:
                one.type, one.type_name = 11, f".t.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = message_factory.GetMessageClassesForFiles(["t.proto"], pool)
    return {name.removeprefix("t."): kind for name, kind in found.items()}


M = _schema()


def request(*series: tuple[dict[str, str], list[tuple[int, float]]]) -> Any:
    out = M["WriteRequest"]()
    for labels, samples in series:
        one = out.timeseries.add()
        for name, value in sorted(labels.items()):
            one.labels.add(name=name, value=value)
        for at, value in samples:
            one.samples.add(timestamp=at, value=value)
    return out


def post(
    server: Any, message: Any, content_type: str = "application/x-protobuf", **headers: str
) -> httpx.Response:
    raw = (
        message
        if isinstance(message, bytes)
        else bytes(cramjam.snappy.compress_raw(message.SerializeToString()))
    )
    return server.client.post(
        "/api/v1/write",
        content=raw,
        headers={"Content-Type": content_type, "Content-Encoding": "snappy", **headers},
    )


@pytest.mark.feature("M2")
def test_pushed_samples_are_answered(server: Any, clock: Any) -> None:
    """Remote write 1.0 stores every sample and staleness marker, doubled and late ones in their place."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    labels = {"__name__": "pushed", "job": "edge", "instance": "a"}
    stale = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
    first = request(
        (labels, [(now - 30_000, 1.0), (now - 15_000, 2.0)]), ({**labels, "instance": "b"}, [(now, 9.0)])
    )
    assert post(server, first).status_code == 204
    assert post(server, request((labels, [(now - 45_000, 0.5), (now, 3.0)]))).status_code == 204
    assert post(server, first).status_code == 204
    values = one.query('pushed{instance="a"}[5m]')[0]["values"]
    assert [value for _, value in values] == ["0.5", "1", "2", "3"]
    assert post(server, request(({**labels, "instance": "b"}, [(now + 1000, stale)]))).status_code == 204
    clock.advance(2)
    assert [r["metric"]["instance"] for r in one.query("pushed")] == ["a"]


@pytest.mark.feature("M2")
def test_the_good_part_of_a_batch_is_kept(server: Any, clock: Any) -> None:
    """A series without a name, a sample out of bounds and a native histogram are refused, the rest kept."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    batch = request(
        ({"__name__": "good"}, [(now, 1.0)]),
        ({"job": "nameless"}, [(now, 1.0)]),
        ({"__name__": "early"}, [(now + 3_600_000, 1.0)]),
        ({"__name__": "old"}, [(1000, 1.0)]),
        ({"__name__": "histogram"}, []),
    )
    batch.timeseries[4].histograms.add(count_int=3)
    answer = post(server, batch)
    assert answer.status_code == 400
    for reason in (
        "1 samples kept, 4 refused",
        "__name__ is missing",
        "in the future",
        "older than",
        "histograms",
    ):
        assert reason in answer.text
    assert one.value("good") == 1
    assert not list(server.data_dir.joinpath("metrics").glob("1970*"))


@pytest.mark.feature("M2")
def test_remote_write_2(server: Any, clock: Any) -> None:
    """Remote write 2.0 interns labels in symbols and is told how much was written."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    message = M["Request"](symbols=["", "__name__", "two", "job", "x"])
    series = message.timeseries.add(labels_refs=[1, 2, 3, 4])
    series.samples.add(value=4.5, timestamp=now)
    answer = post(server, message, V2)
    assert answer.status_code == 204
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
    assert one.query("two")[0]["metric"] == {"__name__": "two", "job": "x"}
    message.timeseries.add(labels_refs=[1, 99])
    answer = post(server, message, V2)
    assert answer.status_code == 400
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"


@pytest.mark.feature("M2")
def test_what_is_not_remote_write_is_refused(server: Any) -> None:
    """Other types and encodings get 415, broken bodies 400, and nothing 5xx."""
    empty = request()
    assert post(server, empty, "application/json").status_code == 415
    assert post(server, empty, "application/x-protobuf;proto=other.Message").status_code == 415
    assert post(server, empty, **{"Content-Encoding": "gzip"}).status_code == 415
    assert server.client.get("/api/v1/write").status_code == 405
    good = request(({"__name__": "a"}, [(1, 1.0)])).SerializeToString()
    for raw in (b"", b"\xff" * 20, b"not snappy"):
        assert post(server, raw).status_code in (400, 413)
    for cut in range(1, len(good)):
        body = bytes(cramjam.snappy.compress_raw(good[:cut] + b"\xff"))
        assert post(server, body).status_code == 400
