"""The first question after a start finds everything there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mamimon.metrics import warm
from mamimon.metrics.promql import evaluate

FIRST = """
import asyncio, sys
from pathlib import Path

import numpy as np

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.query import LocalBackend
from mamimon.metrics.store import Scrape, SeriesStore
from mamimon.metrics.warm import warm_up
from mamimon.storage import Core, Database

START = 1_767_225_600


async def main():
    folder, clock = Path(sys.argv[1]), ManualClock(START + 7200.0)
    store = SeriesStore(folder / "metrics", Settings(), clock)
    state = await Database.open(folder / "state.db")
    await store.open()
    day = await store.day_of(START * 1000)
    number = day.index.id_of({"__name__": "x", "job": "a"})
    for at in range(START, START + 3600, 60):
        await store.write([Scrape("s", at * 1000, np.array([number]), np.array([float(at)]))])
    warm_up()
    backend = LocalBackend(Core(Settings(), clock, folder, state), store)
    before = set(sys.modules)
    for text in ("sum(rate(x[5m]))", "avg by (job) (x)", "max_over_time(x[10m])", "topk(1, x)"):
        found = await backend.range(text, START + 600, START + 3000, 60)
        assert len(found.labels) == 1, text
    print(sorted(set(sys.modules) - before))
    backend.close()
    await store.close()
    await state.close()


asyncio.run(main())
"""


@pytest.mark.feature("M4")
def test_the_first_question_imports_nothing(tmp_path: Path) -> None:
    """After warming up, a process that has never evaluated anything has all that questions need."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("text", warm._ASKED)
def test_what_is_asked_has_an_answer(text: str) -> None:
    """Warming up goes the whole way: each question finds series with a value at every step."""
    found = evaluate(warm._MadeUp(), text, 0, warm._SPAN_MS, warm._STEP_MS)
    assert found.present.any(axis=0).all()
    warm.warm_up()
