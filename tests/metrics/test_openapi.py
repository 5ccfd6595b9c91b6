"""Every path, method and parameter of Prometheus' official OpenAPI document, asked and held to its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.metrics.conftest import App, Scraped

Start = Callable[..., Scraped]
Ask = dict[str, Any]

SPAN = {"start": "@-300", "end": "@0"}
SEARCH = {
    "match[]": "up",
    "search[]": "u",
    "fuzz_threshold": "50",
    "fuzz_alg": "subsequence",
    "case_sensitive": "true",
    "sort_by": "alpha",
    "sort_dir": "asc",
    "include_score": "true",
    "limit": "5",
    "batch_size": "2",
    **SPAN,
}
QUERY = {"query": "up", "timeout": "10s", "lookback_delta": "1m", "stats": "all", "limit": "3"}
ASKED: dict[str, Ask] = {
    "/query": {**QUERY, "time": "@0"},
    "/query_range": {**QUERY, **SPAN, "step": "15s"},
    "/query_exemplars": {"query": "up", **SPAN},
    "/format_query": {"query": "sum(up)by(job)"},
    "/parse_query": {"query": "sum(up)by(job)"},
    "/labels": {"match[]": "up", "limit": "5", **SPAN},
    "/label/{name}/values": {"match[]": "up", "limit": "5", **SPAN},
    "/series": {"match[]": "up", "limit": "5", **SPAN},
    "/metadata": {"limit": "5", "limit_per_metric": "1", "metric": "http_requests"},
    "/scrape_pools": {},
    "/scrape_pools/config": {"scrapePool": "app"},
    "/targets": {"scrapePool": "app", "state": "active"},
    "/targets/metadata": {"match_target": '{job="app"}', "metric": "http_requests", "limit": "5"},
    "/targets/relabel_steps": {"scrapePool": "app", "labels": '{"__address__":"a:1","drop":"me"}'},
    "/rules": {
        "type": "alert",
        "rule_name[]": "TargetDown",
        "rule_group[]": "targets",
        "file[]": "builtin",
        "match[]": '{severity="critical"}',
        "exclude_alerts": "true",
        "group_limit": "5",
        "group_next_token": "",
    },
    "/alerts": {},
    "/alertmanagers": {},
    "/status/config": {},
    "/status/runtimeinfo": {},
    "/status/buildinfo": {},
    "/status/flags": {},
    "/status/tsdb": {"limit": "5"},
    "/status/tsdb/blocks": {},
    "/status/walreplay": {},
    "/status/self_metrics": {"metric_name_pattern": "mamimon_.*"},
    "/notifications": {},
    "/features": {},
    "/search/metric_names": {**SEARCH, "include_metadata": "true"},
    "/search/label_names": SEARCH,
    "/search/label_values": {**SEARCH, "label": "job"},
    "/admin/tsdb/delete_series": {"match[]": "up", **SPAN},
    "/admin/tsdb/clean_tombstones": {},
    "/admin/tsdb/snapshot": {"skip_head": "true"},
    "/read": {},
    "/write": {},
    "/otlp/v1/metrics": {},
}
# What answers with Prometheus' own error for a feature that is off.
GAPS = {"/search/metric_names", "/search/label_names", "/search/label_values"}
OFF_BY_DEFAULT = {
    "/admin/tsdb/delete_series",
    "/admin/tsdb/clean_tombstones",
    "/admin/tsdb/snapshot",
}
# Doors whose bodies are protobuf: an empty one is an empty message.
DOORS = {
    "/read": {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
    "/write": {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
    "/otlp/v1/metrics": {"Content-Type": "application/x-protobuf"},
}
EMPTY_SNAPPY = b"\0"


@pytest.fixture(scope="module")
def document(material: Path) -> dict[str, Any]:
    """The official document."""
    loaded: dict[str, Any] = yaml.safe_load(
        (material / "prom-http-api" / "openapi_3.1_golden.yaml").read_text()
    )
    return loaded


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of everything that can be asked."""
    verbs = ("get", "post", "put", "delete")
    return [
        (path, verb, item[verb]) for path, item in document["paths"].items() for verb in verbs if verb in item
    ]


def parameters_of(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    """The names of an operation's parameters: of the query, the path or the form."""
    names = {one["name"] for one in operation.get("parameters", [])}
    form = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded")
    if form:
        schema = form["schema"]
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        names |= set(schema["properties"])
    return names


def check(document: dict[str, Any], schema: dict[str, Any], body: Any) -> None:
    """Hold a body to a schema of the document; the document's own `components` resolve its references."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(body)


def ask(one: Scraped, path: str, verb: str, given: Ask) -> Any:
    """Send one request: a GET's parameters in the query, others' in a form."""
    now = one.clock.now()
    values = {
        name: str(now + float(text[1:])) if text.startswith("@") else text
        for name, text in given.items()
        if text
    }
    url = "/api/v1" + path.replace("{name}", "job")
    if path in DOORS:
        content = b"" if path == "/otlp/v1/metrics" else EMPTY_SNAPPY
        return one.server.client.request(verb, url, content=content, headers=DOORS[path])
    if verb == "post" and not path.startswith("/admin"):
        return one.server.client.post(url, data=values)
    return one.server.client.request(verb, url, params=values)


@pytest.mark.feature("M4")
def test_each_path_and_parameter_of_the_official_document(
    scraped: Start, app: App, document: dict[str, Any]
) -> None:
    """Each operation answers in the document's shape with all its parameters given, or is a declared gap."""
    extra = "    relabel_configs:\n      - {regex: drop, action: labeldrop}\n"
    one = scraped(app.address, extra=extra)
    one.tick()
    asked = 0
    for path, verb, operation in operations(document):
        missing = parameters_of(document, operation) - set(ASKED[path]) - {"name"}
        assert not missing, f"{verb} {path}: nobody asks with {missing}"
        answer = ask(one, path, verb, ASKED[path])
        asked += 1
        where = f"{verb} {path}: {answer.status_code} {answer.text[:300]}"
        if path in GAPS | OFF_BY_DEFAULT:
            assert answer.status_code == 500, where
            check(document, {"$ref": "#/components/schemas/Error"}, answer.json())
            assert answer.json()["error"].endswith("disabled"), where
        elif path in DOORS:
            assert answer.status_code in (200, 204), where
        else:
            assert answer.status_code == 200, where
            content = operation["responses"]["200"]["content"]["application/json"]
            check(document, content["schema"], answer.json())
    assert asked == len(operations(document)) == 49


MISTAKES: list[tuple[str, Ask, str]] = [
    ("/query", {"limit": "x"}, 'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax'),
    ("/query", {"limit": "-1"}, 'invalid parameter "limit": limit must be non-negative'),
    (
        "/query",
        {"time": "x"},
        'invalid parameter "time": invalid time value for \'time\': cannot parse "x" to a valid timestamp',
    ),
    (
        "/query",
        {"lookback_delta": "x"},
        'error parsing lookback delta duration: cannot parse "x" to a valid duration',
    ),
    ("/query_range", {"start": ""}, 'invalid parameter "start": cannot parse "" to a valid timestamp'),
    ("/series", {"match[]": "{}"}, "match[] must contain at least one non-empty matcher"),
    ("/metadata", {"limit": "x"}, "limit must be a number"),
    ("/targets/metadata", {"limit": "x"}, "limit must be a number"),
    ("/targets/relabel_steps", {"scrapePool": ""}, "no scrapePool parameter provided"),
    ("/targets/relabel_steps", {"labels": "x"}, "error parsing labels: "),
    (
        "/targets/relabel_steps",
        {"scrapePool": "x"},
        'error retrieving scrape config: scrape pool "x" not found',
    ),
    ("/scrape_pools/config", {"scrapePool": "x"}, 'scrape pool "x" not found'),
    ("/status/tsdb", {"limit": "0"}, "limit must be a positive number"),
    ("/status/tsdb", {"limit": "10001"}, "limit must not exceed 10000"),
    ("/status/self_metrics", {"metric_name_pattern": "("}, "invalid metric_name_pattern: "),
    ("/parse_query", {"query": "sum("}, 'invalid parameter "query": '),
]


@pytest.mark.feature("M4")
def test_mistakes_are_answered_in_prometheus_words(server: Any, clock: Any, document: dict[str, Any]) -> None:
    """A wrong value is refused with 400 and the sentence that Prometheus 3.14 says."""
    for path, given, reason in MISTAKES:
        answer = ask(Scraped(server, clock), path, "get", {**ASKED[path], **given})
        body = answer.json()
        check(document, {"$ref": "#/components/schemas/Error"}, body)
        assert (answer.status_code, body["errorType"]) == (400, "bad_data"), (path, given, body)
        assert reason in body["error"], (path, given)


@pytest.mark.feature("M4")
def test_limit_stats_and_lookback_do_what_they_say(scraped: Start, app: App) -> None:
    """`limit` cuts with a warning, `stats` counts samples read, `lookback_delta` shortens the look back."""
    for status in ("200", "404", "500"):
        app.requests.labels("GET", status).inc()
    one = scraped(app.address)
    one.tick()
    get = one.server.client.get
    query = 'http_requests_total{job="app"}'
    whole = get("/api/v1/query", params={"query": query}).json()
    assert len(whole["data"]["result"]) == 3
    assert "warnings" not in whole
    assert "stats" not in whole["data"]
    cut = get("/api/v1/query", params={"query": query, "limit": 2}).json()
    assert len(cut["data"]["result"]) == 2
    assert cut["warnings"] == ["results truncated due to limit"]
    counted = get("/api/v1/query", params={"query": query, "stats": "all"}).json()["data"]["stats"]
    assert counted["samples"]["samplesRead"] == 3
    assert counted["timings"]["execTotalTime"] > 0
    odd = get("/api/v1/query", params={"query": query, "stats": "yes"}).json()
    assert 'value "yes" for parameter "stats" is deprecated' in odd["warnings"][0]
    one.clock.advance(10)
    at = one.clock.now()
    short = get("/api/v1/query", params={"query": query, "lookback_delta": "5s", "time": at}).json()
    assert short["data"]["result"] == []


@pytest.mark.feature("M4")
def test_the_tree_of_a_query(server: Any) -> None:
    """`parse_query` answers the tree that Prometheus 3.14 answered for the same expression."""
    query = "sum(rate(up[5m]))+on(a)group_left(b)up@start()"
    answer = server.client.post("/api/v1/parse_query", data={"query": query}).json()
    expected = (
        '{"bool":false,"lhs":{"expr":{"args":[{"anchored":false,"matchers":[{"name":"__name__","type":"=",'
        '"value":"up"}],"name":"up","offset":0,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":'
        'false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],'
        '"name":"rate","returnType":"vector","variadic":0},"type":"call"},"grouping":[],"op":"sum","param":'
        'null,"type":"aggregation","without":false},"matching":{"card":"many-to-one","fillValues":{"lhs":null,'
        '"rhs":null},"include":["b"],"labels":["a"],"on":true},"op":"+","rhs":{"anchored":false,"matchers":'
        '[{"name":"__name__","type":"=","value":"up"}],"name":"up","offset":0,"offsetExpr":null,"smoothed":'
        'false,"startOrEnd":"start","timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}'
    )
    assert answer == {"status": "success", "data": json.loads(expected)}


@pytest.mark.feature("M1")
def test_relabelling_step_by_step_and_a_job_without_its_secrets(scraped: Start, app: App) -> None:
    """Each rule's outcome is shown, nothing after a drop; the job's YAML hides what is secret."""
    extra = (
        "    basic_auth: {username: me, password: hunter2}\n"
        "    relabel_configs:\n"
        "      - {source_labels: [__address__], target_label: host, regex: '(.*):.*'}\n"
        "      - {source_labels: [host], regex: a, action: drop}\n"
        "      - {target_label: late, replacement: x}\n"
    )
    one = scraped(app.address, extra=extra)
    get = one.server.client.get
    steps = get(
        "/api/v1/targets/relabel_steps", params={"scrapePool": "app", "labels": '{"__address__":"a:1"}'}
    ).json()["data"]["steps"]
    assert [step["keep"] for step in steps] == [True, False, False]
    assert [step["output"] for step in steps] == [{"__address__": "a:1", "host": "a"}, {}, {}]
    assert steps[1]["rule"]["action"] == "drop"
    text = get("/api/v1/scrape_pools/config", params={"scrapePool": "app"}).json()["data"]["yaml"]
    shown = yaml.safe_load(text)
    assert shown["basic_auth"] == {"username": "me", "password": "<secret>"}
    assert shown["relabel_configs"][1] == {
        "action": "drop",
        "source_labels": ["host"],
        "separator": ";",
        "regex": "a",
        "replacement": "$1",
    }
