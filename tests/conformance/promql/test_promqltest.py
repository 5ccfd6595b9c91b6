"""Prometheus' own promqltest corpus against the engine; the list of gaps may only shrink."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.conformance.promql.memory import Memory
from tests.conformance.promql.run import Outcome, run
from tests.conformance.promql.stored import Stored

GAPS = Path(__file__).with_name("gaps.tsv")


def classes(material: Path) -> dict[tuple[str, int], str]:
    """What kind each case of the corpus is."""
    rows = (material / "promqltest" / "classification.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {(row.split("\t")[0], int(row.split("\t")[1])): row.split("\t")[3] for row in rows}


def gaps() -> dict[str, str]:
    """The declared gaps: file:line and why."""
    return dict(line.split("\t", 1) for line in GAPS.read_text(encoding="utf-8").splitlines())


def outcomes(material: Path) -> list[Outcome]:
    """Every eval, over one block with holes and over a block a series; a case must pass both ways."""
    out: dict[tuple[str, int], Outcome] = {}
    for path in sorted((material / "promqltest" / "testdata").glob("*.test")):
        for shared in (True, False):
            for outcome in run(path, partial(Memory, shared=shared)):
                key = (outcome.file, outcome.line)
                if key not in out or not out[key].failure:
                    out[key] = outcome
    return list(out.values())


@pytest.mark.feature("M3")
def test_the_corpus(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every case passes or is a gap on the list with its reason; a gap that passes leaves the list."""
    kinds, known = classes(material), gaps()
    tally: Counter[tuple[str, str]] = Counter()
    failing: dict[str, str] = {}
    for outcome in outcomes(material):
        kind = kinds.get((outcome.file, outcome.line), "core")
        place = f"{outcome.file}:{outcome.line}"
        if outcome.failure:
            failing[place] = outcome.failure
        verdict = "passed" if not outcome.failure else "gap" if place in known else "failed"
        tally[kind, verdict] += 1
    with capsys.disabled():
        for kind in sorted({kind for kind, _ in tally}):
            passed, failed, declared = (tally[kind, verdict] for verdict in ("passed", "failed", "gap"))
            print(f"\npromqltest {kind}: {passed} passed, {failed} failed, {declared} declared gaps", end="")
        print()
    if os.environ.get("MAMIMON_WRITE_GAPS"):
        GAPS.write_text("".join(f"{place}\t{why[:160]}\n" for place, why in failing.items()))
        pytest.fail("gaps.tsv was written anew; look at what changed")

    assert {place: why for place, why in failing.items() if place not in known} == {}
    assert sorted(set(known) - set(failing)) == [], "these pass now: take them off gaps.tsv"


@pytest.mark.feature("M3")
@pytest.mark.feature("M2")
def test_the_corpus_through_the_real_store(
    material: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loaded into day files and read back, open and sealed, every case answers as it does from memory."""
    known = gaps()
    failing: dict[str, str] = {}
    passed = 0
    files = sorted((material / "promqltest" / "testdata").glob("*.test"))
    with asyncio.Runner() as runner:
        for number, path in enumerate(files):
            folder = tmp_path / path.stem
            for outcome in run(path, lambda: Stored(folder, runner, sealed=number % 2 == 0)):  # noqa: B023
                passed += not outcome.failure
                if outcome.failure and f"{outcome.file}:{outcome.line}" not in known:
                    failing[f"{outcome.file}:{outcome.line}"] = outcome.failure
    with capsys.disabled():
        print(f"\npromqltest through the store: {passed} passed, {len(failing)} failed")
    assert failing == {}
