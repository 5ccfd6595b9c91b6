"""Remote read, both forms: by a real Prometheus that shows our series, and byte by byte."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest

from mamimon.metrics.wire import xor
from mamimon.metrics.wire.remote_read import crc32c, varint
from tests.conftest import peer, wait_until
from tests.metrics.conftest import App, Scraped
from tests.metrics.test_remote_write import _HISTOGRAM, M, messages

Start = Callable[..., Scraped]
ANSWER = messages(
    {
        "Span": [("offset", 1, "sint32", False), ("length", 2, "uint32", False)],
        "Histogram": _HISTOGRAM,
        "TimeSeries": [("histograms", 4, "Histogram", True)],
        "QueryResult": [("timeseries", 1, "TimeSeries", True)],
        "ReadResponse": [("results", 1, "QueryResult", True)],
    }
)


def field(number: int, data: bytes | int) -> bytes:
    """A protobuf field."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data & (1 << 64) - 1)
    return varint(number << 3 | 2) + varint(len(data)) + data


def request_of(*matchers: tuple[int, str, str], start: float, end: float, accepted: bytes = b"") -> bytes:
    """A compressed `ReadRequest` of one query."""
    query = field(1, round(start * 1000)) + field(2, round(end * 1000))
    for kind, name, value in matchers:
        query += field(3, field(1, kind) + field(2, name.encode()) + field(3, value.encode()))
    body = field(1, query) + (field(2, accepted) if accepted else b"")
    return bytes(cramjam.snappy.compress_raw(body))


def bits_of(data: bytes) -> Iterator[int]:
    """The bits of a chunk, first to last."""
    for byte in data:
        for shift in range(7, -1, -1):
            yield byte >> shift & 1


def decode_xor(data: bytes) -> list[tuple[int, int]]:
    """Times and the bits of values of an XOR chunk, read bit by bit as tsdb/chunkenc/xor.go describes it."""
    stream = bits_of(data)

    def take(count: int) -> int:
        out = 0
        for _ in range(count):
            out = out << 1 | next(stream)
        return out

    def uvarint() -> int:
        out = shift = 0
        while True:
            byte = take(8)
            out |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return out

    count = take(16)
    first = uvarint()
    at, value, delta = (first >> 1) ^ -(first & 1), take(64), 0
    out = [(at, value)]
    leading = width = 0
    for number in range(1, count):
        if number == 1:
            delta = uvarint()
        else:
            size = 0
            for candidate in (14, 17, 20, 64):
                if not take(1):
                    break
                size = candidate
            change = take(size)
            # The range is lopsided: a value is negative only from half + 1 on.
            delta += change - (1 << size) if size and change > 1 << (size - 1) else change
        at += delta
        if take(1):
            if take(1):
                leading, width = take(5), take(6) or 64
            value ^= take(width) << (64 - leading - width)
        out.append((at, value))
    return out


@pytest.mark.feature("M4")
@pytest.mark.parametrize("seed", range(8))
def test_xor_chunks_come_back(seed: int) -> None:
    """Regular and wild times, equal, near and arbitrary values, NaNs: every bit comes back."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 500))
    steps = draw.choice([1, 15_000, 15_001, 15_007, 60_000, 9_000_000, 2**41], count)
    times = 1_700_000_000_000 + np.cumsum(steps)
    values = draw.choice([0.0, 1.0, -1.5, np.nan, np.inf, 1e300], count) + draw.integers(0, 2, count)
    values[draw.random(count) < 0.3] = draw.random()
    expected = list(zip(times.tolist(), values.view(np.uint64).tolist(), strict=True))
    assert decode_xor(xor.encode(times, values)) == expected


@pytest.mark.feature("M4")
def test_the_checksum() -> None:
    """CRC-32C of the standard's example."""
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.feature("M4")
def test_samples_answer(scraped: Start, app: App) -> None:
    """SAMPLES: the matching series with labels sorted and every sample in the range, ends included."""
    app.requests.labels("GET", "200").inc(3)
    one = scraped(app.address)
    one.tick()
    first = one.clock.now()
    app.requests.labels("GET", "200").inc(4)
    one.tick()
    matchers = ((0, "__name__", "http_requests_total"), (2, "job", "a.."), (1, "status", "500"))
    body = request_of(*matchers, start=first, end=first + 15)
    answer = one.server.client.post("/api/v1/read", content=body)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "snappy")
    raw = bytes(cramjam.snappy.decompress_raw(answer.content))
    labels = [
        ("__name__", "http_requests_total"),
        ("instance", app.address),
        ("job", "app"),
        ("method", "GET"),
        ("status", "200"),
    ]
    series = b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in labels)
    for at, value in ((first, 3.0), (first + 15, 7.0)):
        series += field(2, b"\x09" + struct.pack("<d", value) + field(2, round(at * 1000)))
    assert raw == field(1, field(1, series))


@pytest.mark.feature("M3")
def test_native_histograms_are_read_as_samples(server: Any, clock: Any) -> None:
    """A pushed native histogram is read back whole, also by who prefers chunks, which hold floats."""
    at = round(clock.now() * 1000)
    pushed = M["WriteRequest"]()
    series = pushed.timeseries.add()
    series.labels.add(name="__name__", value="h")
    sample = series.histograms.add(count_int=7, sum=3.5, schema=1, zero_threshold=0.5, zero_count_int=1)
    sample.timestamp = at
    for offset, length in ((-2, 2), (3, 1)):
        sample.positive_spans.add(offset=offset, length=length)
    sample.positive_deltas.extend([1, 0, 1])
    sample.negative_spans.add(offset=4, length=1)
    sample.negative_deltas.append(2)
    body = cramjam.snappy.compress_raw(pushed.SerializeToString())
    assert server.client.post("/api/v1/write", content=bytes(body)).status_code == 204
    asked = request_of((0, "__name__", "h"), start=at / 1000, end=at / 1000, accepted=b"\x01\x00")
    answer = server.client.post("/api/v1/read", content=asked)
    assert answer.headers["content-type"] == "application/x-protobuf"
    found = ANSWER["ReadResponse"]()
    found.ParseFromString(bytes(cramjam.snappy.decompress_raw(answer.content)))
    (got,) = found.results[0].timeseries[0].histograms
    assert (got.count_float, got.sum, got.schema, got.timestamp) == (7, 3.5, 1, at)
    assert (got.zero_threshold, got.zero_count_float) == (0.5, 1)
    assert [(span.offset, span.length) for span in got.positive_spans] == [(-2, 2), (3, 1)]
    assert [(span.offset, span.length) for span in got.negative_spans] == [(4, 1)]
    assert (list(got.positive_counts), list(got.negative_counts)) == ([1, 1, 2], [2])


@pytest.mark.feature("M4")
def test_bad_requests(server: Any) -> None:
    """What cannot be read is refused with its reason as text."""
    for body, reason in (
        (b"", "snappy"),
        (b"\x03\x08abc", "not a prometheus.ReadRequest"),
        (request_of((2, "a", "("), start=0, end=1), "error parsing regexp"),
        (request_of((7, "a", "b"), start=0, end=1), "invalid matcher type"),
        (request_of((0, "a", "b"), start=0, end=1, accepted=b"\x09"), "response types"),
    ):
        answer = server.client.post("/api/v1/read", content=body)
        assert (answer.status_code, reason in answer.text) == (400, True), answer.text


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M4")
def test_a_real_prometheus_reads_us(
    process: Callable[..., Any], app: App, tmp_path: Path, yml: Callable[..., str]
) -> None:
    """A Prometheus with `remote_read` answers queries from our series, streamed, as we answer them."""
    program = peer("prometheus")
    config = Path(yml(app.address))
    config.write_text(config.read_text().replace("15s", "1s").replace("5s", "1s"))
    one = process("--prometheus-config", str(config))
    asked = {"query": "count_over_time(http_request_duration_seconds_count[1m])"}

    def count() -> int:
        app.latency.observe(0.3)
        app.requests.labels("GET", "200").inc()
        found = httpx.get(f"{one.url}/api/v1/query", params=asked).json()["data"]["result"]
        return int(found[0]["value"][1]) if found else 0

    wait_until(lambda: count() >= 5, timeout_s=60, what="five scrapes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "reader.yml"
    file.write_text(f"remote_read:\n  - {{url: '{one.url}/api/v1/read', read_recent: true}}\n")
    popen = subprocess.Popen(
        [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path / 'reader'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        theirs = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                return httpx.get(f"{theirs}/-/ready").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(ready, timeout_s=60, what="the peer")
        end = time.time() - 1
        for query in (
            '{job="app"}',
            "rate(http_requests_total[3s])",
            'histogram_quantile(0.9, rate(http_request_duration_seconds_bucket{job="app"}[4s]))',
        ):
            params = {"query": query, "start": f"{end - 4:.3f}", "end": f"{end:.3f}", "step": 1}
            ours, got = (
                httpx.get(f"{url}/api/v1/query_range", params=params).json()["data"]["result"]
                for url in (one.url, theirs)
            )
            assert ours
            key = lambda series: sorted(series["metric"].items())  # noqa: E731
            got, ours = sorted(got, key=key), sorted(ours, key=key)
            assert [one["metric"] for one in got] == [one["metric"] for one in ours], query
            for theirs_one, ours_one in zip(got, ours, strict=True):
                times, values = zip(*theirs_one["values"], strict=True)
                our_times, our_values = zip(*ours_one["values"], strict=True)
                assert times == our_times, query
                # The last digit depends on the order of the operations.
                assert [float(one) for one in values] == pytest.approx(
                    [float(one) for one in our_values], rel=1e-9, nan_ok=True
                ), query
    finally:
        popen.terminate()
        popen.wait(20)
