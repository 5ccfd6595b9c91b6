"""Every key of a search body and every parameter of the searching calls: done, or refused as Elasticsearch does."""

# ruff: noqa: E501 (tables)
from __future__ import annotations

import json
from typing import Any

import pytest

from tests.logs.test_elasticsearch import fill

SEARCH = "/es/logs-mami-ai-*/_search"
DONE: dict[str, Any] = {
    "query": {"match_all": {}}, "post_filter": {"term": {"level": "error"}}, "from": 1, "size": 2, "sort": ["duration_ms"],
    "search_after": [20], "aggs": {"a": {"max": {"field": "duration_ms"}}}, "aggregations": {}, "_source": ["level"],
    "fields": ["level"], "docvalue_fields": ["duration_ms"], "stored_fields": ["level"], "highlight": {"fields": {"*": {}}},
    "track_total_hits": 7, "version": True, "seq_no_primary_term": True, "timeout": "30s", "explain": True,
    "track_scores": True, "stats": ["panel"], "terminate_after": 5, "indices_boost": [{"logs-mami-ai-*": 2}], "ext": {},
    "profile": False, "script_fields": {}, "runtime_mappings": {}, "min_score": 0.5,
}  # fmt: skip
REFUSED: dict[str, Any] = {
    "profile": True, "script_fields": {"a": {"script": "1"}}, "runtime_mappings": {"a": {"type": "long"}},
    "collapse": {"field": "level"}, "suggest": {"a": {"text": "x", "term": {"field": "message"}}},
    "rescore": {"query": {"rescore_query": {"match_all": {}}}}, "knn": {"field": "v"},
    "rank": {"rrf": {}}, "retriever": {"standard": {}}, "sub_searches": [], "derived": {"a": {"type": "long"}},
}  # fmt: skip


def ask(server: Any, body: dict[str, Any], **params: str) -> Any:
    """What a search finds."""
    answer = server.client.post(SEARCH, json=body, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(server: Any, method: str, path: str, status: int, kind: str, **more: Any) -> str:
    """The reason of an error of that status and type."""
    answer = server.client.request(method, f"/es{path}", **more)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind), (path, more, answer.text)
    assert error["root_cause"][0]["reason"] == error["reason"]
    return str(error["reason"])


@pytest.mark.feature("L2")
def test_every_key_of_a_body_is_done_or_refused(server: Any) -> None:
    """What is done is answered alone and with all others; what is not says so by its name."""
    fill(server)
    for key, value in DONE.items():
        sort = {"sort": ["duration_ms"]} if key == "search_after" else {}
        ask(server, {**sort, key: value})
    path = SEARCH.removeprefix("/es")
    for key, value in REFUSED.items():
        reason = refused(server, "POST", path, 400, "illegal_argument_exception", json={key: value})
        assert reason == f"[{key}] is not supported by a log store"
    for key in ("quary", "Size", ""):
        reason = refused(server, "POST", path, 400, "parsing_exception", json={key: 1})
        assert reason == f"Unknown key for a VALUE_NUMBER in [{key}]."
    for key in (*DONE, *REFUSED):
        reason = refused(server, "POST", path, 400, "parsing_exception", json={key: None})
        assert reason == f"Unknown key for a VALUE_NULL in [{key}]."


SHAPES: tuple[tuple[dict[str, Any], int, str], ...] = (
    ({"version": 1}, 400, "x_content_parse_exception"),
    ({"explain": "maybe"}, 400, "illegal_argument_exception"),
    ({"size": True}, 400, "x_content_parse_exception"),
    ({"from": 10**12}, 400, "input_coercion_exception"),
    ({"terminate_after": "x"}, 400, "number_format_exception"),
    ({"fields": "level"}, 400, "parsing_exception"),
    ({"fields": [{}]}, 400, "illegal_argument_exception"),
    ({"docvalue_fields": [{"name": "x"}]}, 400, "x_content_parse_exception"),
    ({"stored_fields": 5}, 400, "parsing_exception"),
    ({"_source": {"include_only": "x"}}, 400, "parsing_exception"),
    ({"pit": "x"}, 400, "parsing_exception"),
    ({"pit": {"key": "x"}}, 400, "x_content_parse_exception"),
    ({"slice": {"x": 1}}, 400, "x_content_parse_exception"),
    ({"sort": [5]}, 400, "illegal_argument_exception"),
    ({"sort": ["level"], "search_after": [{}]}, 400, "parsing_exception"),
    ({"stats": [1]}, 400, "parsing_exception"),
    ({"min_score": 1.5}, 400, "illegal_argument_exception"),
    ({"min_score": "x"}, 400, "number_format_exception"),
    ({"ext": {"odd": {}}}, 400, "x_content_parse_exception"),
    ({"indices_boost": [{"logs-mami-ai-*": "x"}]}, 400, "parsing_exception"),
    ({"indices_boost": {"nowhere": 2}}, 404, "index_not_found_exception"),
)


@pytest.mark.feature("L2")
def test_values_of_another_shape_are_refused(server: Any) -> None:
    """By the type that Elasticsearch has for it."""
    fill(server, 1)
    for body, status, kind in SHAPES:
        refused(server, "POST", SEARCH.removeprefix("/es"), status, kind, json=body)


@pytest.mark.feature("L2")
def test_what_hits_say_of_themselves(server: Any) -> None:
    """Scores beside a sort, versions, explanations, the names of the parts that match, and single fields."""
    fill(server)
    named = {
        "bool": {
            "should": [
                {"match": {"level": {"query": "ERROR", "_name": "bad"}}},
                {"range": {"duration_ms": {"gte": 440, "_name": "slow"}}},
                {"bool": {"must": {"match_all": {}}, "_name": "all"}},
            ]
        }
    }
    body = {
        "query": named, "sort": [{"duration_ms": "desc"}], "size": 10, "track_scores": True, "version": True,
        "explain": True, "terminate_after": 5,
    }  # fmt: skip
    found = ask(server, body)
    hits = found["hits"]["hits"]
    assert found["terminated_early"] is False and found["hits"]["max_score"] == 1.0
    assert [hit["matched_queries"] for hit in hits] == [["slow", "all"]] * 6 + [["all"]] * 3 + [
        ["bad", "all"]
    ]
    assert all(hit["_score"] == hit["_explanation"]["value"] == hit["_version"] == 1 for hit in hits)
    plain = ask(server, {"sort": ["duration_ms"], "size": 1})
    assert plain["hits"]["max_score"] is None and plain["hits"]["hits"][0]["_score"] is None
    assert not {"_version", "_explanation", "matched_queries"} & set(plain["hits"]["hits"][0])
    shown = ask(server, {"size": 1, "stored_fields": ["duration_ms"]})["hits"]["hits"][0]
    assert shown["fields"] == {"duration_ms": [448.5]} and "_source" not in shown
    both = ask(server, {"size": 1, "stored_fields": ["_source", "level"]})["hits"]["hits"][0]
    assert both["_source"]["level"] == "INFO" and both["fields"] == {"level": ["INFO"]}
    assert set(ask(server, {"size": 1, "stored_fields": "_none_"})["hits"]["hits"][0]) == {"_index", "_score"}


@pytest.mark.feature("L2")
def test_typed_clients_read_the_kinds_of_aggregations(server: Any) -> None:
    """`typed_keys`, which the Go, Java and .NET clients always send, in `_search` and in `_msearch`."""
    fill(server)
    inner = {"m": {"percentiles": {"field": "duration_ms"}}, "s": {"serial_diff": {"buckets_path": "_count"}}}
    aggs: dict[str, Any] = {
        "level": {"terms": {"field": "level.keyword"}, "aggs": {"m": {"avg": {"field": "duration_ms"}}}},
        "status": {"terms": {"field": "http.status"}},
        "took": {"terms": {"field": "duration_ms"}},
        "time": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}, "aggs": inner},
        "one": {"filter": {"match_all": {}}, "aggs": {"n": {"cardinality": {"field": "level.keyword"}}}},
        "two": {
            "filters": {"filters": {"x": {"match_all": {}}}},
            "aggs": {"n": {"max": {"field": "duration_ms"}}},
        },
        "most": {"max_bucket": {"buckets_path": "time>_count"}},
    }
    found = ask(server, {"size": 0, "aggs": aggs}, typed_keys="true")["aggregations"]
    assert set(found) == {
        "sterms#level", "lterms#status", "dterms#took", "date_histogram#time", "filter#one", "filters#two",
        "bucket_metric_value#most",
    }  # fmt: skip
    assert "avg#m" in found["sterms#level"]["buckets"][0]
    assert {"tdigest_percentiles#m", "simple_value#s"} <= set(found["date_histogram#time"]["buckets"][1])
    assert found["filter#one"]["cardinality#n"] == {"value": 3}
    assert "max#n" in found["filters#two"]["buckets"]["x"]
    lines = (
        f'{{"index":"logs-*"}}\n{json.dumps({"size": 1, "aggs": {"n": {"max": {"field": "duration_ms"}}}})}\n'
    )
    asked = {"typed_keys": "true", "rest_total_hits_as_int": "true"}
    several = server.client.post("/es/_msearch", content=lines, params=asked).json()["responses"][0]
    assert several["hits"]["total"] == 300 and list(several["aggregations"]) == ["max#n"]


PARAMETERS = (
    ("GET", "/logs-*/_search", "odd df analyzer min_score=x suggest_field=x search_type=odd version=odd timeout=odd"
     " batched_reduce_size=1 terminate_after=-1 expand_wildcards=odd pretty=odd search_pipeline=x"),
    ("GET", "/logs-*/_count", "odd size default_operator min_score=2 allow_no_indices=odd"),
    ("POST", "/_msearch", "odd size max_concurrent_searches=0 typed_keys=odd"),
    ("POST", "/_bulk", "odd refresh=odd wait_for_active_shards=-1 timeout=odd require_alias=odd pipeline=nothing"),
    ("POST", "/_mget", "odd realtime=odd preferences"),
    ("GET", "/logs-*/_field_caps?fields=*", "odd routing filters=odd expand_wildcards=odd"),
    ("GET", "/_cat/indices", "odd v=odd health=odd expand_wildcards=odd s=odd full_id"),
    ("GET", "/_cat/count", "odd health=green expand_wildcards=all"),
    ("GET", "/_cat/nodes", "odd pri=true master_timeout=odd"),
)  # fmt: skip


@pytest.mark.feature("L2")
def test_parameters_that_a_call_does_not_have_or_cannot_read_are_refused(server: Any) -> None:
    """None of them is passed over in silence."""
    fill(server, 1)
    contents = {
        "/_msearch": '{"index":"logs-*"}\n{}\n',
        "/_bulk": '{"index":{"_index":"scratch"}}\n{"a":1}\n',
        "/_mget": '{"docs":[{"_index":"logs-a","_id":"1"}]}',
    }
    for method, path, names in PARAMETERS:
        for one in names.split():
            name, _, text = one.partition("=")
            both = f"{path}{'&' if '?' in path else '?'}{name}={text or 1}"
            kind = "number_format_exception" if one == "min_score=x" else "illegal_argument_exception"
            refused(server, method, both, 400, kind, content=contents.get(path, ""))


@pytest.mark.feature("L2")
def test_parameters_of_an_address_are_heard(server: Any) -> None:
    """Columns and single fields, kinds and filters of fields, documents without some of theirs."""
    fill(server)
    hit = ask(server, {"size": 1}, docvalue_fields="duration_ms,http.status", version="true", explain="true")
    assert hit["hits"]["hits"][0]["fields"] == {"duration_ms": [448.5], "http.status": [200]}
    assert {"_version", "_explanation"} <= set(hit["hits"]["hits"][0])
    caps = server.client.get(
        "/es/logs-*/_field_caps?fields=*&types=long,double,float&filters=-metadata"
    ).json()
    assert "http.status" in caps["fields"] and not {"_id", "level", "http"} & set(caps["fields"])
    caps = server.client.get("/es/logs-*/_field_caps?fields=*&filters=-parent,-multifield").json()
    assert {"_id", "level"} <= set(caps["fields"]) and not {"http", "level.keyword"} & set(caps["fields"])
    wanted = {"docs": [{"_index": one["_index"], "_id": one["_id"]} for one in hit["hits"]["hits"]]}
    got = server.client.post(
        "/es/_mget?_source_includes=http.*,level&_source_excludes=level", json=wanted
    ).json()
    assert got["docs"][0]["_source"] == {"http": {"status": 200}}


@pytest.mark.feature("L2")
def test_highlights_have_options_of_their_own(server: Any) -> None:
    """A field has its own tags and its own query, and marks of words that are looked for elsewhere."""
    fill(server)
    body: dict[str, Any] = {"query": {"match": {"level": "error"}}, "size": 1}

    def marks(**options: Any) -> Any:
        return ask(server, {**body, "highlight": options})["hits"]["hits"][0].get("highlight")

    assert marks(fields={"*": {}}) == {"level": ["<em>ERROR</em>"]}
    assert marks(fields=[{"level": {"pre_tags": ["["], "post_tags": ["]"]}}]) == {"level": ["[ERROR]"]}
    assert marks(fields={"l*": {}}, tags_schema="styled") == {"level": ['<em class="hlt1">ERROR</em>']}
    wide = marks(fields={"message": {}, "level": {}}, require_field_match=False)
    assert wide == {"level": ["<em>ERROR</em>"], "message": ["request failed with an <em>error</em> 290"]}
    other = {"match": {"message": "failed"}}
    assert marks(fields={"message": {"highlight_query": other}}) == {
        "message": ["request <em>failed</em> with an error 290"]
    }
    body = {"query": {"match_phrase": {"message": {"query": "error failed", "slop": 4}}}, "size": 1}
    assert marks(fields={"message": {}}) == {
        "message": ["request <em>failed</em> with an <em>error</em> 290"]
    }
    hits = {"top_hits": {"size": 1, "highlight": {"fields": {"level": {}}}, "_source": False}}
    query = {"match": {"level": {"query": "error", "_name": "bad"}}}
    found = ask(
        server, {"query": query, "size": 0, "aggs": {"t": {"terms": {"field": "level"}, "aggs": {"h": hits}}}}
    )
    inner = found["aggregations"]["t"]["buckets"][0]["h"]["hits"]["hits"][0]
    assert inner["highlight"] == {"level": ["<em>ERROR</em>"]} and inner["matched_queries"] == ["bad"]
    path = SEARCH.removeprefix("/es")
    for wrong in ({"highlight_query": 5}, {"tags_schema": "odd"}, {"highlight_query": {"no_such": {}}}):
        more = {"json": {**body, "highlight": {"fields": {"*": wrong}}}}
        refused(server, "POST", path, 400, "parsing_exception", **more)


@pytest.mark.feature("L2")
def test_a_part_of_an_answer_can_be_refused(server: Any) -> None:
    """`allow_partial_search_results=false` wants all or nothing."""
    fill(server)
    assert ask(server, {"timeout": "0"})["timed_out"] is True
    path = SEARCH.removeprefix("/es") + "?allow_partial_search_results=false"
    refused(server, "POST", path, 503, "search_phase_execution_exception", json={"timeout": "0"})
    whole = server.client.post(f"/es{path}", json={})
    assert whole.status_code == 200 and whole.json()["hits"]["total"]["value"] == 300
