"""Generated queries to mamimon and to a real Prometheus 3 that hold the same samples.

300 by default, 5,000 with MAMIMON_FULL=1; MAMIMON_SEED and MAMIMON_QUERIES choose others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conformance.differential.compare import difference, nameless, same_by_default
from tests.conformance.differential.generator import Generator
from tests.conformance.differential.moving import World
from tests.conformance.differential.sides import DELAYED, Prometheus, ask, mamimon, push

SEED = int(os.environ.get("MAMIMON_SEED", "20261124"))
COUNT = int(os.environ.get("MAMIMON_QUERIES", "5000" if os.environ.get("MAMIMON_FULL") else "300"))


@pytest.fixture(scope="module")
def world(material: Path) -> World:
    """The samples."""
    return World(material / "exposition-samples" / "node_exporter" / "e2e-output.txt")


class Peers:
    """Prometheus that drops names late, as mamimon does, and one as it is by default, started when needed."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        self._world = world
        self._running: list[Prometheus] = []
        self.late = self._start(DELAYED)
        self._plain: httpx.Client | None = None

    def _start(self, *features: str) -> httpx.Client:
        one = Prometheus(self._folder / f"prometheus-{len(self._running)}", *features)
        self._running.append(one)
        push(one.client, self._world)
        return one.client

    @property
    def plain(self) -> httpx.Client:
        """Prometheus by default."""
        if self._plain is None:
            self._plain = self._start()
        return self._plain

    def stop(self) -> None:
        """End both."""
        for one in self._running:
            one.stop()


@pytest.fixture(scope="module")
def peers(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """Prometheus with the samples."""
    found = Peers(tmp_path_factory.mktemp("peers"), world)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def ours(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """mamimon with the samples."""
    server = mamimon(tmp_path_factory.mktemp("ours"))
    try:
        push(server.client, world)
        yield server.client
    finally:
        server.stop()


@pytest.mark.peer("prometheus")
@pytest.mark.feature("M3")
def test_generated_queries_are_answered_as_prometheus_answers(
    peers: Peers, ours: httpx.Client, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every generated query has Prometheus' answer: series, times, values within 1e-9, errors, annotations.

    Where names are dropped late, Prometheus gives a comparison of nameless vectors its name back; there we
    answer as Prometheus does by default, but where the query copies names.
    """
    generator = Generator(world, SEED)
    different, failed, empty, plain = [], 0, 0, 0
    for number in range(COUNT):
        query = generator.query()
        theirs, own = ask(peers.late, query), ask(ours, query)
        failed += theirs["status"] != "success"
        empty += theirs.get("data", {}).get("result") == []
        if text := difference(query.expr, theirs, own):
            named = difference(query.expr, nameless(query.expr, theirs), own)
            if named and not same_by_default(query.expr, theirs, own, ask(peers.plain, query)):
                different.append(f"{number}: {query}\n    {text}")
            else:
                plain += 1
    with capsys.disabled():
        print(
            f"\n{COUNT} queries (seed {SEED}): {COUNT - len(different)} equal; of all {failed} are errors,"
            f" {empty} empty, {plain} equal to Prometheus without {DELAYED} only"
        )

    assert not different, "theirs | ours\n" + "\n".join(different[:200])
    assert failed < COUNT * 0.15
    assert empty < COUNT * 0.3, "most questions must have an answer to compare"
    assert plain < COUNT * 0.03
