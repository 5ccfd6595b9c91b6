"""Generated requests to mamimon and to a real OpenSearch node that hold the same documents.

300 by default, 3,000 with MAMIMON_FULL=1; MAMIMON_SEED and MAMIMON_QUERIES choose others. What differs for a
reason is in `differences.tsv`: an expression of request and difference, and why.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mamimon.logs.store import lanes, scan, segment_builder
from tests.conformance.elasticsearch.opensearch.compare import difference
from tests.conformance.elasticsearch.opensearch.documents import Shop
from tests.conformance.elasticsearch.opensearch.mistakes import MISTAKES
from tests.conformance.elasticsearch.opensearch.requests import Request, Requests
from tests.conformance.elasticsearch.opensearch.shapes import keys, parameters
from tests.conformance.elasticsearch.opensearch.sides import NOW, Mamimon, OpenSearch

DECLARED = Path(__file__).with_name("differences.tsv")
SEED = int(os.environ.get("MAMIMON_SEED", "20261128"))
COUNT = int(os.environ.get("MAMIMON_QUERIES", "3000" if os.environ.get("MAMIMON_FULL") else "300"))
DOCUMENTS = 3_000


@pytest.fixture(scope="module")
def shop() -> Shop:
    """The documents."""
    return Shop(DOCUMENTS, SEED, NOW)


@pytest.fixture(scope="module")
def ours(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mamimon]:
    """mamimon with the documents."""
    side = Mamimon(tmp_path_factory.mktemp("ours"))
    try:
        side.fill(shop)
        yield side
    finally:
        side.stop()


@pytest.fixture(scope="module")
def theirs(shop: Shop, ours: Mamimon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    """OpenSearch with the documents, mapped as mamimon says that they are."""
    side = OpenSearch(tmp_path_factory.mktemp("theirs") / "node")
    try:
        side.take(ours.send("GET", "/_mapping").body)
        side.fill(shop)
        yield side
    finally:
        side.stop()


class Tally:
    """How requests were answered: alike, otherwise for a declared reason, or just otherwise."""

    def __init__(self) -> None:
        rows = [line.split("\t") for line in DECLARED.read_text(encoding="utf-8").splitlines()]
        self.declared = [re.compile(expression, re.DOTALL) for expression, _ in rows]
        self.explained: Counter[re.Pattern[str]] = Counter()
        self.kinds: Counter[str] = Counter()
        self.different: list[str] = []
        self.errors = self.empty = 0

    def ask(self, request: Request, theirs: OpenSearch, ours: Mamimon) -> None:
        """Ask both sides and note what differs."""
        answers = theirs.ask(request), ours.ask(request)
        self.kinds[request.kind] += 1
        first = answers[0][0]
        self.errors += first.status >= 400
        hits = first.body.get("hits") if isinstance(first.body, dict) else None
        self.empty += isinstance(hits, dict) and hits.get("total") == {"value": 0, "relation": "eq"}
        if not (text := difference(request, *answers)):
            return
        known = next((one for one in self.declared if one.search(f"{request}\n{text}")), None)
        if known is None:
            self.different.append(f"{request}\n    {text}")
        else:
            self.explained[known] += 1

    def __str__(self) -> str:
        count, explained, other = self.kinds.total(), self.explained.total(), len(self.different)
        return (
            f"{count} requests: {count - explained - other} equal, {explained} declared, {other} not;"
            f" {self.errors} errors, {self.empty} empty; {dict(self.kinds)}"
        )


@pytest.mark.peer("opensearch")
@pytest.mark.feature("L2")
def test_generated_requests_are_answered_as_opensearch_answers(
    theirs: OpenSearch,
    ours: Mamimon,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every generated request has OpenSearch's answer: hits in order, totals, buckets, values, errors."""
    # The columns of sealed days are to answer here, however few the blocks.
    monkeypatch.setattr(scan, "PATIENCE", 0)
    monkeypatch.setattr(lanes, "SHARE", 10_000)
    monkeypatch.setattr(segment_builder, "PATHS", segment_builder.PATHS)
    requests, tally = Requests(shop, SEED), Tally()
    for number in range(COUNT):
        if number == COUNT // 2:
            ours.seal()
        tally.ask(requests.request(), theirs, ours)
    with capsys.disabled():
        print(f"\nseed {SEED}, {tally}")

    assert not tally.different, "theirs | ours\n" + "\n".join(tally.different[:200])
    assert tally.errors < COUNT * 0.2 and tally.empty < COUNT * 0.3, "most must have an answer to compare"


def ask_all(
    requests: Iterable[Request], theirs: OpenSearch, ours: Mamimon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ask both, say how many are equal, and fail where one is not and that is not declared."""
    tally = Tally()
    for request in requests:
        tally.ask(request, theirs, ours)
    with capsys.disabled():
        print(f"\n{tally}")

    assert not tally.different, "theirs | ours\n" + "\n".join(tally.different[:200])


@pytest.mark.peer("opensearch")
@pytest.mark.feature("L2")
def test_mistakes_are_refused_as_opensearch_refuses_them(
    theirs: OpenSearch, ours: Mamimon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every wrong request is refused with OpenSearch's status and type of error, or for a declared reason."""
    mistakes = (Request("mistake", method, path, body, params) for method, path, body, params in MISTAKES)
    ask_all(mistakes, theirs, ours, capsys)


@pytest.mark.peer("opensearch")
@pytest.mark.feature("L2")
def test_every_key_and_parameter_is_read_as_opensearch_reads_it(
    theirs: OpenSearch, ours: Mamimon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each takes values of the same shapes and means the same by them, or is refused by its name."""
    ask_all((*keys(), *parameters()), theirs, ours, capsys)
