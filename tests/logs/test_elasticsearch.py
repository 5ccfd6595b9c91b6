"""The Elasticsearch door: real clients, the mission's own lines, errors in its own words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from elasticsearch import Elasticsearch, NotFoundError, helpers

from mamimon.logs.dates import iso


def lines(now: float, count: int = 300) -> list[dict[str, Any]]:
    """A day's worth of the mission's service."""
    made = []
    for i in range(count):
        level = "ERROR" if i % 10 == 0 else "WARNING" if i % 10 == 1 else "INFO"
        made.append(
            {
                "@timestamp": iso(now - count + i),
                "level": level,
                "logger": "app.chat" if i % 2 else "app.api",
                "message": f"request failed with an error {i}" if level == "ERROR" else f"İşlem başladı {i}",
                "request_id": str(i) if i % 3 else i,
                "duration_ms": i * 1.5,
                "http": {"status": 500 if level == "ERROR" else 200},
            }
        )
    return made


def client(server: Any) -> Elasticsearch:
    """elasticsearch-py as people make it."""
    return Elasticsearch(f"{server.url}/es", request_timeout=30)


def fill(server: Any, count: int = 300, index: str = "logs-mami-ai-2026.11.24") -> list[dict[str, Any]]:
    """Bulk-index lines by elasticsearch-py and return them."""
    made = lines(server.server.clock.now(), count)
    with client(server) as es:
        done, errors = helpers.bulk(
            es, ({"_op_type": "create", "_index": index, "_source": one} for one in made)
        )
    assert (done, errors) == (count, [])
    return made


@pytest.mark.feature("L2")
def test_elasticsearch_py_writes_searches_and_counts(server: Any) -> None:
    """elasticsearch-py 9 works unchanged: bulk, search with a body, sort, count, get, aggregations."""
    made = fill(server)
    with client(server) as es:
        assert es.info()["tagline"] == "You Know, for Search"
        found = es.search(index="logs-mami-ai-*", query={"match": {"level": "ERROR"}}, size=5)
        assert found["hits"]["total"] == {"value": 30, "relation": "eq"}
        assert found["hits"]["hits"][0]["_source"] == made[290]
        again = es.get(index=found["hits"]["hits"][0]["_index"], id=found["hits"]["hits"][0]["_id"])
        assert again["_source"] == made[290]
        assert es.count(index="logs-mami-ai-*")["count"] == 300
        answer = es.search(
            index="logs-mami-ai-*",
            size=0,
            query={"bool": {"filter": [{"range": {"duration_ms": {"gte": 150, "lt": 300}}}]}},
            aggs={
                "by": {
                    "terms": {"field": "level.keyword"},
                    "aggs": {"slow": {"max": {"field": "duration_ms"}}},
                },
                "over": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}},
                "all": {"extended_stats": {"field": "duration_ms"}},
            },
        )
        buckets = answer["aggregations"]["by"]["buckets"]
        assert [(b["key"], b["doc_count"]) for b in buckets] == [("INFO", 80), ("ERROR", 10), ("WARNING", 10)]
        assert buckets[1]["slow"]["value"] == 190 * 1.5
        assert sum(b["doc_count"] for b in answer["aggregations"]["over"]["buckets"]) == 100
        assert answer["aggregations"]["all"]["avg"] == pytest.approx(149.5 * 1.5)
        with pytest.raises(NotFoundError):
            es.search(index="logs-none-2020.01.01")


@pytest.mark.feature("L2")
def test_scroll_search_after_and_point_in_time_see_every_line_once(server: Any) -> None:
    """Paging by scroll, by search_after and over a point in time each brings every line once."""
    fill(server)
    with client(server) as es:
        scanned = [hit["_id"] for hit in helpers.scan(es, index="logs-mami-ai-*", size=70)]
        assert len(scanned) == len(set(scanned)) == 300
        pit = es.open_point_in_time(index="logs-mami-ai-*", keep_alive="1m")["id"]
        seen: list[str] = []
        after = None
        while True:
            page = es.search(
                size=64,
                pit={"id": pit},
                sort=[{"@timestamp": "asc"}],
                **({"search_after": after} if after else {}),
            )["hits"]["hits"]
            if not page:
                break
            seen += [hit["_id"] for hit in page]
            after = page[-1]["sort"]
        assert len(seen) == len(set(seen)) == 300


@pytest.mark.feature("L3")
def test_the_missions_curl_lines_on_the_drop_in_port(start: Callable[..., Any]) -> None:
    """Each curl line of the mission document answers on the drop-in port, before and after a restart."""
    ports = {"drop_in": True, "drop_in_ports": "es=0,prometheus=0,alertmanager=0,ui=0"}
    server = start(server=ports)
    fill(server)
    server.stop()
    server = start(server=ports)
    port = server.server.ports()["es"]

    def curl(path: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", "-X", "GET", f"localhost:{port}/{path}"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    header, row = curl("_cat/indices?v").splitlines()[:2]
    assert header.split()[:3] == ["health", "status", "index"]
    assert "logs-ma" in row
    assert '"number"' in curl("")
    assert json.loads(curl("logs-mami-ai-*/_search?q=error"))["hits"]["total"]["value"] == 30
    assert len(json.loads(curl("logs-mami-ai-*/_search?size=100"))["hits"]["hits"]) == 100
    errors = json.loads(curl("logs-mami-ai-*/_search?q=level:ERROR"))["hits"]["hits"]
    assert {hit["_source"]["level"] for hit in errors} == {"ERROR"}
    for number in (122, 123):
        found = json.loads(curl(f"logs-mami-ai-*/_search?q=request_id:{number}"))["hits"]["hits"]
        assert [str(hit["_source"]["request_id"]) for hit in found] == [str(number)]


@pytest.mark.feature("L2")
def test_a_malformed_line_fails_alone(server: Any) -> None:
    """In a _bulk body a broken document is a 400 item, its neighbours are stored and found."""
    body = (
        b'{"index":{"_index":"logs-app-2026.11.24"}}\n{"message":"first good"}\n'
        b'{"index":{"_index":"logs-app-2026.11.24"}}\n{"message": broken\n'
        b'{"index":{"_index":"logs-app-2026.11.24"}}\n{"@timestamp":"2001-01-01T00:00:00Z","message":"old"}\n'
        b'{"update":{"_index":"logs-app-2026.11.24","_id":"1"}}\n{"doc":{}}\n'
        b'{"create":{"_index":"logs-app-2026.11.24","_id":"x"}}\n{"message":"second good"}\n'
        b'{"create":{"_index":"logs-app-2026.11.24","_id":"x"}}\n{"message":"twice"}\n'
    )
    answer = server.client.post("/es/_bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    items = [next(iter(item.values())) for item in answer.json()["items"]]
    assert [item["status"] for item in items] == [201, 400, 400, 400, 201, 409]
    assert items[1]["error"]["type"] == "document_parsing_exception"
    assert "90 days" in items[2]["error"]["reason"]
    assert items[5]["error"]["type"] == "version_conflict_engine_exception"
    found = server.client.get("/es/logs-app-*/_search?q=good").json()
    assert found["hits"]["total"]["value"] == 2


@pytest.mark.feature("L2")
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/es/_bulk", b"{}\n{}\n", "illegal_argument_exception"),
        ("/es/_bulk", b"", "parse_exception"),
        ("/es/_bulk", b'{"index":{}}\n{"a":1}\n', "action_request_validation_exception"),
        ("/es/_search", b'{"query":{"nope":{}}}', "parsing_exception"),
        ("/es/_search", b'{"query":{"query_string":{"query":"(a"}}}', "query_shard_exception"),
        ("/es/_search", b'{"size":20000}', "illegal_argument_exception"),
        ("/es/_search", b"[1", "parsing_exception"),
        ("/es/x/_update/1", b"{}", "illegal_argument_exception"),
    ],
)
def test_errors_have_elasticsearchs_types(server: Any, path: str, body: bytes, kind: str) -> None:
    """A request that cannot be read answers 400 with the error object and type of Elasticsearch."""
    answer = server.client.post(path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["error"]["root_cause"][0]["type"] == kind


@pytest.mark.feature("L2")
def test_indices_can_be_deleted_and_queries_can_delete(server: Any) -> None:
    """_delete_by_query takes lines away from searches and counts; deleting an index takes all of it."""
    fill(server, 100)
    with client(server) as es:
        gone = es.delete_by_query(index="logs-mami-ai-*", query={"match": {"level": "ERROR"}})
        assert gone["deleted"] == 10
        assert es.count(index="logs-mami-ai-*")["count"] == 90
        assert es.count(index="logs-mami-ai-*", query={"match": {"level": "ERROR"}})["count"] == 0
        name = es.cat.indices(index="logs-mami-ai-*", format="json")[0]["index"]
        es.indices.delete(index=name)
        assert es.count(index="logs-mami-ai-*")["count"] == 0
