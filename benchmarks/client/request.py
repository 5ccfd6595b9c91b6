"""What instrumenting costs a request: ours beside structlog + prometheus_client + OpenTelemetry + Sentry.

The same ASGI application is called in process, without a server: a request id, one bound log line of the
application, one log line a request, a counter and a histogram with the route, a span or trace context.
CPU time of the whole process is measured, so that our background sender (encoding, masking, gzip, sending to
a loopback receiver) counts too; the others write JSON to /dev/null and drop their spans, which is less work.

    python benchmarks/client/request.py [REQUESTS]
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/chat/17",
    "headers": [(b"host", b"x"), (b"x-request-id", b"r-1")],
    "client": ("10.0.0.1", 1234),
    "path_template": "/chat/{id}",
}


async def _receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def _send(message: Any) -> None:
    return


def application(log: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if log is not None:
            log()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def ours(url: str) -> tuple[Any, Any]:
    import mamimon

    mamimon.init(url, service="bench", console="off", spool_dir=tempfile.mkdtemp(), queue_records=1_000_000)
    logger = mamimon.get_logger("chat")
    app = application(lambda: logger.info("message stored", extra={"chat_id": "c1", "length": 17}))
    return mamimon.ASGIMiddleware(app), lambda: mamimon.flush(60)


def theirs(_: str) -> tuple[Any, Any]:
    import sentry_sdk
    import structlog
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from prometheus_client import CollectorRegistry, Counter, Histogram
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    class Drop(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Drop()))
    tracer = provider.get_tracer("bench")
    sentry_sdk.init("http://key@127.0.0.1:9/1", default_integrations=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(open(os.devnull, "w")),  # noqa: PTH123, SIM115
        cache_logger_on_first_use=True,
    )
    logger = structlog.get_logger("chat")
    registry = CollectorRegistry()
    total = Counter("http_requests", "n", ["method", "path", "status"], registry=registry)
    duration = Histogram("http_request_duration_seconds", "d", ["method", "path"], registry=registry)
    app = application(lambda: logger.info("message stored", chat_id="c1", length=17))

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        began = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id="r-1")
        with tracer.start_as_current_span("GET /chat/{id}") as span:
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("http.route", "/chat/{id}")
            await app(scope, receive, send)
            span.set_attribute("http.response.status_code", 200)
        took = time.perf_counter() - began
        total.labels("GET", "/chat/{id}", "200").inc()
        duration.labels("GET", "/chat/{id}").observe(took)
        logger.info("request", method="GET", path="/chat/17", status=200, duration_ms=took * 1000)
        structlog.contextvars.clear_contextvars()

    return SentryAsgiMiddleware(middleware), provider.force_flush


def bare(_: str) -> tuple[Any, Any]:
    return application(None), lambda: None


async def drive(app: Any, requests: int) -> list[float]:
    waits: list[float] = []
    for number in range(requests):
        began = time.perf_counter()
        await app(dict(SCOPE), _receive, _send)
        waits.append(time.perf_counter() - began)
        if number % 50 == 49:
            await asyncio.sleep(0)
    return waits


def measure(name: str, url: str, requests: int) -> None:
    logging.getLogger().setLevel(logging.INFO)
    app, finish = {"bare": bare, "mamimon": ours, "peers": theirs}[name](url)
    asyncio.run(drive(app, requests // 10))
    finish()
    began = time.process_time()
    waits = asyncio.run(drive(app, requests))
    caller = statistics.median(waits)
    finish()
    cost = (time.process_time() - began) / requests
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    print(json.dumps({"cpu_us": cost * 1e6, "caller_us": caller * 1e6, "resident_mib": resident / 1024}))


def main() -> None:
    if len(sys.argv) > 3:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        return
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    sys.path.insert(0, str(Path.cwd()))
    from tests.client.receiver import Receiver

    receiver = Receiver()
    rows = {}
    for name in ("bare", "mamimon", "peers"):
        done = subprocess.run(
            [sys.executable, __file__, name, receiver.url, str(requests)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        rows[name] = json.loads(done.stdout)
        print(f"{name:8}", {key: round(value, 1) for key, value in rows[name].items()})
    receiver.close()
    floor = rows["bare"]
    for key in ("cpu_us", "caller_us", "resident_mib"):
        ratio = (rows["mamimon"][key] - floor[key]) / (rows["peers"][key] - floor[key])
        print(f"{key}: {ratio:.2f} of the peers', beyond the bare application")


if __name__ == "__main__":
    main()
