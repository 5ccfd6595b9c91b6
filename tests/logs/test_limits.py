"""What bounds a search at the Elasticsearch door: slices, time, and whole numbers without an end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from elasticsearch import BadRequestError, Elasticsearch, helpers

from tests.logs.test_elasticsearch import client, fill


@pytest.mark.feature("L2")
def test_slices_of_a_scroll_and_of_a_point_in_time_share_the_lines(server: Any) -> None:
    """Each line is in exactly one slice, whoever reads, and every slice has some."""
    fill(server)
    with client(server) as es:
        scrolled = [_scrolled(es, number, 3) for number in range(3)]
        pit = es.open_point_in_time(index="logs-mami-ai-*", keep_alive="1m")["id"]
        paged = [_paged(es, pit, {"id": number, "max": 4}) for number in range(4)]
        by_field = [
            _paged(es, pit, {"field": "duration_ms", "id": number, "max": 2}, "level:ERROR")
            for number in range(2)
        ]
    for parts, count in ((scrolled, 300), (paged, 300), (by_field, 30)):
        assert all(parts)
        assert sum(map(len, parts)) == count == len(set().union(*parts))


def _scrolled(es: Elasticsearch, number: int, of: int) -> list[str]:
    query = {"slice": {"id": number, "max": of}}
    return [hit["_id"] for hit in helpers.scan(es, query=query, index="logs-mami-ai-*", size=40)]


def _paged(es: Elasticsearch, pit: str, part: dict[str, Any], text: str = "*") -> list[str]:
    found: list[str] = []
    after: dict[str, Any] = {}
    while True:
        answer = es.search(
            pit={"id": pit}, slice=part, size=20, q=text, sort=[{"@timestamp": "desc"}], **after
        )["hits"]["hits"]
        if not answer:
            return found
        found += [hit["_id"] for hit in answer]
        after = {"search_after": answer[-1]["sort"]}


@pytest.mark.feature("L2")
@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"id": 2, "max": 2}, "max must be greater than id"),
        ({"id": 0, "max": 1}, "max must be greater than 1"),
        ({"id": -1, "max": 2}, "id must be greater than or equal to 0"),
        ({"id": 0, "max": 5000}, "number of slices [5000] is too large"),
        ({"id": 0, "max": 2, "of": 3}, "unknown field [of]"),
        ({"id": "x", "max": 2}, "failed to parse field [id]"),
    ],
)
def test_a_wrong_slice_is_refused(server: Any, part: dict[str, Any], reason: str) -> None:
    """A slice that could leave lines out, or is outside of a scroll, is an error."""
    fill(server, 5)
    with client(server) as es:
        with pytest.raises(BadRequestError, match=r"slice|max|id") as refused:
            es.search(index="logs-mami-ai-*", scroll="1m", slice=part)
        with pytest.raises(BadRequestError, match=r"only be used with \[scroll\]"):
            es.search(index="logs-mami-ai-*", slice={"id": 0, "max": 2})
    assert reason in str(refused.value)


@pytest.mark.feature("L2")
def test_deleting_by_query_keeps_to_its_slice_and_its_limit(server: Any) -> None:
    """What bounds a deletion bounds it; what is not known is refused before anything is deleted."""
    fill(server)
    with client(server) as es:
        every = {"index": "logs-mami-ai-*", "query": {"match_all": {}}}
        with pytest.raises(BadRequestError, match="unknown field"):
            es.perform_request(
                "POST",
                "/logs-mami-ai-*/_delete_by_query",
                body={"query": {"match_all": {}}, "script": {}},
                headers={"content-type": "application/json", "accept": "application/json"},
            )
        first = es.delete_by_query(**every, max_docs=7)["deleted"]
        second = es.delete_by_query(**every, slice={"id": 1, "max": 2})["deleted"]
        left = es.count(index="logs-mami-ai-*")["count"]
    assert first == 7 and 50 < second < 250 and left == 300 - first - second


@pytest.mark.feature("L2")
def test_a_search_ends_at_its_timeout_with_what_it_has(start: Callable[..., Any]) -> None:
    """`timeout` of the body or the URI stops reading; the answer says so. A wrong one is refused."""
    server = start()
    fill(server, 600)
    search, index = server.client.post, "/es/logs-mami-ai-*/_search"
    body = {"query": {"match_phrase": {"message": "an error"}}, "size": 100}
    for given in ({"json": {**body, "timeout": "0ms"}}, {"json": body, "params": {"timeout": "1nanos"}}):
        answer = search(index, **given).json()
        assert answer["timed_out"] and len(answer["hits"]["hits"]) < 60
    for enough in ("60s", -1, "1h"):
        answer = search(index, json={**body, "timeout": enough}).json()
        assert not answer["timed_out"] and len(answer["hits"]["hits"]) == 60
    refused = search(index, json={**body, "timeout": "5 parsecs"})
    assert refused.status_code == 400
    assert "failed to parse setting [timeout]" in refused.json()["error"]["reason"]


@pytest.mark.feature("L2")
def test_whole_numbers_beyond_2_to_53_are_told_apart(server: Any) -> None:
    """Neighbours that are one as floating-point numbers are two to every kind of query and to sorting."""
    base = 2**53
    numbers = [base - 1, base, base + 1, base + 2, 2**63 - 1, 2**64 - 1]
    body = "".join(f'{{"create":{{"_index":"big"}}}}\n{json.dumps({"n": n})}\n' for n in numbers)
    body += "".join(
        f'{{"create":{{"_index":"big"}}}}\n{json.dumps({"n": str(n)})}\n' for n in (base + 1, base)
    )
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]

    def found(query: dict[str, Any], **more: Any) -> list[int]:
        answer = server.client.post("/es/big/_search", json={"query": query, "size": 50, **more}).json()
        return sorted(int(hit["_source"]["n"]) for hit in answer["hits"]["hits"])

    assert found({"term": {"n": base + 1}}) == [base + 1] * 2
    assert found({"match": {"n": base}}) == [base] * 2
    assert found({"query_string": {"query": f"n:{base + 1}"}}) == [base + 1] * 2
    assert found({"range": {"n": {"gt": base, "lt": base + 2}}}) == [base + 1] * 2
    assert found({"query_string": {"query": f"n:[{base + 1} TO *]"}}) == sorted([base + 1, *numbers[2:]])
    assert found({"terms": {"n": [2**63 - 1, 2**64 - 1]}}) == numbers[-2:]
    for text in ("1e22", "1e+22", "1E22"):
        one = f'{{"create":{{"_index":"big"}}}}\n{{"huge":{text}}}\n'
        assert not server.client.post("/es/_bulk", content=one).json()["errors"]
    for pattern in ("1e+2*", "1e+?2", "1e*"):
        answer = server.client.post("/es/big/_search", json={"query": {"wildcard": {"huge": pattern}}}).json()
        assert answer["hits"]["total"]["value"] == 3, pattern
    ordered = server.client.post(
        "/es/big/_search", json={"size": 2, "sort": [{"n": "asc"}], "search_after": [base]}
    ).json()
    assert ordered["hits"]["hits"][0]["_source"]["n"] == base + 1
