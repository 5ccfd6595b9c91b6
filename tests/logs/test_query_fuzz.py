"""Random queries of both languages against a brute-force reading of the same documents."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.logs.store import lanes, scan, segment_builder
from mamimon.logs.store.days import LogDays
from tests.logs.random_queries import Maker, Query, documents, line

FULL = bool(os.environ.get("MAMIMON_FULL"))
QUERIES = int(os.environ.get("MAMIMON_FUZZ", "10000" if FULL else "500"))
DOCUMENTS = 2_000 if FULL else 1_000
AT_ONCE = 50
BY_MINUTE = {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m", "min_doc_count": 1}}}


def ask(server: Any, queries: list[Query]) -> list[Any]:
    """The answers of several searches: ids, total, and counts by minute, or the error."""
    lines: list[Any] = []
    for query in queries:
        asked = {"query": query.body, "size": 10_000, "_source": False, "track_total_hits": True}
        lines += [{}, {**asked, "aggs": BY_MINUTE}]
    body = "".join(json.dumps(one) + "\n" for one in lines)
    answer = server.client.post("/es/_msearch", content=body.encode(), timeout=300)
    assert answer.status_code == 200, answer.text[:500]
    return [
        one["error"]["reason"]
        if "error" in one
        else (
            one["hits"]["total"]["value"],
            {hit["_id"] for hit in one["hits"]["hits"]},
            {bucket["key"] // 60_000: bucket["doc_count"] for bucket in one["aggregations"]["t"]["buckets"]},
        )
        for one in answer.json()["responses"]
    ]


async def sealed(folder: Path) -> None:
    """Seal every day of a folder that no server has open."""
    days = LogDays(folder, 64, 1)
    days.scan_folder()
    for number, day in enumerate(days.days()):
        # Every other day has lines with paths of which there are no columns.
        segment_builder.PATHS = 100 if number % 2 else 12
        assert await days.seal(day)
    await days.close()


@pytest.mark.feature("L4")
def test_random_queries_find_what_reading_every_document_finds(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No query of either language finds or counts other documents than its plain meaning does."""
    # The columns of sealed days are to answer here, however few the blocks.
    monkeypatch.setattr(scan, "PATIENCE", 0)
    monkeypatch.setattr(lanes, "SHARE", 10_000)
    monkeypatch.setattr(segment_builder, "PATHS", segment_builder.PATHS)
    seed = int(os.environ.get("MAMIMON_SEED", "5"))
    changes: dict[str, Any] = {"logs": {"block_rows": 64, "mask": False, "query_timeout_s": 120}}
    changes["server"] = {"self_log": False}
    server = start(**changes)
    now = server.server.clock.now()
    docs = documents(random.Random(seed), now, DOCUMENTS)
    for at in range(0, len(docs), 150):
        body = "".join(map(line, docs[at : at + 150]))
        stored = server.client.post("/es/_bulk", content=body.encode()).json()
        assert not stored["errors"], [item for item in stored["items"] if "error" in item["create"]][:3]
    maker = Maker(random.Random(seed + 1), now)
    differences: list[str] = []
    empty = 0
    for number in range(0, QUERIES, AT_ONCE):
        if number == QUERIES // AT_ONCE // 2 * AT_ONCE:
            # The second half is of sealed days, whose index has pairs of words.
            server.stop()
            asyncio.run(sealed(server.data_dir / "logs"))
            server = start(**changes)
        queries = [maker.query() for _ in range(AT_ONCE)]
        for query, answer in zip(queries, ask(server, queries), strict=True):
            found = [doc for doc in docs if query.test(doc)]
            meant = {doc.id for doc in found}
            empty += not meant
            if answer != (len(meant), meant, Counter(doc.millis // 60_000 for doc in found)):
                differences.append(told(query, answer, meant, docs))
    assert empty < QUERIES * 0.6, "most queries find nothing: they test too little"
    assert len(differences) == 0, f"{len(differences)} of {QUERIES}:\n" + "\n".join(differences[:20])


def told(query: Query, answer: Any, meant: set[str], docs: list[Any]) -> str:
    """A difference with one document that shows it."""
    text = json.dumps(query.body, ensure_ascii=False)
    if isinstance(answer, str):
        return f"{text}\n    refused: {answer[:200]}"
    wrong = sorted(answer[1] ^ meant)
    if not wrong:
        return f"{text}\n    found the right lines, but counted them otherwise: {answer[0]} of {len(meant)}"
    shown = next(
        (json.dumps(doc.body, ensure_ascii=False) for doc in docs if wrong and doc.id == wrong[0]), ""
    )
    which = "is not meant" if wrong and wrong[0] in answer[1] else "is missing"
    return f"{text}\n    found {answer[0]}, meant {len(meant)}; {wrong[:1]} {which}: {shown[:400]}"
