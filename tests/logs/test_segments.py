"""Columns of sealed days: what they answer is what reading every line answers, and they open no block."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from mamimon.logs.clauses import Words
from mamimon.logs.lucene import Style, parse
from mamimon.logs.store import day as day_file
from mamimon.logs.store import lanes, scan, segment_builder, segment_writer, segments
from mamimon.logs.store.blocks import Line, columns_of
from mamimon.logs.store.days import LogDays
from mamimon.logs.store.lanes import Lanes
from mamimon.logs.store.opening import Opener
from mamimon.logs.store.segments import SHAPES, VALUES, WORDS, Segments
from mamimon.logs.store.verdicts import judge
from mamimon.storage.days import day_of
from tests.conftest import Running, settled, wait_until
from tests.logs.test_sure import Nowhere

CHANGES: dict[str, Any] = {
    "logs": {"block_rows": 32, "mask": False, "query_timeout_s": 120},
    "server": {"self_log": False},
}
WORDS_OF = ["connection", "lost", "timeout", "of", "user", "order", "paid", "Ödeme", "404", "a_b"]
ODD = [
    '{"status":1e999,"service":"shop"}',
    '{"status":200,"status":"twice","service":"shop"}',
    '{"a.b":1,"a":{"b":2},"service":"shop"}',
    '{"":"empty","service":"shop"}',
    '{"status":123456789012345678901234567890,"service":"shop"}',
    '{"service":["shop","mail"],"status":[200,"200",true]}',
    '{"service":"shop","deep":[{"x":1},{"x":[2,[3]]}],"level":5}',
]
AGGREGATIONS: list[dict[str, Any]] = [
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "7s", "min_doc_count": 1}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "1h"},
     "aggs": {"s": {"terms": {"field": "status"}, "aggs": {"l": {"terms": {"field": "level"}}}}}},
    {"terms": {"field": "status", "missing": -1, "size": 50}},
    {"terms": {"field": "service.keyword", "size": 50}, "aggs": {"i": {"terms": {"field": "_index"}}}},
    {"terms": {"field": "deep.x"}},
    {"terms": {"field": "dataset"}},
    {"terms": {"field": "a.b"}},
    {"terms": {"field": "n", "size": 20, "order": {"_key": "asc"}}},
    {"percentiles": {"field": "took"}}, {"avg": {"field": "took"}},
    {"histogram": {"field": "took", "interval": 5}}, {"range": {"field": "took", "ranges": [{"from": 12.5}]}},
    {"extended_stats": {"field": "status"}},
    {"value_count": {"field": "status"}}, {"cardinality": {"field": "service"}},
    {"date_histogram": {"field": "@timestamp", "fixed_interval": "10m"}, "aggs": {
        "m": {"max": {"field": "took"}}, "p": {"percentiles": {"field": "took", "percents": [95]}}}},
    {"filters": {"other_bucket": True, "filters": {
        "slow": {"range": {"status": {"gte": 400}}}, "shop": {"match": {"service": "shop"}}}}},
]  # fmt: skip
QUERIES = [
    "*", "shop", "service:shop", "status:503", "status:>=400", "level:ERROR", "level:ERROR AND status:503",
    "NOT status:200", "message:timeout", "timeout", "message:\"connection lost\"", '"connection lost"',
    '"lost timeout"', "message:(timeout OR paid) AND NOT level:INFO", "deep.x:2", "deep.*:3", "a.b:2",
    "ödeme", "404", "message:404", "status:two*", "stat*:200", "_exists_:deep", "NOT _exists_:status",
    "_exists_:message", "dataset:mail", "_index:logs-mail*", "level:5", "service:mail AND status:true",
    "message:time*", "conn*", "t*", "message:u1*", "message:U*", "NOT message:pai*", "n:<40", "n:[17 TO 300}",
    "n:>=17.5", "message:timeuot~", "n:17", "n:>890", "user OR zanzibar", "status:1e999", "status:twice",
    "message:u17", '"user u17"', '"user u17 paid"', "message.keyword:paid", "level.keyword:ERROR",
]  # fmt: skip


def _lines(rng: random.Random, start: float) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for n in range(900):
        text = " ".join(rng.choices(WORDS_OF, k=rng.randrange(1, 4))) + rng.choice(["", f" u{n % 50}"])
        line: dict[str, Any] = {
            "level": rng.choice(["INFO", "info", "ERROR", "odd"]), "service": rng.choice(["shop", "mail"]),
            "message": text, "n": n, "took": rng.randrange(300) / 10,
        }  # fmt: skip
        if rng.random() < 0.8:
            line["status"] = rng.choice([200, 200.0, 503, "503", True, 404, None])
        if rng.random() < 0.1:
            line["deep"] = {"x": rng.choice([1, 2, [2, 3]]), "y": text}
        raw = ODD[n // 100] if n % 100 == 50 and n // 100 < len(ODD) else json.dumps(line)
        stamp = f'{{"@timestamp":{round((start + rng.random() * 9_000) * 1000)},'
        made.append((rng.choice(["shop", "mail"]), stamp + raw[1:]))
    return made


def _filled(
    start: Callable[..., Running], day: float, monkeypatch: pytest.MonkeyPatch, paths: int = 100
) -> Running:
    """A server over a sealed day, whose columns are asked however few the blocks."""
    monkeypatch.setattr(scan, "PATIENCE", 0)
    monkeypatch.setattr(lanes, "SHARE", 10_000)
    server = start(**CHANGES)
    _post(server, _lines(random.Random(8), day))
    server.stop()
    asyncio.run(_sealed(server.data_dir / "logs", paths, monkeypatch))
    return start(**CHANGES)


def _written(
    start: Callable[..., Running], day: float, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> Running:
    """A server over a day that is still written, and has columns of some of its lines."""
    monkeypatch.setattr(scan, "PATIENCE", 0)
    monkeypatch.setattr(lanes, "SHARE", 10_000)
    monkeypatch.setattr(segments, "ROWS", 200)
    server = start(**CHANGES)
    lines = _lines(random.Random(8), day)
    _post(server, lines[:700])
    path = server.data_dir / "logs" / f"{day_of(day)}.db"

    def look() -> bool:
        settled(clock)
        clock.advance(61)
        with closing(sqlite3.connect(path)) as raw:
            return int(raw.execute("SELECT coalesce(sum(rows), 0) FROM segment").fetchone()[0]) >= 500

    wait_until(look, 60, "the day has columns")
    _post(server, lines[700:])
    return server


def _post(server: Running, lines: list[tuple[str, str]]) -> None:
    body = "".join(f'{{"create":{{"_index":"logs-{dataset}"}}}}\n{line}\n' for dataset, line in lines)
    assert not server.client.post("/es/_bulk", content=body.encode()).json()["errors"]


async def _sealed(folder: Path, paths: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_builder, "PATHS", paths)
    days = LogDays(folder, 32, 1)
    days.scan_folder()
    assert all([await days.seal(day) for day in days.days()])
    await days.close()


def _answers(server: Running, index: str, span: dict[str, Any]) -> list[Any]:
    found = []
    for text in QUERIES:
        query = {"bool": {"filter": [span, {"query_string": {"query": text}}]}}
        body = {"query": query, "size": 1000, "_source": False, "track_total_hits": True}
        body["aggs"] = {str(i): one for i, one in enumerate(AGGREGATIONS)}
        one = server.client.post(f"/es/{index}/_search", json=body).json()
        found.append((text, one["hits"], one["aggregations"]))
    return found


@pytest.mark.feature("L7")
@pytest.mark.parametrize(
    ("paths", "today"),
    [(100, False), (5, False), (100, True)],
    ids=["a sealed day", "a sealed day, five paths", "today"],
)
def test_columns_answer_as_lines_do(
    start: Callable[..., Running],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    paths: int,
    today: bool,
) -> None:
    """Lines, totals and every kind of count, of flat, nested and odd lines; deleted ones are left out."""
    midnight = clock.now() // 86_400 * 86_400
    day = midnight if today else midnight - 40_000
    filled = _written(start, day, monkeypatch, clock) if today else _filled(start, day, monkeypatch, paths)
    # Afterwards, so that the line is in the columns.
    deleted = filled.client.post("/es/logs-*/_delete_by_query", json={"query": {"match": {"n": "33"}}})
    assert deleted.json()["deleted"] == 1
    ends = {"gte": round(day * 1000) + 61_234, "lt": round(day * 1000) + 8_000_777}
    span = {"range": {"@timestamp": ends}}
    quick = [_answers(filled, "logs-*", span), _answers(filled, "logs-mail*", span)]
    assert sum(hits["total"]["value"] > 0 for _, hits, _ in quick[0]) > 30

    monkeypatch.setattr(Lanes, "expect", lambda self, found: None)

    slow = [_answers(filled, "logs-*", span), _answers(filled, "logs-mail*", span)]
    for ours, plain in zip(quick, slow, strict=True):
        for (text, hits, counts), (_, meant_hits, meant) in zip(ours, plain, strict=True):
            wrong = {one["_id"] for one in hits["hits"]} ^ {one["_id"] for one in meant_hits["hits"]}
            assert not wrong, f"{text}: {_shown(filled, wrong)}"
            assert hits["total"] == meant_hits["total"], f"{text} {len(hits['hits'])}"
            assert hits == meant_hits, text
            for number, agg in enumerate(AGGREGATIONS):
                assert _rounded(counts[str(number)]) == _rounded(meant[str(number)]), f"{text}: {agg}"


def _rounded(value: Any) -> Any:
    """Sums of floats depend on their order in the last digit."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _shown(server: Running, ids: set[str]) -> Any:
    body = {"query": {"ids": {"values": sorted(ids)[:5]}}}
    return [one["_source"] for one in server.client.post("/es/_search", json=body).json()["hits"]["hits"]]


@pytest.mark.feature("L7")
def test_counts_and_filters_open_no_block(
    start: Callable[..., Running], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting a common word, a phrase of common words or values of fields needs no line of a sealed day."""
    day = clock.now() // 86_400 * 86_400 - 40_000
    server = _filled(start, day, monkeypatch)
    opened: list[int] = []
    used = Opener._open

    def noted(self: Opener, one: Any, known: Any) -> Any:
        opened.append(one.id)
        return used(self, one, known)

    monkeypatch.setattr(Opener, "_open", noted)
    by_minute = {"t": {"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}}}
    for text in ("paid", "message:paid", '"connection lost"', "level:ERROR AND NOT service:mail"):
        body = {"size": 0, "query": {"query_string": {"query": text}}, "aggs": by_minute}
        assert server.client.post("/es/_search", json=body).json()["hits"]["total"]["value"] > 5
    # The odd lines of the day are in a few blocks.
    assert len(opened) < 4 * 2 * len(ODD)


@pytest.mark.feature("L7")
async def test_what_a_segment_has_of_a_path(tmp_path: Path) -> None:
    """Few values are numbered, texts of common words have shapes, and free texts have lines of words."""
    rng = random.Random(2)
    made = [
        {"kind": rng.choice(["a", "b"]), "message": f"order {n} of user u{n} is {rng.choice(WORDS_OF)}",
         "free": " ".join(rng.choices([f"w{i}" for i in range(40)], k=8)), "id": f"x{n}",
         "took": n % 1_400 / 10}
        for n in range(3_000)
    ]  # fmt: skip
    raw = sqlite3.connect(":memory:", isolation_level=None)
    day_file.create(raw)
    lines = [Line(n * 1_000_000, 3, 1, json.dumps(one).encode()) for n, one in enumerate(made)]
    writer = segment_writer.SegmentWriter(raw)
    for at in range(0, 3_000, 500):
        writer.add(1 + at, columns_of(lines[at : at + 500]))
    writer.end()

    (segment,) = Segments(raw).all

    kinds = dict(zip(segment.about.paths, segment.about.kinds, strict=True))
    assert kinds == {"kind": VALUES, "message": SHAPES, "free": WORDS, "id": SHAPES, "took": VALUES}
    shapes, codes = segment.values(segment.numbers["message"]), segment.codes(segment.numbers["message"])
    assert shapes[codes[0] - 1].startswith(" order # of user ? is ")
    assert segment.values(segment.numbers["id"]) == [" ? "]
    held = segment.word("w7")[segment.numbers["free"]]
    assert held.tolist() == ["w7" in one["free"].split() for one in made]
    slow = judge(parse("took:[17.5 TO 100}", Style(now=0.0)), segment, Nowhere())
    assert slow.sure.tolist() == slow.maybe.tolist() == [17.5 <= one["took"] < 100 for one in made]
    word = judge(parse("message:or*", Style(now=0.0)), segment, Nowhere())
    assert word.sure.all()
    assert not judge(parse("message:oz*", Style(now=0.0)), segment, Nowhere()).maybe.any()
    near = judge(Words("message", "order connectio", slop=20, prefix=True), segment, Nowhere())
    assert near.maybe.tolist() == [True] * len(made)
    assert judge(parse("message:u1*", Style(now=0.0)), segment, Nowhere()).maybe.all()
