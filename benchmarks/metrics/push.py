"""How fast the push doors and remote read are; one process of mamimon, one sender, bodies made beforehand.

    python -m benchmarks.metrics.push [--series 1000] [--batches 60]

OTLP: a request a batch of `series` sums with four attributes. StatsD: datagrams of 20 lines by UDP over
loopback, at most as fast as nothing is dropped (the sender waits for the count every 2,000 datagrams).
Remote read: everything back, streamed as XOR chunks and as samples.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cramjam
import httpx
import psutil
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from mamimon.protobuf import written

PORT, STATSD = 17907, 17908


def otlp(series: int, at: float) -> bytes:
    """One export request."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in (("service.name", "bench"), ("service.instance.id", "1")):
        resource.resource.attributes.add(key=key).value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name="http.server.requests", unit="{request}")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
    for number in range(series):
        point = metric.sum.data_points.add(time_unix_nano=round(at * 1e9), as_double=at % 1e6 + number)
        for key, value in (
            ("http.method", "GET"),
            ("http.route", f"/api/items/{number}"),
            ("http.status_code", "200"),
            ("zone", f"z{number % 3}"),
        ):
            point.attributes.add(key=key).value.string_value = value
    return request.SerializeToString()


def push_otlp(url: str, series: int, batches: int, start: float) -> float:
    """Points a second."""
    bodies = [otlp(series, start + 15 * number) for number in range(batches)]
    headers = {"Content-Type": "application/x-protobuf"}
    with httpx.Client(timeout=60) as client:
        began = time.perf_counter()
        for body in bodies:
            answer = client.post(f"{url}/v1/metrics", content=body, headers=headers)
            assert (answer.status_code, answer.content) == (200, b""), answer.text
        return series * batches / (time.perf_counter() - began)


def push_statsd(url: str, datagrams: int) -> tuple[float, float]:
    """Lines a second, and the share that was counted."""
    lines = "\n".join(f"app.requests:1|c|#route:r{number},status:200" for number in range(20)).encode()

    def taken() -> float:
        text = httpx.get(f"{url}/metrics").text
        found = [
            line
            for line in text.splitlines()
            if line.startswith('mamimon_statsd_lines_total{outcome="taken"')
        ]
        return float(found[0].split()[-1]) if found else 0.0

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        began = time.perf_counter()
        for number in range(1, datagrams + 1):
            sender.sendto(lines, ("127.0.0.1", STATSD))
            if number % 2000 == 0:
                deadline = time.perf_counter() + 5
                while taken() < 20 * number and time.perf_counter() < deadline:
                    time.sleep(0.005)
        spent = time.perf_counter() - began
    return 20 * datagrams / spent, taken() / (20 * datagrams)


def read_back(url: str, start: float, end: float, accepted: bytes) -> tuple[float, int]:
    """Seconds, and the bytes of the answer."""
    matcher = written(2, "__name__") + written(3, "http_server_requests_total")
    query = written(1, round(start * 1000)) + written(2, round(end * 1000)) + written(3, matcher)
    body = bytes(cramjam.snappy.compress_raw(written(1, query) + written(2, accepted)))
    began = time.perf_counter()
    answer = httpx.post(f"{url}/api/v1/read", content=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - began, len(answer.content)


def busy(popen: subprocess.Popen[bytes]) -> float:
    """Processor seconds that mamimon has used."""
    times = psutil.Process(popen.pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mamimon.toml"
        config.write_text(f'[metrics]\nstatsd = "{STATSD}"\n')
        popen = subprocess.Popen(
            [sys.executable, "-m", "mamimon", "serve", "--data-dir", f"{folder}/data", "--port", str(PORT),
             "--config", str(config)],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{PORT}"
            deadline = time.perf_counter() + 30
            while True:
                try:
                    httpx.get(f"{url}/readyz").raise_for_status()
                    break
                except httpx.HTTPError:
                    if time.perf_counter() > deadline:
                        raise
                    time.sleep(0.1)
            start = time.time() // 15 * 15 - 15 * given.batches
            samples = given.series * given.batches
            used = busy(popen)
            rate = push_otlp(url, given.series, given.batches, start)
            used = busy(popen) - used
            print(f"OTLP: {rate:,.0f} points/s, {samples / used:,.0f} a processor second")
            used = busy(popen)
            rate, share = push_statsd(url, 20_000)
            used = busy(popen) - used
            print(
                f"StatsD: {rate:,.0f} lines/s, {400_000 / used:,.0f} a processor second, {share:.1%} counted"
            )
            for name, accepted in (("XOR chunks", b"\x01"), ("samples", b"\x00")):
                used = busy(popen)
                seconds, size = read_back(url, start, time.time(), accepted)
                used = busy(popen) - used
                print(
                    f"remote read, {name}: {samples / seconds:,.0f} samples/s, "
                    f"{samples / used:,.0f} a processor second, {size / samples:.2f} bytes/sample"
                )
        finally:
            popen.terminate()
            popen.wait(20)


if __name__ == "__main__":
    main()
