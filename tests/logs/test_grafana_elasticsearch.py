"""The requests that Grafana's Elasticsearch data source makes, with the envelopes of its own tests."""

# ruff: noqa: E501 (bodies as they are sent)
from __future__ import annotations

import json
from typing import Any

import pytest

from mamimon.logs.dates import iso

INDEX = "logs-shop-*"
HEADERS = {"Content-Type": "application/x-ndjson", "User-Agent": "Grafana/12.1.0"}


@pytest.fixture
def filled(server: Any) -> tuple[Any, int]:
    """A server with a line a second for two minutes, and its clock in milliseconds."""
    now = int(server.server.clock.now())
    lines: list[str] = []
    for n in range(120):
        at = now - 120 + n
        level = "error" if n % 4 == 0 else "info"
        document = {
            "@timestamp": iso(at),
            "level": level,
            "message": f"line {n} {level}",
            "took": n,
            "host": f"web{n % 2}",
        }
        lines += [
            json.dumps({"create": {"_index": f"logs-shop-{iso(at)[:10].replace('-', '.')}"}}),
            json.dumps(document),
        ]
    assert not server.client.post("/es/_bulk", content="\n".join(lines) + "\n").json()["errors"]
    return server, now * 1000


def ask(server: Any, *bodies: dict[str, Any]) -> list[Any]:
    """One `_msearch` as Grafana writes it."""
    head = {"ignore_unavailable": True, "index": INDEX, "search_type": "query_then_fetch"}
    text = "".join(json.dumps(part) + "\n" for body in bodies for part in (head, body))
    answer = server.client.post("/es/_msearch?max_concurrent_shard_requests=5", content=text, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    responses = answer.json()["responses"]
    assert len(responses) == len(bodies)
    return list(responses)


def query(now: int, lucene: str = "*", seconds: int = 120) -> dict[str, Any]:
    """The filter that every query of a panel has."""
    window = {"format": "epoch_millis", "gte": now - seconds * 1000, "lte": now}
    return {
        "bool": {
            "filter": [
                {"range": {"@timestamp": window}},
                {"query_string": {"analyze_wildcard": True, "query": lucene}},
            ]
        }
    }


@pytest.mark.feature("L2")
def test_save_and_test(filled: tuple[Any, int]) -> None:
    """Saving the data source asks who and how we are and whether the time field is a date."""
    es = filled[0].client
    assert es.get("/es/").json()["version"]["build_flavor"] == "default"
    health = es.get("/es/_cluster/health?wait_for_status=yellow")
    assert health.status_code == 200 and health.json()["status"] == "green"
    caps = es.get(f"/es/{INDEX}/_field_caps?fields=@timestamp").json()["fields"]
    assert caps["@timestamp"]["date"]["type"] == "date"
    for answer in es.get(f"/es/{INDEX}/_mapping").json().values():
        fields = answer["mappings"]["properties"]
        assert fields["@timestamp"]["type"] == "date" and fields["took"]["type"] == "long"
        assert fields["level"]["fields"]["keyword"]["type"] == "keyword"


@pytest.mark.feature("L2")
def test_a_panel_of_counts_and_one_of_averages_by_host(filled: tuple[Any, int]) -> None:
    """Two metric queries of one panel are answered in their order, by time and by terms."""
    server, now = filled
    bounds = {"max": now, "min": now - 120_000}
    steps = {"field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0, "extended_bounds": bounds,
             "format": "epoch_millis", "time_zone": "UTC"}  # fmt: skip
    counts = {
        "aggs": {"2": {"aggs": {}, "date_histogram": steps}},
        "query": query(now, "level:error"),
        "size": 0,
    }
    measures = {
        "1": {"avg": {"field": "took"}}, "4": {"percentiles": {"field": "took", "percents": ["50", "95"]}},
        "5": {"extended_stats": {"field": "took", "sigma": 2}},
        "6": {"cardinality": {"field": "level.keyword"}}, "7": {"derivative": {"buckets_path": "1"}},
    }  # fmt: skip
    terms = {"field": "host.keyword", "min_doc_count": 1, "order": {"_term": "desc"}, "size": 500}
    hosts = {"3": {"aggs": {"2": {"aggs": measures, "date_histogram": steps}}, "terms": terms}}
    first, second = ask(server, counts, {"aggs": hosts, "query": query(now), "size": 0})
    buckets = first["aggregations"]["2"]["buckets"]
    assert first["status"] == 200 and sum(one["doc_count"] for one in buckets) == 30
    assert all(one["key_as_string"] == str(one["key"]) and one["key"] % 30_000 == 0 for one in buckets)
    groups = second["aggregations"]["3"]["buckets"]
    assert [one["key"] for one in groups] == ["web1", "web0"]
    inner = [one for one in groups[1]["2"]["buckets"] if one["doc_count"]]
    assert sum(one["doc_count"] for one in inner) == 60
    assert inner[0]["1"]["value"] == inner[0]["5"]["avg"]
    assert set(inner[0]["4"]["values"]) == {"50.0", "95.0"}
    assert "7" not in groups[1]["2"]["buckets"][0]


@pytest.mark.feature("L2")
def test_a_panel_of_rates_and_pipelines_ordered_by_a_percentile(filled: tuple[Any, int]) -> None:
    """What the editor's other metrics ask: moving functions, differences, rates, first values, orders in brackets."""
    server, now = filled
    bounds = {"max": now, "min": now - 120_000}
    steps = {"field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0, "extended_bounds": bounds,
             "format": "epoch_millis"}  # fmt: skip
    mean = {"buckets_path": "1", "window": 2, "script": "MovingFunctions.unweightedAvg(values)", "shift": 1}
    metrics = {
        "1": {"max": {"field": "took"}}, "2": {"moving_fn": mean}, "3": {"serial_diff": {"buckets_path": "1", "lag": 1}},
        "4": {"cumulative_sum": {"buckets_path": "_count", "format": "0"}}, "5": {"rate": {"field": "took", "unit": "minute"}},
        "6": {"top_metrics": {"metrics": [{"field": "host"}], "size": "1", "sort": [{"took": "desc"}]}},
    }  # fmt: skip
    orders = {"7": {"percentiles": {"field": "took"}}, "8": {"extended_stats": {"field": "took"}}}
    terms = {"field": "host.keyword", "size": 500, "min_doc_count": 1}
    bodies = [
        {"aggs": {"9": {"terms": {**terms, "order": {order: "desc"}}, "aggs": {**orders, "t": {"date_histogram": steps, "aggs": metrics}}}},
         "query": query(now), "size": 0}
        for order in ("7[95.0]", "8[std_deviation]", "8[std_deviation_bounds_upper]")
    ]  # fmt: skip
    for answer in ask(server, *bodies):
        groups = answer["aggregations"]["9"]["buckets"]
        assert groups[0]["key"] in {"web0", "web1"} and len(groups) == 2
        inner = [one for one in groups[0]["t"]["buckets"] if one["doc_count"]]
        assert inner[1]["2"]["value"] == (inner[0]["1"]["value"] + inner[1]["1"]["value"]) / 2
        assert inner[1]["3"]["value"] == inner[1]["1"]["value"] - inner[0]["1"]["value"]
        assert inner[-1]["4"]["value"] == 60 and inner[-1]["4"]["value_as_string"] == "60"
        assert sum(one["5"]["value"] for one in inner) * 0.5 == sum(range(int(groups[0]["key"][-1]), 120, 2))
        assert inner[0]["6"]["top"][0]["metrics"] == {"host": groups[0]["key"]}
    assert [one["key"] for one in ask(server, bodies[0])[0]["aggregations"]["9"]["buckets"]] == [
        "web1",
        "web0",
    ]


@pytest.mark.feature("L2")
def test_explore_shows_lines_with_their_histogram(filled: tuple[Any, int]) -> None:
    """The logs query gives the newest lines with sort values, marked words, fields and counts by level."""
    server, now = filled
    window = {"format": "epoch_millis", "gte": now - 120_000, "lte": now}
    steps = {"extended_bounds": {"max": now, "min": now - 120_000}, "field": "@timestamp",
             "fixed_interval": "1000ms", "format": "epoch_millis", "min_doc_count": 0}  # fmt: skip
    asked = {"query_string": {"analyze_wildcard": True, "query": "message:error"}}
    body = {
        "aggs": {"1": {"aggs": {}, "date_histogram": steps}},
        "docvalue_fields": ["@timestamp"],
        "fields": [{"field": "@timestamp", "format": "strict_date_optional_time_nanos"}],
        "highlight": {"fields": {"*": {}}, "fragment_size": 2147483647, "post_tags": ["@/HIGHLIGHT@"],
                      "pre_tags": ["@HIGHLIGHT@"]},
        "query": {"bool": {"filter": [{"range": {"@timestamp": window}}, asked]}},
        "script_fields": {},
        "size": 10,
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}],
    }  # fmt: skip
    answer = ask(server, body)[0]
    hits = answer["hits"]["hits"]
    assert [hit["_source"]["took"] for hit in hits] == [n for n in range(119, -1, -1) if n % 4 == 0][:10]
    assert hits[0]["highlight"] == {"message": ["line 116 @HIGHLIGHT@error@/HIGHLIGHT@"]}
    assert hits[0]["sort"][0] == now - 4_000 and len(hits[0]["sort"]) == 2
    assert hits[0]["fields"]["@timestamp"][0].startswith(iso(now / 1000 - 4)[:19])
    assert sum(one["doc_count"] for one in answer["aggregations"]["1"]["buckets"]) == 30
    older = ask(server, {**body, "search_after": hits[-1]["sort"]})[0]["hits"]["hits"]
    assert older[0]["_source"]["took"] == 76
    # Their own test data has the filter and the sort as objects, not lists.
    order = {"@timestamp": {"order": "desc", "unmapped_type": "boolean"}, "_doc": {"order": "desc"}}
    single = {**body, "query": {"bool": {"filter": {"range": {"@timestamp": window}}}}, "sort": order}
    assert ask(server, single)[0]["hits"]["hits"][0]["_source"]["took"] == 119


@pytest.mark.feature("L2")
def test_variables_and_annotations(filled: tuple[Any, int]) -> None:
    """A variable lists the values of a field, an annotation query lines of a window."""
    server, now = filled
    variable = {
        "aggs": {"1": {"terms": {"field": "host.keyword", "order": {"_key": "asc"}, "size": 500}}},
        "query": {
            "bool": {"filter": [{"range": {"@timestamp": {"format": "epoch_millis", "gte": 0, "lte": now}}}]}
        },
        "size": 0,
    }
    ended = {"range": {"@timestamp": {"from": now - 10_000, "to": now, "format": "epoch_millis"}}}
    either = {"bool": {"should": [ended], "minimum_should_match": 1}}
    annotation = {
        "query": {"bool": {"filter": [either, {"query_string": {"query": "level:error"}}]}}, "size": 10_000,
    }  # fmt: skip
    first, second = ask(server, variable, annotation)
    assert [one["key"] for one in first["aggregations"]["1"]["buckets"]] == ["web0", "web1"]
    assert {hit["_source"]["took"] for hit in second["hits"]["hits"]} == {112, 116}


@pytest.mark.feature("L2")
def test_one_wrong_query_of_a_panel_fails_alone(filled: tuple[Any, int]) -> None:
    """An error is the answer of its own query, with a root cause that Grafana shows."""
    server, now = filled
    wrong, right = ask(server, {"query": query(now, "level:("), "size": 0}, {"query": query(now), "size": 0})
    assert wrong["status"] == 400 and "Failed to parse query" in wrong["error"]["root_cause"][0]["reason"]
    assert right["status"] == 200 and right["hits"]["total"]["value"] == 120
