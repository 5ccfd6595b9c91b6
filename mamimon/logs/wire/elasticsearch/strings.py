"""`query_string` and `simple_query_string`: queries that people type."""

from __future__ import annotations

from typing import Any

from mamimon.logs import clauses as c
from mamimon.logs.dates import zone
from mamimon.logs.lucene import Style, parse
from mamimon.logs.wire.elasticsearch.errors import EsError, parsing
from mamimon.logs.wire.elasticsearch.known import check_query
from mamimon.logs.wire.elasticsearch.options import check_analyzer, check_object, least_of, texts, unboosted
from mamimon.logs.wire.elasticsearch.simple import simple


def query_string(body: Any, now: float) -> c.Clause:
    """`query_string`."""
    if isinstance(body, str):
        body = {"query": body}
    check_object("query_string", body)
    check_query("query_string", body)
    check_analyzer(body)
    if not isinstance(body.get("query"), str):
        raise parsing("query_string must be provided with a [query]")
    if not isinstance(body.get("fields", []), list):
        raise parsing("[query_string] query does not support [fields] with a value that is no array")
    if body.get("fields") and body.get("default_field"):
        raise EsError(
            400,
            "query_shard_exception",
            "failed to create query: Validation Failed: 1: [query_string] cannot use [fields] parameter"
            " in conjunction with [default_field];",
        )
    fields = texts(body.get("fields") or body.get("default_field") or [])
    style = Style(
        fields=tuple("" if f == "*" else unboosted(f) for f in fields),
        every=str(body.get("default_operator", "or")).lower() == "and",
        now=now,
        tz=zone(str(body.get("time_zone") or "")),
        slop=int(body.get("phrase_slop", 0)),
        least=least_of(body),
        kind=str(body.get("type", "best_fields")).lower(),
    )
    # No text is no term, and Elasticsearch finds nothing then.
    return parse(body["query"], style) if body["query"].strip() else c.Nothing()


def simple_query_string(body: Any) -> c.Clause:
    """`simple_query_string`: never fails on what a person types."""
    check_object("simple_query_string", body)
    check_query("simple_query_string", body)
    if body.get("query") is None:
        raise parsing("[simple_query_string] query text missing")
    fields = [unboosted(f) for f in texts(body.get("fields") or [""])]
    fields = ["" if f == "*" else f for f in fields]
    every = str(body.get("default_operator", "or")).lower() == "and"
    text = str(body.get("query", ""))
    # No text is no term, and Elasticsearch finds nothing then.
    return simple(text, fields, every, least_of(body)) if text.strip() else c.Nothing()
