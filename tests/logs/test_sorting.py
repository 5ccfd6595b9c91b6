"""Hits in the order of time, from either end: the same lines as reading all of them, of a few blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from mamimon.logs.store import scan
from tests.conftest import Running


def _fill(server: Running, count: int = 1_500) -> list[tuple[int, int]]:
    """Lines out of order, many of one millisecond, over three days; their times and numbers by arrival."""
    pick = random.Random(9)
    now = round(server.server.clock.now() * 1000)
    lines = [(now - pick.randrange(400) * 500_000 - n % 3, n) for n in range(count)]
    for at in range(0, count, 250):
        body = "".join(
            f'{{"create":{{"_index":"order"}}}}\n{{"@timestamp":{ms},"n":{n},"message":"line"}}\n'
            for ms, n in lines[at : at + 250]
        )
        assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    return lines


def _pages(server: Running, sort: Any, **body: Any) -> list[int]:
    """Every hit's number, by pages of 170."""
    found: list[int] = []
    while True:
        asked = {"size": 170, "sort": sort, **body}
        hits = server.client.post("/es/order/_search", json=asked).json()["hits"]["hits"]
        if not hits:
            return found
        found += [hit["_source"]["n"] for hit in hits]
        body = {**body, "search_after": hits[-1]["sort"]}


def _opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks that are opened from now on, by their first row."""
    opened: list[int] = []
    block = scan.Block

    def counted(first: int, *rest: Any) -> Any:
        opened.append(first)
        return block(first, *rest)

    monkeypatch.setattr(scan, "Block", counted)
    return opened


@pytest.mark.feature("L2")
def test_pages_by_time_bring_each_line_once_in_its_order(start: Callable[..., Running]) -> None:
    """Ascending and descending, with arrival as the second key either way, with and without words."""
    server = start(logs={"block_rows": 64})
    lines = _fill(server)
    orders: dict[tuple[str, str], Callable[[tuple[int, int]], tuple[int, int]]] = {
        ("asc", "asc"): lambda one: (one[0], one[1]),
        ("asc", "desc"): lambda one: (one[0], -one[1]),
        ("desc", "asc"): lambda one: (-one[0], one[1]),
        ("desc", "desc"): lambda one: (-one[0], -one[1]),
    }
    for (time, arrival), order in orders.items():
        sort = [{"@timestamp": time}, {"_shard_doc": arrival}]
        meant = [n for _, n in sorted(lines, key=order)]
        assert _pages(server, sort) == meant
        assert _pages(server, sort, query={"match": {"message": "line"}}, track_total_hits=False) == meant
    meant = [n for _, n in sorted(lines)]
    assert _pages(server, ["_doc"]) == meant
    assert _pages(server, [{"_doc": "desc"}, {"_shard_doc": "asc"}]) == meant[::-1]


@pytest.mark.feature("L2")
def test_the_oldest_lines_are_found_without_reading_all(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten lines from the old end open a few blocks, and elasticsearch-py's scan by `_doc` its page's."""
    server = start(logs={"block_rows": 64})
    now = round(server.server.clock.now() * 1000)
    filler = random.Random(4).randbytes
    body = "".join(
        f'{{"create":{{"_index":"order"}}}}\n'
        f'{{"@timestamp":{now - 3_000_000 + n * 1_000},"n":{n},"x":"{filler(200).hex()}"}}\n'
        for n in range(3_000)
    )
    assert not server.client.post("/es/_bulk", content=body).json()["errors"]
    opened = _opened(monkeypatch)

    answer = server.client.post(
        "/es/order/_search", json={"size": 10, "sort": [{"@timestamp": "asc"}]}
    ).json()

    assert [hit["_source"]["n"] for hit in answer["hits"]["hits"]] == list(range(10))
    assert answer["hits"]["total"] == {"value": 3_000, "relation": "eq"}
    assert 0 < len(opened) < 20
    opened.clear()
    with Elasticsearch(f"{server.url}/es", request_timeout=60) as es:
        found = [hit["_source"]["n"] for hit in helpers.scan(es, index="order", size=500)]
    assert found == list(range(3_000))
    # 47 blocks in seven pages, with some that were opened ahead.
    assert len(opened) < 5 * 47
