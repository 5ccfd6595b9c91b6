"""The real series store as a script's store: what is loaded goes through day files before it is asked for."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mamimon.clock import ManualClock
from mamimon.config import Settings
from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import Labels, Matcher, Selection
from mamimon.metrics.promql.values import signature
from mamimon.metrics.store import SeriesStore, scrape_of
from tests.conformance.promql.memory import Memory

_YEARS_S = 40 * 365 * 86_400.0


class Stored(Memory):
    """Everything loaded is written anew when a question follows a load; sealed, or left open."""

    def __init__(self, directory: Path, runner: asyncio.Runner, *, sealed: bool) -> None:
        super().__init__(shared=True)
        self._directory = directory
        self._runner = runner
        self._sealed = sealed
        self._store: SeriesStore | None = None

    def add(self, labels: Labels, samples: dict[int, float | Histogram]) -> None:
        super().add(labels, samples)
        self.close()

    def add_starts(self, labels: Labels, starts: dict[int, int]) -> None:
        super().add_starts(labels, starts)
        self.close()

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        if self._store is None:
            self._store = self._runner.run(self._load())
        source = self._store.source(max_samples=50_000_000, deadline=time.monotonic() + 60)
        return source.select(matchers, start_ms, end_ms)

    async def _load(self) -> SeriesStore:
        settings = Settings()
        settings.metrics.retention_days = 100 * 365
        store = SeriesStore(self._directory, settings, ManualClock(_YEARS_S))
        await store.open()
        rows: dict[int, list[tuple[Labels, float | Histogram]]] = {}
        for labels, samples in self._series.values():
            for at, value in samples.items():
                rows.setdefault(at, []).append((labels, value))
        for at, samples in sorted(rows.items()):
            day = await store.day_of(at)
            scrape = scrape_of(day, "script", at, samples, whole=False)
            began = [self.starts.get(signature(labels), {}).get(at, 0) for labels, _ in samples]
            scrape.starts = np.asarray(began, dtype=np.int64) if any(began) else None
            await store.write([scrape])
        if self._sealed:
            await store.seal_due()
        else:
            await store.close()
            store = SeriesStore(self._directory, settings, ManualClock(_YEARS_S))
            await store.open()
        return store

    def close(self) -> None:
        """Throw the files away."""
        if self._store is not None:
            self._runner.run(self._store.close())
            self._store = None
        shutil.rmtree(self._directory, ignore_errors=True)
