"""The Prometheus HTTP API from outside: shapes, errors, limits, and the chart endpoint."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mamimon.metrics.routes import encode
from tests.metrics.conftest import App, Body, Scraped

Start = Callable[..., Scraped]


@pytest.mark.feature("M4")
def test_grafanas_health_check(server: Any) -> None:
    """Grafana's "save & test" passes: POST of 1+1 as a form, then buildinfo of a Prometheus, not a Mimir."""
    at = server.server.clock.now()
    answer = server.client.post("/api/v1/query", data={"query": "1+1", "time": str(at)}).json()
    assert answer == {"status": "success", "data": {"resultType": "scalar", "result": [at, "2"]}}
    info = server.client.get("/api/v1/status/buildinfo").json()["data"]
    assert info["version"].startswith("3.")
    assert not info.get("features")


@pytest.mark.feature("M4")
@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "reason"),
    [
        ("query", {"query": "rate(x["}, 400, "bad_data", "parse error"),
        ("query", {"query": ""}, 400, "bad_data", ""),
        ("query", {"query": "1", "time": "soon"}, 400, "bad_data", '"time"'),
        ("query", {"query": "1", "timeout": "x"}, 400, "bad_data", '"timeout"'),
        (
            "query_range",
            {"query": "1", "start": 0, "end": 11_001, "step": 1},
            400,
            "bad_data",
            "11,000 points",
        ),
        ("query_range", {"query": "1", "start": 10, "end": 0, "step": 1}, 400, "bad_data", '"end"'),
        (
            "query_range",
            {"query": "1", "start": 0, "end": 10, "step": 0},
            400,
            "bad_data",
            "zero or negative",
        ),
        ("query_range", {"query": "x[5m]", "start": 0, "end": 10, "step": 1}, 400, "bad_data", "range"),
        ("query", {"query": 'label_replace(up, "", "", "", "")'}, 422, "execution", ""),
        ("series", {}, 400, "bad_data", "no match[] parameter provided"),
        ("series", {"match[]": "{"}, 400, "bad_data", '"match[]"'),
        ("query", {"query": 'up{job=~"("}'}, 400, "bad_data", "regex"),
    ],
)
def test_errors_in_prometheus_words(
    server: Any, path: str, params: dict[str, Any], status: int, kind: str, reason: str
) -> None:
    """A mistake gets the API's error shape, type and status, by GET and by POST."""
    for answer in (
        server.client.get(f"/api/v1/{path}", params=params),
        server.client.post(f"/api/v1/{path}", data=params),
    ):
        body = answer.json()
        assert (answer.status_code, body["status"], body["errorType"]) == (status, "error", kind), body
        assert reason in body["error"]


@pytest.mark.feature("M4")
def test_numbers_and_instants_as_prometheus_writes_them(server: Any, clock: Any) -> None:
    """NaN, infinities, small and large numbers are strings in Go's form; range steps are exact."""
    one = Scraped(server, clock)
    for text, shown in (
        ("0/0", "NaN"),
        ("1/0", "+Inf"),
        ("-1/0", "-Inf"),
        ("0.1+0.2", "0.30000000000000004"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("1e-7", "1e-07"),
        ("-0", "-0"),
        ("1/3", "0.3333333333333333"),
    ):
        assert server.client.get("/api/v1/query", params={"query": text}).json()["data"]["result"][1] == shown
    assert one.query("vector(time())", time="2026-01-01T00:00:00.5Z")[0]["value"] == [
        1767225600.5,
        "1767225600.5",
    ]
    params = {"query": "time()", "start": 100, "end": 101, "step": "500ms"}
    answer = server.client.get("/api/v1/query_range", params=params).json()["data"]
    assert answer["resultType"] == "matrix"
    assert answer["result"] == [{"metric": {}, "values": [[100, "100"], [100.5, "100.5"], [101, "101"]]}]


@pytest.mark.feature("M4")
def test_a_large_answer_comes_in_pieces(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text as at once; whole for HTTP/1.0, which has no chunks; who leaves midway stops nobody."""
    rows = (f'label_replace(vector(time() * {n} / 7), "n", "{n}", "", "")' for n in range(6))
    params = {"query": f"sort({' or '.join(rows)})", "start": 1e9, "end": 1e9 + 10_000, "step": 1}
    monkeypatch.setattr(encode, "_PIECE", 1 << 30)
    whole = server.client.get("/api/v1/query_range", params=params)
    assert "transfer-encoding" not in whole.headers
    for name in ("_TILE", "_PIECE"):
        monkeypatch.setattr(encode, name, 1)
    parts = server.client.get("/api/v1/query_range", params=params)
    assert parts.headers["transfer-encoding"] == "chunked"
    assert len(parts.content) > 1_000_000
    assert parts.content == whole.content
    query = str(parts.request.url).partition("?")[2]
    address = server.client.base_url.host, server.client.base_url.port
    with socket.create_connection(address, timeout=60) as old:
        old.sendall(f"GET /api/v1/query_range?{query} HTTP/1.0\r\n\r\n".encode())
        with old.makefile("rb") as file:
            head, _, body = file.read().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert json.loads(body) == whole.json()
    with socket.create_connection(address, timeout=60) as rude:
        rude.sendall(f"GET /api/v1/query_range?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert rude.recv(10).startswith(b"HTTP/1.1 2")
    assert server.client.get("/api/v1/query_range", params=params).content == whole.content


@pytest.mark.feature("M4")
def test_a_slow_query_times_out(server: Any) -> None:
    """A query past the time that its asker gives it is stopped with 503 and type timeout."""
    params = {"query": "max_over_time(vector(time())[30d:1s])", "start": 0, "end": 10_000, "step": 1}
    answer = server.client.get("/api/v1/query_range", params={**params, "timeout": "1ms"})
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")


@pytest.mark.feature("M4")
def test_series_labels_values_metadata_and_limits(scraped: Start, body: Body) -> None:
    """Series, labels and values answer by selector and limit; metadata says type, help and unit."""
    body.text = (
        '# HELP a Some help.\n# TYPE a counter\na{x="1"} 1\na{x="2"} 2\nb{y="ü"} 3\n{"c.d","e f"="g"} 4\n'
    )
    one = scraped(body.address)
    one.tick()
    get = one.server.client.get

    def data(path: str, **params: Any) -> Any:
        return get(f"/api/v1/{path}", params=params).json()["data"]

    base = {"job": "app", "instance": body.address}
    found = data("series", **{"match[]": ['a{x="1"}', "b"]})
    assert found == [{"__name__": "a", "x": "1", **base}, {"__name__": "b", "y": "ü", **base}]
    assert data("labels", **{"match[]": "a"}) == ["__name__", "instance", "job", "x"]
    assert data("label/x/values") == ["1", "2"]
    assert data("label/U__e_20_f/values") == ["g"]
    assert {"a", "b", "c.d", "up"} <= set(data("label/__name__/values"))
    limited = get("/api/v1/label/x/values", params={"limit": 1}).json()
    assert (limited["data"], limited["warnings"]) == (["1"], ["results truncated due to limit"])
    assert data("metadata", metric="a") == {"a": [{"type": "counter", "help": "Some help.", "unit": ""}]}
    assert one.query('{"c.d"}')[0]["metric"]["e f"] == "g"
    assert data("series", **{"match[]": "a", "start": "0", "end": "1000"}) == []


@pytest.mark.feature("M4")
def test_status_and_targets_have_the_official_shapes(scraped: Start, app: App, material: Path) -> None:
    """Targets and status answers have every field that the official OpenAPI document requires."""
    one = scraped(app.address)
    one.tick()
    document = yaml.safe_load((material / "prom-http-api" / "openapi_3.1_golden.yaml").read_text())
    schemas = document["components"]["schemas"]

    def required(schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return required(schemas[schema["$ref"].rsplit("/", 1)[1]])
        return schema

    for path in (
        "targets",
        "status/buildinfo",
        "status/runtimeinfo",
        "status/tsdb",
        "status/config",
        "status/flags",
    ):
        answer = one.server.client.get(f"/api/v1/{path}").json()
        outer = document["paths"][f"/{path}"]["get"]["responses"]["200"]["content"]["application/json"][
            "schema"
        ]
        schema = required(required(outer)["properties"]["data"])
        missing = [name for name in schema.get("required", []) if name not in answer["data"]]
        assert not missing, (path, missing)
    target = one.target()
    fields = required(schemas["Target"])["required"]
    assert not [name for name in fields if name not in target]


@pytest.mark.feature("M4")
def test_federate(scraped: Start, body: Body, clock: Any) -> None:
    """/federate exposes the newest samples of a selector as text that a scrape can read."""
    body.text = 'a{x="q\\"uote"} 1.5\n'
    one = scraped(body.address)
    one.tick()
    answer = one.server.client.get("/federate", params={"match[]": "a"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    line = answer.text.strip().splitlines()[-1]
    assert line.startswith(f'a{{instance="{body.address}",job="app",x="q\\"uote"}} 1.5 ')


@pytest.mark.feature("M8")
def test_chart_answers_several_queries_at_once(scraped: Start, app: App) -> None:
    """The chart endpoint lines up several queries on one axis, names them by legend and tells an error."""
    one = scraped(app.address)
    for _ in range(6):
        app.requests.labels("GET", "200").inc(3)
        one.tick()
    params = [
        ("query", "http_requests_total{job='app'}"),
        ("query", "up"),
        ("legend", "{{method}}"),
        ("since", "5m"),
    ]
    answer = one.server.client.get("/api/mamimon/chart", params=params).json()
    assert [one["name"] for one in answer["series"]][:1] == ["GET"]
    assert all(len(line["values"]) == len(answer["times"]) for line in answer["series"])
    assert answer["series"][0]["values"][-1] == 18
    assert len(answer["times"]) <= 500
    wrong = one.server.client.get("/api/mamimon/chart", params={"query": "rate("}).json()
    assert "parse error" in wrong["error"]


@pytest.mark.feature("M4")
@pytest.mark.parametrize(
    "function", ["quantile_over_time(0.5, {})", "mad_over_time({})", "stddev_over_time({})"]
)
def test_a_query_of_long_windows_cannot_hold_the_server(start: Callable[..., Any], function: str) -> None:
    """Long work inside one function stops at the query's time as well, and the next query is answered."""
    server = start(metrics={"query_timeout_s": 0.5})
    query = function.format("vector(time())[1d:1s]")
    params = {"query": query, "start": 0, "end": 10_000, "step": 1}
    began = time.monotonic()
    answer = server.client.get("/api/v1/query_range", params=params)
    assert answer.status_code in {200, 422, 503}
    assert time.monotonic() - began < 60
    assert server.client.get("/api/v1/query", params={"query": "1"}).status_code == 200
