"""The remote write receiver, spoken to in messages that Google's protobuf encodes."""

from __future__ import annotations

import struct
from typing import Any

import cramjam
import httpx
import pytest

from mamimon.metrics.model import STALE_BITS
from tests.conftest import wait_until
from tests.metrics.conftest import Scraped
from tests.metrics.messages import messages

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
_HISTOGRAM: list[tuple[str, int, str, bool]] = [
    ("count_int", 1, "uint64", False),
    ("count_float", 2, "double", False),
    ("sum", 3, "double", False),
    ("schema", 4, "sint32", False),
    ("zero_threshold", 5, "double", False),
    ("zero_count_int", 6, "uint64", False),
    ("zero_count_float", 7, "double", False),
    ("negative_spans", 8, "Span", True),
    ("negative_deltas", 9, "sint64", True),
    ("negative_counts", 10, "double", True),
    ("positive_spans", 11, "Span", True),
    ("positive_deltas", 12, "sint64", True),
    ("positive_counts", 13, "double", True),
    ("reset_hint", 14, "uint32", False),
    ("timestamp", 15, "int64", False),
    ("custom_values", 16, "double", True),
    ("start_timestamp", 17, "int64", False),
]


def _schema() -> dict[str, Any]:
    """The messages of prompb's types.proto, remote.proto and write/v2/types.proto that senders fill."""
    shapes: dict[str, list[tuple[str, int, str, bool]]] = {
        "Label": [("name", 1, "string", False), ("value", 2, "string", False)],
        "Sample": [("value", 1, "double", False), ("timestamp", 2, "int64", False)],
        "Exemplar": [
            ("labels", 1, "Label", True),
            ("value", 2, "double", False),
            ("timestamp", 3, "int64", False),
        ],
        "Span": [("offset", 1, "sint32", False), ("length", 2, "uint32", False)],
        "Histogram": _HISTOGRAM,
        "TimeSeries": [
            ("labels", 1, "Label", True),
            ("samples", 2, "Sample", True),
            ("exemplars", 3, "Exemplar", True),
            ("histograms", 4, "Histogram", True),
        ],
        "Metadata": [
            ("type", 1, "uint32", False),
            ("name", 2, "string", False),
            ("help", 4, "string", False),
        ],
        "WriteRequest": [("timeseries", 1, "TimeSeries", True), ("metadata", 3, "Metadata", True)],
        "Sample2": [
            ("value", 1, "double", False),
            ("timestamp", 2, "int64", False),
            ("start_timestamp", 3, "int64", False),
        ],
        "Exemplar2": [
            ("labels_refs", 1, "uint32", True),
            ("value", 2, "double", False),
            ("timestamp", 3, "int64", False),
        ],
        "Metadata2": [
            ("type", 1, "uint32", False),
            ("help_ref", 3, "uint32", False),
            ("unit_ref", 4, "uint32", False),
        ],
        "TimeSeries2": [
            ("labels_refs", 1, "uint32", True),
            ("samples", 2, "Sample2", True),
            ("histograms", 3, "Histogram", True),
            ("exemplars", 4, "Exemplar2", True),
            ("metadata", 5, "Metadata2", False),
        ],
        "Request": [("symbols", 4, "string", True), ("timeseries", 5, "TimeSeries2", True)],
    }
    return messages(shapes)


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
    """A series without a name, a sample out of bounds, a wrong histogram are refused, the rest kept."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    batch = request(
        ({"__name__": "good"}, [(now, 1.0)]),
        ({"job": "nameless"}, [(now, 1.0)]),
        ({"__name__": "early"}, [(now + 3_600_000, 1.0)]),
        ({"__name__": "old"}, [(1000, 1.0)]),
        ({"__name__": "histogram"}, []),
    )
    batch.timeseries[4].histograms.add(count_int=3, timestamp=now)
    answer = post(server, batch)
    assert answer.status_code == 400
    for reason in (
        "1 samples kept, 4 refused",
        "__name__ is missing",
        "in the future",
        "older than",
        "observations found in buckets",
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


def native(now: int, factor: int = 1) -> dict[str, Any]:
    """A histogram of schema 0 as a sender fills it: 12 observations, 3 of them around zero, 4 negative."""
    return {
        "count_int": 12 * factor,
        "sum": 30.5 * factor,
        "schema": 0,
        "zero_threshold": 0.001,
        "zero_count_int": 3 * factor,
        "positive_spans": [{"offset": 0, "length": 2}, {"offset": 1, "length": 1}],
        "positive_deltas": [1 * factor, 1 * factor, 0],
        "negative_spans": [{"offset": 1, "length": 1}],
        "negative_deltas": [4 * factor],
        "timestamp": now,
    }


SHOWN = {
    "count": "12",
    "sum": "30.5",
    "buckets": [
        [1, "-2", "-1", "4"],
        [3, "-0.001", "0.001", "3"],
        [0, "0.5", "1", "1"],
        [0, "1", "2", "2"],
        [0, "4", "8", "2"],
    ],
}


@pytest.mark.feature("M2")
def test_native_histograms_are_pushed_and_shown_as_prometheus_shows_them(server: Any, clock: Any) -> None:
    """Exponential and custom histograms of remote write 1.0 come back with their buckets and bounds."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    batch = request(({"__name__": "latency", "job": "a"}, []), ({"__name__": "custom", "job": "a"}, []))
    for at, factor in ((now - 60_000, 1), (now, 2)):
        batch.timeseries[0].histograms.add(**native(at, factor))
    batch.timeseries[1].histograms.add(
        count_float=6.5,
        sum=9.0,
        schema=-53,
        custom_values=[0.5, 2.0],
        positive_spans=[{"offset": 0, "length": 3}],
        positive_counts=[1.5, 2.0, 3.0],
        timestamp=now,
    )
    assert post(server, batch).status_code == 204
    (found,) = one.query("latency", time=clock.now() - 60)
    assert found["metric"] == {"__name__": "latency", "job": "a"}
    assert found["histogram"][1] == SHOWN
    (custom,) = one.query("custom")
    assert custom["histogram"][1] == {
        "count": "6.5",
        "sum": "9",
        "buckets": [[3, "-Inf", "0.5", "1.5"], [0, "0.5", "2", "2"], [0, "2", "+Inf", "3"]],
    }
    (raw,) = one.query("latency[5m]")
    assert [at for at, _ in raw["histograms"]] == [(now - 60_000) / 1000, now / 1000]
    assert "values" not in raw
    assert one.value("histogram_count(increase(latency[2m]))") == pytest.approx(24)
    answer = server.client.get(
        "/api/v1/query_range",
        params={"query": "latency", "start": clock.now() - 60, "end": clock.now(), "step": 60},
    ).json()
    (series,) = answer["data"]["result"]
    assert series["histograms"][0][1] == SHOWN
    assert series["histograms"][1][1]["count"] == "24"


@pytest.mark.feature("M2")
def test_remote_write_2_carries_histograms_exemplars_and_metadata(server: Any, clock: Any) -> None:
    """Remote write 2.0 is told how many of each were written, and each is there to be asked for."""
    one = Scraped(server, clock)
    now = int(clock.now() * 1000)
    symbols = ["", "__name__", "two", "trace_id", "abc", "What it does.", "seconds", "h"]
    message = M["Request"](symbols=symbols)
    plain = message.timeseries.add(labels_refs=[1, 2], metadata={"type": 1, "help_ref": 5, "unit_ref": 6})
    plain.samples.add(value=4.5, timestamp=now, start_timestamp=now - 1000)
    plain.exemplars.add(labels_refs=[3, 4], value=0.5, timestamp=now)
    message.timeseries.add(labels_refs=[1, 7]).histograms.add(**native(now))
    answer = post(server, message, V2)
    assert answer.status_code == 204
    written = [
        answer.headers[f"X-Prometheus-Remote-Write-{what}-Written"]
        for what in ("Samples", "Histograms", "Exemplars")
    ]
    assert written == ["1", "1", "1"]
    assert one.query("h")[0]["histogram"][1] == SHOWN
    exemplars = server.client.get(
        "/api/v1/query_exemplars", params={"query": "two", "start": clock.now() - 1, "end": clock.now() + 1}
    ).json()["data"]
    assert exemplars[0]["exemplars"][0]["labels"] == {"trace_id": "abc"}
    federated = server.client.get("/federate", params={"match[]": '{__name__=~"two|h"}'}).text
    assert federated == f'# TYPE two untyped\ntwo{{instance=""}} 4.5 {now}\n'
    metadata = server.client.get("/api/v1/metadata", params={"metric": "two"}).json()["data"]
    assert metadata == {"two": [{"type": "counter", "help": "What it does.", "unit": "seconds"}]}


@pytest.mark.feature("M2")
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"positive_deltas": [1]}, "different number of buckets"),
        ({"positive_deltas": [1, 1, -9]}, "is negative"),
        ({"count_int": 99}, "observations found in buckets"),
        ({"schema": 60}, "unknown schema"),
        ({"positive_spans": [{"offset": 0, "length": 4_000_000_000}]}, "more than"),
    ],
)
def test_a_wrong_histogram_is_refused_with_its_reason(
    server: Any, clock: Any, wrong: dict[str, Any], reason: str
) -> None:
    """What Prometheus' own check refuses is a 400 that says why, and the batch's good part is kept."""
    now = int(clock.now() * 1000)
    batch = request(({"__name__": "good"}, [(now, 1.0)]), ({"__name__": "bad"}, []))
    batch.timeseries[1].histograms.add(**{**native(now), **wrong})
    answer = post(server, batch)
    assert answer.status_code == 400
    assert reason in answer.text
    assert Scraped(server, clock).value("good") == 1


@pytest.mark.feature("M2")
def test_histograms_survive_sealing_and_a_restart(start: Any, clock: Any) -> None:
    """Native histograms read back from the write-ahead log and from sealed chunks are those that went in."""
    first = start()
    clock.advance(600)
    now = int(clock.now() * 1000)
    batch = request(({"__name__": "h", "job": "a"}, [(now - 590_000, 7.0)]))
    for i in range(40):
        batch.timeseries[0].histograms.add(**native(now - 580_000 + i * 10_000, 1 + i))
    assert post(first, batch).status_code == 204
    before = Scraped(first, clock).query("h[20m]")
    assert len(before[0]["histograms"]) == 40
    assert len(before[0]["values"]) == 1
    first.stop()
    second = start()
    assert Scraped(second, clock).query("h[20m]") == before
    clock.advance(2.2 * 3600)
    wait_until(lambda: _sealed(second), what="the chunk being sealed")
    again = Scraped(second, clock).query("h[20m]", time=now / 1000)
    assert again == before
    second.stop()
    third = start()
    assert Scraped(third, clock).query("h[20m]", time=now / 1000) == before
    part = Scraped(third, clock).query("h[1m]", time=now / 1000 - 300)
    assert part[0]["histograms"] == [
        p for p in before[0]["histograms"] if now / 1000 - 360 < p[0] <= now / 1000 - 300
    ]


def _sealed(server: Any) -> bool:
    room = next(room for room in server.server.house.rooms if room.name == "metrics")
    return bool(room.store.figures()["chunks"])


@pytest.mark.feature("M2")
def test_how_late_a_sample_may_be_is_said_by_prometheus_yml(start: Any, clock: Any, tmp_path: Any) -> None:
    """Within out_of_order_time_window late samples take their place; beyond it they are refused by reason."""
    yml = tmp_path / "prometheus.yml"
    yml.write_text("storage: {tsdb: {out_of_order_time_window: 10m}}\n")
    server = start(metrics={"prometheus_config": str(yml)})
    now = int(clock.now() * 1000)
    assert post(server, request(({"__name__": "late"}, [(now, 9.0)]))).status_code == 204
    assert post(server, request(({"__name__": "late"}, [(now - 590_000, 1.0)]))).status_code == 204
    answer = post(server, request(({"__name__": "late"}, [(now - 610_000, 0.0)])))
    assert answer.status_code == 400
    assert "too far behind the newest sample" in answer.text
    values = Scraped(server, clock).query("late[20m]")[0]["values"]
    assert [value for _, value in values] == ["1", "9"]
