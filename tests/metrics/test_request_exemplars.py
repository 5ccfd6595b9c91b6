"""From a slow bucket of an application to the page of the request."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mamimon.client.wsgi import WSGIMiddleware
from tests.metrics.conftest import Scraped

Start = Callable[..., Scraped]


class Quiet(WSGIRequestHandler):
    """Writes no access log."""

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def application() -> Iterator[str]:
    """An application behind the client's middleware; its host and port."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    server = make_server("127.0.0.1", 0, WSGIMiddleware(answer), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def get(address: str, path: str, **headers: str) -> tuple[str, Any]:
    """Body and headers of a GET."""
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode(), answer.headers


@pytest.mark.feature("L9")
def test_a_scrape_brings_the_ids_of_requests(scraped: Start, application: str) -> None:
    """The duration's exemplar has the request's id, and the page of that request is there."""
    _, headers = get(application, "/slow", **{"X-Request-Id": "req-123"})
    assert headers["X-Request-Id"] == "req-123"
    one = scraped(application)
    assert one.tick()["health"] == "up"
    params = {
        "query": 'http_request_duration_seconds_bucket{job="app"}',
        "start": one.clock.now() - 600,
        "end": one.clock.now() + 600,
    }
    found = one.server.client.get("/api/v1/query_exemplars", params=params).json()["data"]
    labels = [exemplar["labels"] for row in found for exemplar in row["exemplars"]]
    assert "req-123" in {label["request_id"] for label in labels}
    assert all(len(label["trace_id"]) == 32 for label in labels)
    assert one.server.client.get("/requests/req-123").status_code == 200
    assert one.value('sum(http_requests_total{job="app",status="200"})') >= 1


@pytest.mark.feature("L9")
def test_openmetrics_only_for_who_asks(application: str) -> None:
    """OpenMetrics parses strictly and has exemplars; the plain text has none, and the same series."""
    from mamimon.client.metrics import counter, gauge, histogram

    counter("odd_counter", 'Without "_total"\n.').inc(2)
    counter("even_total", "With it.").inc(3)
    gauge("level", "A gauge.", ("kind",)).set(1.5, kind='a"b')
    histogram("took_seconds", "A histogram.", (), (1.0, 2.0)).observe(1.2)
    get(application, "/")
    text, headers = get(
        application, "/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1"
    )
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["even"].type == "counter"
    assert families["odd_counter"].type == "unknown"
    examples = [s.exemplar for s in families["http_request_duration_seconds"].samples if s.exemplar]
    assert examples
    assert set(examples[0].labels) == {"trace_id", "request_id"}
    plain, headers = get(application, "/metrics")
    assert headers["Content-Type"].startswith("text/plain")
    assert "# {" not in plain

    def series(body: str) -> set[str]:
        lines = {line.split(" # ")[0].rpartition(" ")[0] for line in body.splitlines() if line[:1] != "#"}
        return {line for line in lines if not line.startswith(("python_", "process_", "mamimon_"))}

    assert {"odd_counter", "even_total", 'took_seconds_bucket{le="2"}'} <= series(plain)
    assert {line for line in series(plain) if "_created" not in line} <= series(text)
