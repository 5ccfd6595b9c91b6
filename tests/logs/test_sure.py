"""Lines that are judged by their bytes: never otherwise than by decoding them."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mamimon.logs.clauses import Clause, Row
from mamimon.logs.clauses.needles import first_place, fold_bytes, is_odd, maybe_in, respelled
from mamimon.logs.lucene import Style, parse
from mamimon.logs.model import level_number
from mamimon.logs.query import LogQuery, count_all, count_steps
from mamimon.logs.store.scan import View
from tests.logs import random_queries
from tests.logs.test_store import NOW, documents, random_query, store

NASTY = [
    r'{"message":"first","message":"second error"}',
    r'{"message":"a \"message\":\"error\" b","user":"message"}',
    r'{"other":"message","n":1}',
    r'{"message":["error","chat"],"n":[1,503]}',
    r'{"message":"error\nchat","n":-503}',
    r'{"error":"chat","chat":{"error":1}}',
    r'{ "message" : "KeyError: chat" , "n" : 503 }',
    r'{"message":null,"n":true,"level":"error"}',
    r'{"n":5.03e2}',
    r'{"n":503.0}',
    r'{"n":50300000000000000000000}',
    r'{"n":0.00000503}',
    r'{"n":503.00000000000000001}',
    r'{"n":12345678901234567.503}',
    r'{"message":"errors chatty a503 503b 5030"}',
    r'{"message":"503."}',
    r'{"message":"ERROR","level":"odd error","n":-0}',
    r'{"message":"érror cafe error"}',
    r'{"message":"{braces} error"}',
    r'{"level":"ERROR","n.keyword":503,"n":7}',
    r'{"a error":"b"}',
    r'{"message":"404\n"}',
    r'{"message":"a\tn\\n n\n"}',
]
QUERIES = [
    "error", "message:error", "message:err*", "NOT message:error", "n:503", "503", "NOT 503", "n:>100",
    "n:[-600 TO 5]", "*503*", "n:*503*", "*e+22*", "NOT n:*", "message:chat OR n:503", '"error chat"',
    "message:error AND NOT level:error", "level:error", "NOT level:ERROR", "level:E*", "error AND chat",
    "n:true", "message:\"keyerror chat\"", "n:-503", "\\-503", "NOT error", "other:message", "503.0",
    "n", "t", "NOT n", "message:n", '"404 n"', "NOT (message:error OR n:503)",
    "message.keyword:ERROR", "n.keyword:503", "n:7", "error:chat",
]  # fmt: skip


class Nowhere:
    """The source of rows that lie in no day."""

    def id_of(self, seq: int) -> str:
        return f"x-{seq}"

    def dataset_of(self, number: int) -> str:
        return "app"

    def index_of(self, number: int) -> str:
        return "logs-app"


def _lines() -> list[bytes]:
    rng = random.Random(5)
    made = [one.body for one in random_queries.documents(rng, NOW, 500)] + documents(300)
    flat = [{k: v for k, v in one.items() if not isinstance(v, (dict, list))} for one in made]
    texts = [json.dumps(one, ensure_ascii=False) for one in [*made, *flat]]
    compact = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in flat]
    return [text.encode() for text in [*texts, *compact, *NASTY]]


@pytest.mark.feature("L4")
def test_what_is_said_of_a_line_by_its_bytes_is_what_decoding_it_says() -> None:
    """Of 2,400 lines and 330 queries no line is judged otherwise, and no needle misses a match."""
    rng = random.Random(9)
    said: Counter[bool | None] = Counter()
    queries = QUERIES + [random_query(rng) for _ in range(300)]
    rows = []
    for seq, raw in enumerate(_lines()):
        level = level_number(json.loads(raw).get("level"))
        rows.append(Row(seq, round(NOW * 1e6), level, 1, raw, Nowhere()))
    for text in queries:
        clause: Clause = parse(text, Style(now=NOW))
        sure, needles = clause.sure(), clause.needles()
        for row in rows if text in QUERIES else rng.sample(rows, 300) + rows[-len(NASTY) :]:
            raw, match = row.raw, clause.match(row)
            if sure is not None:
                # In the middle of a body, as in a block.
                body = b'{"a":1}\n' + raw + b'\n{"error":"503"}'
                answer = sure.holds(body, fold_bytes(body), 8, 8 + len(raw), row.level)
                assert answer in {None, match}, f"{text} on {raw!r} is {match}"
                said[answer] += 1
            # A whole number is looked for by its digits, however the line could spell it.
            if match and needles is not None and ("*" in text or not respelled(raw, 0, len(raw))):
                assert maybe_in(needles, raw), f"{text} on {raw!r}"
                assert first_place(needles, raw, odd=is_odd(raw)) >= 0, f"{text} on {raw!r}"
    assert said[True] > 1_000 and said[False] > 10_000


def _brute(clause: Clause, view: View) -> Counter[tuple[int, int]]:
    rows = (row for row in view.any_order() if clause.match(row))
    return Counter((row.time_us // 60_000_000, row.level) for row in rows)


@pytest.mark.feature("L7")
async def test_counts_by_columns_are_those_of_every_line(tmp_path: Path) -> None:
    """Counts by minute and level of lines that must be read are those of reading them one by one."""
    days, ingest, backend = store(tmp_path, block_rows=64, mask=False)
    ingest.open()
    made: list[Any] = [*documents(400), *({"@timestamp": NOW - n * 7, **json.loads(text)}
                       for n, text in enumerate(NASTY * 3) if "message\":\"first" not in text)]  # fmt: skip
    for start in range(0, len(made), 50):
        lines = [json.dumps(one).encode() for one in made[start : start + 50]]
        await ingest.append([ingest.record_of(line, "app" if start % 100 else "web") for line in lines])
    rng = random.Random(4)
    for text in [*QUERIES, *(random_query(rng) for _ in range(60))]:
        plan, whole = backend.plan(LogQuery(text=text)), backend.plan(LogQuery())
        for day in days.days():
            counts, _ = await days.read(day, plan, partial(count_steps, step_us=60_000_000))
            total, _ = await days.read(day, plan, count_all)
            meant, _ = await days.read(day, whole, partial(_brute, plan.clause))
            assert meant is not None
            assert counts == meant, text
            assert total == meant.total(), text
    await ingest.close()
    await days.close()
