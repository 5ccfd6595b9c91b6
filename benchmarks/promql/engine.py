"""Times the PromQL engine alone: 1,000 counters x 24 h x 15 s in memory, step 60 s.

Run: python benchmarks/promql/engine.py [--series 1000] [--hours 24] [--holes]
Samples are in memory, ten targets a hundred series each; parsing and matching are included, decoding and
JSON are not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence

import numpy as np

from mamimon.metrics.model import ABSENT_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.promql import evaluate

START = 1_767_225_600_000
QUERIES = {
    "sum by (job) (rate(x[5m]))": 3600,
    "sum(rate(x[1h]))": 3600,
    "max_over_time(x[1h])": 3600,
    "quantile by (job) (0.9, rate(x[5m]))": 3600,
    "x": 3600,
    "sum_over_time(x[1h])": 3600,
    "topk(5, rate(x[5m]))": 3600,
    "rate(x[5m]) / on (job, instance, n) x * 100 > 0.5": 3600,
}


class Source:
    """Ten targets; a few counters reset once."""

    def __init__(self, series: int, hours: int, *, holes: bool) -> None:
        random = np.random.default_rng(7)
        samples = hours * 240
        self.labels: list[Labels] = []
        self.blocks: list[Block] = []
        for target in range(10):
            times = START + np.arange(samples, dtype=np.int64) * 15_000 + target * 137
            count = series // 10
            values = np.cumsum(random.integers(0, 50, (count, samples)), axis=1).astype(np.float64)
            for row in range(0, count, 10):
                at = int(random.integers(1, samples))
                values[row, at:] -= values[row, at]
            if holes:
                values[random.random(values.shape) < 0.01] = ABSENT_NAN
            rows = np.arange(len(self.labels), len(self.labels) + count, dtype=np.int64)
            self.labels += [
                {"__name__": "x", "job": f"j{target % 5}", "instance": f"host{target}:9100", "n": str(n)}
                for n in range(count)
            ]
            self.blocks.append(Block(times, rows, values))

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """All of it, cut to the time asked for."""
        out = []
        for block in self.blocks:
            low, high = np.searchsorted(block.times, [start_ms, end_ms + 1])
            out.append(Block(block.times[low:high], block.rows, block.values[:, low:high]))
        return Selection(self.labels, out)


def main() -> None:
    """Print one line of JSON a query: best, processor and median milliseconds of five runs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--series", type=int, default=1000)
    options.add_argument("--hours", type=int, default=24)
    options.add_argument("--holes", action="store_true", help="every hundredth sample is missing")
    given = options.parse_args()
    source = Source(given.series, given.hours, holes=given.holes)
    end = START + given.hours * 3_600_000
    for query, skip_s in QUERIES.items():
        for name, start, stop, step in (
            ("range", START + skip_s * 1000, end, 60_000),
            ("instant", end, end, 0),
        ):
            taken, worked = [], []
            for _ in range(5):
                begun, before = time.perf_counter(), time.process_time()
                result = evaluate(source, query, start, stop, step)
                taken.append((time.perf_counter() - begun) * 1000)
                worked.append((time.process_time() - before) * 1000)
            print(
                json.dumps(
                    {
                        "query": query,
                        "kind": name,
                        "best_ms": round(min(taken), 2),
                        "best_cpu_ms": round(min(worked), 2),
                        "median_ms": round(statistics.median(taken), 2),
                        "series": len(result.labels),
                        "steps": len(result.times),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
