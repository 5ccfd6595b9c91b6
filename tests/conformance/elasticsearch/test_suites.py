"""Other people's tests of the Elasticsearch API; the list of gaps may only shrink."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.elasticsearch import examples, quickwit, rest, stories
from tests.conformance.elasticsearch.conftest import COUNTS
from tests.conformance.elasticsearch.door import Door, Outcome

GAPS = Path(__file__).with_name("gaps.tsv")
SUITES: dict[str, tuple[str, Callable[[Door, Path], list[Outcome]]]] = {
    "quickwit": ("quickwit/scenarii", quickwit.run),
    "stories": ("opensearch-stories", stories.run),
    "rest": ("opensearch-rest-tests", rest.run),
    "examples": ("elastic-spec-examples", examples.run),
}


def gaps() -> dict[str, str]:
    """The declared gaps: place and why."""
    return dict(line.split("\t", 1) for line in GAPS.read_text(encoding="utf-8").splitlines())


@pytest.mark.feature("L2")
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_suite(suite: str, material: Path, start: Callable[..., Any], pytestconfig: pytest.Config) -> None:
    """Every case passes or is a gap on the list with its reason; a gap that passes leaves the list."""
    folder, run = SUITES[suite]
    server = start(logs={"retention_days": 20_000})
    known = {place: why for place, why in gaps().items() if place.startswith(suite + "/")}
    outcomes = run(Door(server.url), material / "es-yaml" / folder)
    failing = {one.place: one.failure for one in outcomes if one.failure}
    tally = Counter(
        "passed" if not one.failure else "declared gaps" if one.place in known else "failed"
        for one in outcomes
    )
    pytestconfig.stash.setdefault(COUNTS, {})[suite] = tally
    if target := os.environ.get("MAMIMON_WRITE_FAILURES"):
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(f"{place}\t{why}\n" for place, why in failing.items())
    assert len({one.place for one in outcomes}) == len(outcomes) > 0
    assert {place: why for place, why in failing.items() if place not in known} == {}
    assert sorted(set(known) - set(failing)) == [], "these pass now: take them off gaps.tsv"
