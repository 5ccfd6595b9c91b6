"""Lines a second through each door: python benchmarks/logs/doors.py [lines].

Starts `mamimon serve` over a temporary directory, with syslog and GELF listeners, and sends the same
lines by every door from one connection, in batches as its clients make them. HTTP doors are timed to
the last acknowledgement, syslog and GELF until every line is stored. Run with PYTHONPATH set to the
project's root.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cramjam
import httpx

from mamimon import protobuf

BATCH = 1000


def document(n: int) -> dict[str, object]:
    """About 200 bytes, as a web service logs."""
    return {
        "message": f"POST /api/chat 200 in {n * 37 % 900} ms for user u_{n * 7919 % 5000}", "level": "info",
        "request_id": f"req-{n * 2654435761 % 4294967296:08x}", "service": "web", "path": "/api/chat",
        "status": 200,
    }  # fmt: skip


def ndjson(start: int) -> tuple[str, bytes, dict[str, str]]:
    """A batch for our own door."""
    lines = b"\n".join(json.dumps(document(n)).encode() for n in range(start, start + BATCH))
    return "/api/mamimon/logs?dataset=ndjson", lines, {}


def bulk(start: int) -> tuple[str, bytes, dict[str, str]]:
    """The same for `_bulk`."""
    action = b'{"create":{"_index":"logs-bulk"}}\n'
    lines = b"".join(action + json.dumps(document(n)).encode() + b"\n" for n in range(start, start + BATCH))
    return "/es/_bulk", lines, {}


def otlp(start: int) -> tuple[str, bytes, dict[str, str]]:
    """OTLP protobuf with four attributes a record."""
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

    request = logs_service_pb2.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "otlp"
    scope = resource.scope_logs.add()
    for n in range(start, start + BATCH):
        one = document(n)
        record = scope.log_records.add(time_unix_nano=time.time_ns(), severity_number=9)
        record.body.string_value = str(one["message"])
        for key in ("request_id", "path"):
            record.attributes.add(key=key).value.string_value = str(one[key])
        record.attributes.add(key="status").value.int_value = 200
    return "/v1/logs", request.SerializeToString(), {"Content-Type": "application/x-protobuf"}


def loki(start: int) -> tuple[str, bytes, dict[str, str]]:
    """Loki's protobuf, the line as JSON, no metadata."""
    written = protobuf.written
    stream = written(1, '{app="loki", level="info"}')
    for n in range(start, start + BATCH):
        ns = time.time_ns()
        when = written(1, ns // 10**9) + written(2, ns % 10**9)
        stream += written(2, written(1, when) + written(2, json.dumps(document(n))))
    body = bytes(cramjam.snappy.compress_raw(written(1, stream)))
    return "/loki/api/v1/push", body, {"Content-Type": "application/x-protobuf"}


def gelf(n: int) -> bytes:
    """One GELF message."""
    one = document(n)
    return json.dumps({"version": "1.1", "host": "h", "short_message": one["message"], "level": 6,
                       "_request_id": one["request_id"], "_status": 200}).encode()  # fmt: skip


def syslog(n: int) -> bytes:
    """One RFC 5424 message."""
    return f"<14>1 {time.strftime('%Y-%m-%dT%H:%M:%S')}Z h web 7 - - {document(n)['message']}".encode()


def http(client: httpx.Client, lines: int, make: Callable[[int], tuple[str, bytes, dict[str, str]]]) -> float:
    """Seconds until every batch is acknowledged."""
    batches = [make(start) for start in range(0, lines, BATCH)]
    began = time.perf_counter()
    for path, body, headers in batches:
        answer = client.post(path, content=body, headers=headers)
        assert answer.is_success, answer.text
    return time.perf_counter() - began


def stored(client: httpx.Client, dataset: str) -> int:
    """Lines of a dataset."""
    answer = client.get(f"/es/logs-{dataset}-*/_count")
    return int(answer.json()["count"])


def sockets(client: httpx.Client, port: int, lines: int, dataset: str, kind: str) -> tuple[float, int]:
    """Seconds until no more arrives, and how many lines did."""
    make, end = (gelf, b"\0") if dataset == "gelf" else (syslog, b"\n")
    messages = [make(n) for n in range(lines)]
    before = stored(client, dataset)
    began = time.perf_counter()
    if kind == "tcp":
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for start in range(0, lines, 100):
                sock.sendall(end.join(messages[start : start + 100]) + end)
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for message in messages:
                sock.sendto(message, ("127.0.0.1", port))
    seen, last = before, time.perf_counter()
    while seen - before < lines and time.perf_counter() - last < 2:
        now = stored(client, dataset)
        if now > seen:
            seen, last = now, time.perf_counter()
        time.sleep(0.05)
    return last - began, seen - before


def main() -> None:
    """Measure and print."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mamimon.toml"
        config.write_text('[syslog]\nudp = "0"\ntcp = "0"\n[gelf]\nudp = "0"\ntcp = "0"\n')
        command = [sys.executable, "-m", "mamimon", "serve", "--data-dir", f"{folder}/data", "--port", "0"]
        server = subprocess.Popen([*command, "--config", str(config)], stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        url = next(found[1] for line in server.stderr if (found := re.search(r"ready on (\S+)", line)))
        try:
            with httpx.Client(base_url=url, timeout=120) as client:
                for make in (bulk, ndjson, otlp, loki):
                    took = http(client, lines, make)
                    print(json.dumps({"door": make.__name__, "lines_per_s": round(lines / took)}), flush=True)
                time.sleep(1)
                told = client.get(
                    "/api/mamimon/logs/search", params={"q": "message:by", "dataset": "mamimon"}
                )
                ports = re.findall(r"(syslog|gelf) by (UDP|TCP) on \S+?:(\d+)", told.text)
                for dataset, kind, port in sorted(set(ports)):
                    took, count = sockets(client, int(port), lines, dataset, kind.lower())
                    print(json.dumps({"door": f"{dataset} {kind.lower()}", "lines_per_s": round(count / took),
                                      "lost": lines - count}), flush=True)  # fmt: skip
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
