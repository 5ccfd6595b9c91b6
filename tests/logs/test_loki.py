"""Loki's API: push by both encodings and a real client, and what Grafana's data source asks."""

from __future__ import annotations

import gzip
import logging
import os
import random
from typing import Any

import cramjam
import httpx
import logging_loki
import pytest

from mamimon import protobuf
from mamimon.logs.wire.loki.logql import parse
from mamimon.problems import Problem
from tests.conftest import wait_until
from tests.logs.test_otlp import search

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "500"))
PUSH = "/loki/api/v1/push"


def push(server: Any, *streams: tuple[dict[str, str], list[list[Any]]], **headers: str) -> httpx.Response:
    """Push streams of `[ns, line, metadata?]` as JSON."""
    body = {"streams": [{"stream": labels, "values": values} for labels, values in streams]}
    answer: httpx.Response = server.client.post(PUSH, json=body, headers=headers)
    return answer


def message(*streams: tuple[str, list[tuple[int, str, dict[str, str]]]]) -> bytes:
    """A snappy-compressed PushRequest, as Promtail and Alloy send it."""
    written = protobuf.written
    out = b""
    for labels, entries in streams:
        stream = written(1, labels)
        for ns, line, metadata in entries:
            when = written(1, ns // 10**9) + written(2, ns % 10**9)
            entry = written(1, when) + written(2, line)
            for name, value in metadata.items():
                entry += written(3, written(1, name) + written(2, value))
            stream += written(2, entry)
        out += written(1, stream)
    return bytes(cramjam.snappy.compress_raw(out))


def ask(server: Any, path: str, status: int = 200, **parameters: Any) -> Any:
    """A question as Grafana puts it: GET, nanoseconds, categorized labels."""
    headers = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    answer = server.client.get(f"/loki/api/v1/{path}", params=parameters, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()["data"] if status == 200 and "data" in answer.json() else answer


@pytest.fixture
def now(clock: Any) -> int:
    """The server's time in nanoseconds."""
    return int(clock.now()) * 10**9


@pytest.fixture
def filled(server: Any, now: int) -> Any:
    """Sixty lines of two streams over a minute, one a second."""
    levelled: list[list[Any]] = []
    for i in range(60):
        text = f"GET /api/{i} {'failed' if i % 10 == 0 else 'ok'}"
        levelled.append([str(now - (60 - i) * 10**9 + 7_123), text, {"trace_id": f"t{i}"}])
    assert (
        push(
            server,
            ({"job": "web", "level": "error"}, levelled[::10]),
            ({"job": "web", "level": "info"}, [one for i, one in enumerate(levelled) if i % 10]),
            ({"job": "db"}, [[str(now - 5 * 10**9), 'level=warn msg="slow query" took=1.5s rows=10']]),
        ).status_code
        == 204
    )
    return server


@pytest.mark.feature("L5")
def test_pushed_streams_come_back_as_they_were(server: Any, now: int) -> None:
    """Labels, nanoseconds, line and structured metadata of a JSON push are what query_range answers."""
    labels = {"job": "api", "env": "prod", "filename": "/var/log/a.log"}
    sent = [[str(now - 2_000_000_123), "one"], [str(now - 1_000_000_456), "two ş", {"trace_id": "abc"}]]
    answer = push(server, (labels, sent))
    assert (answer.status_code, answer.content) == (204, b"")
    found = ask(server, "query_range", query='{job="api"}', start=now - 10**10, end=now, direction="forward")
    assert found["resultType"] == "streams"
    assert found["encodingFlags"] == ["categorize-labels"]
    assert found["result"] == [{"stream": labels, "values": [
        [sent[0][0], "one", {"structuredMetadata": {"service": "api", "environment": "prod"}}],
        [sent[1][0], "two ş", {"structuredMetadata": {
            "service": "api", "environment": "prod", "trace_id": "abc"}}],
    ]}]  # fmt: skip
    line = search(server, "trace_id:abc", dataset="api")[0]
    assert (line["message"], line["service"], line["environment"]) == ("two ş", "api", "prod")
    assert search(server, "labels.filename:*") != []


@pytest.mark.feature("L5")
def test_protobuf_is_pushed_as_promtail_does(server: Any, now: int) -> None:
    """Snappy-compressed protobuf with labels as text, escapes in them undone."""
    body = message(
        (r'{app="shop \"x\"", host="h1"}', [(now + 5, "level=error boom", {"user": "7"})]),
        ('{app="b"}', [(now, '{"msg":"paid","request_id":"r-9","level":"warn"}', {})]),
    )
    answer = server.client.post(PUSH, content=body, headers={"Content-Type": "application/x-protobuf"})
    assert answer.status_code == 204, answer.text
    shop = search(server, "", dataset="shop-x")[0]
    assert shop["labels"] == {"app": 'shop "x"', "host": "h1"}
    assert (shop["level"], shop["host"], shop["user"]) == ("ERROR", "h1", "7")
    paid = search(server, "request_id:r-9")[0]
    assert (paid["level"], paid["message"]) == ("warn", '{"msg":"paid","request_id":"r-9","level":"warn"}')


@pytest.mark.feature("L5")
def test_the_python_client_delivers(server: Any) -> None:
    """python-logging-loki's handler: tags become labels, the level is told."""
    server.server.clock.advance(5)
    handler = logging_loki.LokiHandler(
        url=f"{server.url}{PUSH}", tags={"application": "billing"}, version="1"
    )
    log = logging.getLogger("billing.loki")
    log.propagate = False
    log.addHandler(handler)
    log.error("card %s declined", 7, extra={"tags": {"shop": "ankara"}})
    log.removeHandler(handler)
    line = wait_until(lambda: search(server, "", dataset="billing"))[0]
    assert line["message"] == "card 7 declined"
    assert line["level"] == "error"
    assert line["labels"]["shop"] == "ankara"


@pytest.mark.feature("L5")
def test_bad_pushes_are_refused_in_lokis_words(server: Any, now: int) -> None:
    """What cannot be read is 400 as plain text; of a batch with a line too old the others are kept."""
    post = server.client.post
    for body, reason in (
        (b"{", "couldn't parse push request"),
        (b'{"streams":[{"stream":{"a":1},"values":[]}]}', "Value is not a string"),
        (b'{"streams":[{"stream":{"a":"b"},"values":[[5,"x"]]}]}', "error reading entry timestamp"),
        (b'{"streams":[{"stream":{"a":"b"},"values":[["x","x"]]}]}', "error reading entry timestamp"),
        (b'{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}', "array must contain"),
        (b'{"streams":[{"stream":{},"values":[["1","x"]]}]}', "at least one label pair is required"),
    ):
        answer = post(PUSH, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/plain")
        assert reason in answer.text
    for content, reason in (
        (b"no snappy", "snappy"),
        (message(("{a=b}", [(now, "x", {})])), "error parsing labels"),
    ):
        answer = post(PUSH, content=content, headers={"Content-Type": "application/x-protobuf"})
        assert answer.status_code == 400
        assert reason in answer.text
    assert post(PUSH, content=b"", headers={"Content-Type": "text/html"}).status_code == 415
    assert server.client.get(PUSH).status_code == 405
    answer = push(server, ({"app": "x"}, [["1", "old"], [str(now), "new"]]))
    assert answer.status_code == 400
    assert "entry for stream '{app=\"x\"}' was refused" in answer.text
    assert "older than the 90 days" in answer.text
    assert [line["message"] for line in search(server, "", dataset="x")] == ["new"]
    packed = gzip.compress(b'{"streams":[{"stream":{"app":"gz"},"values":[["%d","x"]]}]}' % now)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert post(PUSH, content=packed, headers=headers).status_code == 204
    server.server.house.rooms[1].ingest._rows = 10**9
    answer = push(server, ({"app": "x"}, [[str(now), "full"]]))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    server.server.house.rooms[1].ingest._rows = 0


@pytest.mark.feature("L5")
def test_grafanas_save_and_test_passes(server: Any) -> None:
    """The health check of Grafana's data source: vector(1)+vector(1) at four seconds past the epoch is 2."""
    found = ask(server, "query", query="vector(1)+vector(1)", direction="backward", time="4000000000")
    assert found["resultType"] == "vector"
    assert found["result"] == [{"metric": {}, "value": [4000000000, "2"]}]


@pytest.mark.feature("L5")
def test_grafanas_label_browser_is_answered(filled: Any, now: int) -> None:
    """Labels, their values (also narrowed by a selector), series and the size of a query."""
    span = {"start": now - 10**11, "end": now + 1}
    assert ask(filled, "labels", **span) == ["dataset", "job", "level"]
    assert ask(filled, "label/job/values", **span) == ["db", "web"]
    assert ask(filled, "label/job/values", query='{level="error"}', **span) == ["web"]
    assert {"db", "web"} <= set(ask(filled, "label/dataset/values", **span))
    assert {"error", "info", "warning"} <= set(ask(filled, "label/level/values", **span))
    series = ask(filled, "series", **{"match[]": '{job="web"}'}, **span)
    assert series == [{"job": "web", "level": "error"}, {"job": "web", "level": "info"}]
    stats = ask(filled, "index/stats", query='{dataset="web"}', **span).json()
    assert (stats["streams"], stats["entries"]) == (1, 60)
    assert stats["bytes"] > 0
    asked = filled.client.post("/loki/api/v1/labels", data={"start": now - 10**11, "end": now})
    assert asked.json()["status"] == "success"


@pytest.mark.feature("L5")
def test_volumes_are_told_by_label_as_the_logs_drilldown_asks(filled: Any, now: int) -> None:
    """Bytes by service, by level and by any label, in one sum or by steps, the biggest first."""
    span = {"start": now - 10**11, "end": now + 1}

    def volumes(query: str, **more: Any) -> list[tuple[dict[str, str], int]]:
        found = ask(filled, "index/volume", query=query, **span, **more)
        assert found["resultType"] == "vector"
        return [(one["metric"], int(one["value"][1])) for one in found["result"]]

    by_service = volumes('{service_name=~".+"}', targetLabels="service_name")
    assert [metric for metric, _ in by_service] == [{"service_name": "web"}, {"service_name": "db"}]
    assert by_service[0][1] > 20 * by_service[1][1] > 0
    by_job = volumes('{job=~".+"}')
    assert [metric for metric, _ in by_job] == [{"job": "web"}, {"job": "db"}]
    # A roll-up's lines are of the mean size, which is near where sizes are.
    assert by_job[0][1] == pytest.approx(by_service[0][1], rel=0.3)
    levels = volumes('{dataset="web"}', targetLabels="level")
    by_level = {metric["level"]: size for metric, size in levels}
    assert by_level["info"] == pytest.approx(9 * by_level["error"], rel=0.1)
    assert volumes('{job="web"}', limit=1, targetLabels="job,level")[0][0] == {"job": "web", "level": "info"}
    assert volumes('{job="web"} |= "failed"')[0][1] < by_job[0][1] / 5
    names = volumes('{job="web"}', aggregateBy="labels", targetLabels="job,level,none")
    assert [metric for metric, _ in names] == [{"job": ""}, {"level": ""}]
    steps = ask(filled, "index/volume_range", query='{job="web"}', step="20s", **span)
    assert steps["resultType"] == "matrix"
    assert sum(int(size) for _, size in steps["result"][0]["values"]) == by_job[0][1]
    assert 3 <= len(steps["result"][0]["values"]) <= 4
    assert ask(filled, "index/volume", 400, query='{job="web"}', aggregateBy="moon", **span)
    assert ask(filled, "index/volume", 400, query='rate({a="b"}[1m])', **span)


QUERIES = [
    ('{job="web"}', 60),
    ('{job=~"w.+"}', 60),
    ('{job=~"w"}', 0),
    ('{job!="web", job=~".+"}', 1),
    ('{job!~"d.", job=~".+"}', 60),
    ('{job="web", level="error"}', 6),
    ('{job="web", level="ERROR"}', 6),
    ('{service_name="web"}', 60),
    ('{job="web"} |= "failed"', 6),
    ('{job="web"} |= "FAILED"', 0),
    ('{job="web"} |~ "(?i)FAIL"', 6),
    ('{job="web"} != "failed"', 54),
    ('{job="web"} !~ "o[k]"', 6),
    ('{job="web"} |= "/api/1" != "failed"', 10),
    ('{job="web"} |= "pi/12 o"', 1),
    ('{job="web"} |= "failed" or "/api/11"', 7),
    ('{job="web"} |= `/api/2 `', 1),
    ('{job="web"} | trace_id="t10"', 1),
    ('{job="web"} | detected_level="error"', 6),
    ('{job="db"} | logfmt | rows > 5 | took="1.5s"', 1),
    ('{job="db"} | logfmt | rows > 50', 0),
    ('{job="db"} | json | drop __error__ | __error__=""', 1),
]


@pytest.mark.feature("L5")
def test_log_queries_select_lines(filled: Any, now: int) -> None:
    """Selectors, line filters, label filters and parsers take the lines that Loki would."""
    span = {"start": now - 10**11, "end": now + 1, "limit": 1000, "step": "1000ms"}
    for query, count in QUERIES:
        found = ask(filled, "query_range", query=query, **span)
        assert sum(len(stream["values"]) for stream in found["result"]) == count, query


@pytest.mark.feature("L5")
def test_directions_and_limits(filled: Any, now: int) -> None:
    """Backward gives the newest first, forward the oldest; [start, end) is half open; limits are checked."""
    span: dict[str, Any] = {"query": '{job="web"}', "start": now - 60 * 10**9, "end": now}

    def numbers(**more: Any) -> list[int]:
        result = ask(filled, "query_range", **span, **more)["result"]
        rows = sorted((row for stream in result for row in stream["values"]), key=lambda row: int(row[0]))
        return [int(row[1].split("/")[2].split(" ")[0]) for row in rows]

    assert numbers(limit=3) == [57, 58, 59]
    assert numbers(limit=3, direction="forward") == [0, 1, 2]
    first = now - 60 * 10**9 + 7_123
    for end, count in ((first - 1000, 0), (first + 1000, 1)):
        found = ask(filled, "query_range", query='{job="web"}', start=first - 1000, end=end)
        assert len(found["result"]) == count
    for more, reason in (
        ({"limit": 0}, "limit must be a positive value"),
        ({"limit": 99999}, "max entries limit per query exceeded"),
        ({"direction": "sideways"}, "invalid direction"),
    ):
        assert reason in ask(filled, "query_range", 400, **span, **more).text


@pytest.mark.feature("L5")
def test_metric_queries_count_lines(filled: Any, now: int) -> None:
    """count_over_time, rate, bytes, sums by label, arithmetic and topk over the same lines."""
    span: dict[str, Any] = {"start": now - 30 * 10**9, "end": now, "step": "10000ms"}

    def series(query: str) -> dict[str, list[str]]:
        found = ask(filled, "query_range", query=query, **span)
        assert found["resultType"] == "matrix"
        return {
            ",".join(f"{k}={v}" for k, v in sorted(one["metric"].items())): [v for _, v in one["values"]]
            for one in found["result"]
        }

    volume = 'sum by (level, detected_level) (count_over_time({job="web"} |= `GET` | drop __error__ [10s]))'
    assert series(volume) == {
        "detected_level=error,level=error": ["1", "1", "1", "1"],
        "detected_level=info,level=info": ["9", "9", "9", "9"],
    }
    # The same from the heads of blocks, where only datasets and levels are asked for.
    heads = 'sum by (level, dataset) (count_over_time({dataset="web"} | drop __error__ [10s]))'
    assert series(heads) == {"dataset=web,level=error": ["1"] * 4, "dataset=web,level=info": ["9"] * 4}
    assert series('sum(rate({dataset=~"w.b", level!="info"}[10s]))') == {"": ["0.1"] * 4}
    assert series('sum by (dataset) (count_over_time({level="WARN"}[1m]))') == {"dataset=db": ["1"]}
    assert series('sum(rate({job="web"}[10s]))') == {"": ["1", "1", "1", "1"]}
    assert series('sum(count_over_time({job=~".+"}[30s])) / 2') == {"": ["15", "15", "15", "15.5"]}
    assert series('count_over_time({job="web", level="error"}[20s])') == {"job=web,level=error": ["2"] * 4}
    assert series('max without (level) (count_over_time({job="web"}[10s]))') == {"job=web": ["9"] * 4}
    assert series('topk(1, sum by (level) (count_over_time({job="web"}[10s])))') == {"level=info": ["9"] * 4}
    assert series('sum(count_over_time({job="web"}[10s])) > 100') == {}
    assert series('sum(count_over_time({job="web"}[10s] offset 30s))') == {"": ["10"] * 3}
    bytes_ = series('sum(bytes_over_time({job="db"}[1m]))')
    assert bytes_ == {"": ["45"]}
    assert series("1 + 2 * 3") == {"": ["7", "7", "7", "7"]}
    instant = ask(filled, "query", query='sum by (job) (count_over_time({job=~".+"}[1h]))', time=now)
    assert {one["metric"]["job"]: one["value"][1] for one in instant["result"]} == {"web": "60", "db": "1"}


@pytest.mark.feature("L5")
def test_lines_of_other_doors_have_labels_too(server: Any, clock: Any, now: int) -> None:
    """A line that came by _bulk is found by dataset, service, level and any of its fields."""
    line = {"message": "paid", "service": "shop", "level": "ERROR", "http": {"status": 500}, "host": "a"}
    server.client.post("/api/mamimon/logs?dataset=orders", json=line)
    found = ask(
        server, "query_range", query='{dataset="orders", level="error"} | http_status >= 500', end=now + 10**9
    )
    assert found["result"][0]["stream"] == {
        "dataset": "orders", "service": "shop", "host": "a", "level": "error"
    }  # fmt: skip
    assert found["result"][0]["values"][0][1:] == ["paid", {"structuredMetadata": {"http_status": "500"}}]
    plain = server.client.get(
        "/loki/api/v1/query_range", params={"query": '{service="shop"}', "end": now + 10**9}
    )
    assert plain.json()["data"]["result"][0]["stream"]["http_status"] == "500"


REFUSED = [
    ("", "parse error at line 1, col 1: syntax error: unexpected $end"),
    ("{", "parse error at line 1, col 2: syntax error: unexpected $end, expecting IDENTIFIER"),
    ('{job="x"', "unexpected $end, expecting } or ,"),
    ('{job="x}', "literal not terminated"),
    ("{job=x}", "parse error at line 1, col 6: syntax error: unexpected IDENTIFIER, expecting STRING"),
    ("{}", "queries require at least one regexp or equality matcher"),
    ('{job=~".*"}', "queries require at least one regexp or equality matcher"),
    ('{job=~"("}', "error parsing regexp: missing )"),
    ('{job="x"} |~ "["', "error parsing regexp"),
    ('{job="x"} | pattern "<_>"', "| pattern is not supported by mamimon"),
    ('{job="x"} | json | line_format "{{.a}}"', "| line_format is not supported by mamimon"),
    ('quantile_over_time(0.9, {job="x"} | unwrap a [1m])', "quantile_over_time is not supported"),
    ('sum({job="x"})', "unexpected )"),
    ('{job="x"} + 1', "unexpected +"),
    ('count_over_time({job="x"})', "unexpected ), expecting ["),
    ("((((" * 30, "nested too deep"),
]


@pytest.mark.feature("L5")
def test_what_is_not_supported_says_so(server: Any) -> None:
    """A wrong or unsupported query answers 400 with Loki's kind of text, place included."""
    for query, reason in REFUSED:
        answer = ask(server, "query_range", 400, query=query)
        assert answer.headers["content-type"].startswith("text/plain")
        assert reason in answer.text, query


@pytest.mark.feature("L5")
def test_other_questions_are_refused(filled: Any) -> None:
    """Unknown paths are 404; log queries at an instant, odd times, steps and huge answers 400."""
    assert ask(filled, "patterns", 404).text == "404 page not found\n"
    assert "not supported as an instant query" in ask(filled, "query", 400, query='{job="x"}').text
    for more in ({"start": "x"}, {"start": "5", "end": "1"}, {"step": "x"}, {"step": "0"}):
        assert ask(filled, "query_range", 400, query='sum(rate({job="web"}[1m]))', **more).text
    answer = ask(filled, "query_range", 400, query="vector(1)", start="0", end="4000000000", step="1")
    assert "exceeded maximum resolution of 11,000 points" in answer.text
    assert ask(filled, "series", 400).text == "0 matcher groups supplied\n"


@pytest.mark.feature("L5")
def test_a_closed_server_asks_for_a_token(server: Any, now: int) -> None:
    """Push needs the scope ingest and questions the scope read; refusals are plain text."""
    person = {"name": "a", "role": "admin", "password": "correct horse"}
    assert server.client.post("/api/mamimon/users", json=person).status_code == 201
    answer = push(server, ({"app": "x"}, [[str(now), "x"]]))
    assert (answer.status_code, answer.text) == (401, "missing or wrong credentials\n")
    ready = server.client.get("/ready")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    made = server.client.post(
        "/api/mamimon/tokens", json={"name": "shipper", "scope": "ingest"}, auth=("a", "correct horse")
    )
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert push(server, ({"app": "x"}, [[str(now), "x"]]), **bearer).status_code == 204
    assert server.client.get("/loki/api/v1/labels", headers=bearer).status_code == 403


@pytest.mark.feature("L5")
def test_fuzzed_pushes_are_refused_never_our_mistake(server: Any, now: int) -> None:
    """Mutated pushes of both encodings answer 204 or 400."""
    dice = random.Random(3)
    plain = cramjam.snappy.decompress_raw(message(('{a="b", c="d"}', [(now, "line", {"m": "n"})] * 3)))
    text = b'{"streams":[{"stream":{"a":"b"},"values":[["%d","x",{"c":"d"}],["%d","y"]]}]}' % (now, now)
    for i in range(FUZZ):
        body = bytearray(bytes(plain) if i % 2 else text)
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(len(body))
            body[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 3))
        kind = "application/x-protobuf" if i % 2 else "application/json"
        sent = bytes(cramjam.snappy.compress_raw(bytes(body))) if i % 2 else bytes(body)
        answer = server.client.post(PUSH, content=sent, headers={"Content-Type": kind})
        assert answer.status_code in {204, 400}, (bytes(body), answer.text)


@pytest.mark.feature("L5")
def test_fuzzed_queries_are_read_or_refused() -> None:
    """Random LogQL parses or raises the one error that doors answer 400."""
    dice = random.Random(4)
    parts = [
        "{", "}", "a", "=", "=~", "!=", '"x"', "`y`", "|=", "|~", "|", "json", "drop", "(", ")", "[5m]", "[",
        "]", "sum", "by", "rate", "count_over_time", "5", "5m", "+", ">", "vector", ",", "topk", "offset",
        "-", " ", "\\", '"', "{a=\"b\"}", "or", "ğ", "\x00",
    ]  # fmt: skip
    for _ in range(FUZZ * 5):
        text = " ".join(dice.choices(parts, k=dice.randint(1, 14)))
        try:
            parse(text)
        except Problem as problem:
            assert problem.status == 400
