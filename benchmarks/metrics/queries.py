"""Measures design §14's metric rows: mamimon beside Prometheus 3 and VictoriaMetrics, over the same samples.

Run: python -m benchmarks.metrics.queries [--hours 24] [--runs 5] [--json FILE]

2,000 series x 24 h x 15 s of the day before yesterday are remote-written into all three, brought into
their final form on disk, and asked over HTTP. "Cold" is the first question to a fresh process (files are in the
page cache), the median of several starts, "warm" the median of the runs after it; VictoriaMetrics' cache of answers
is off (nocache=1). Prints a line a row: milliseconds of each, and of its processor in brackets, ratios mamimon /
peer of both, and whether they are within the design's bars. On a machine with other work only the processor's
say something, for all three use both cores; a bar is missed where both ratios are above it.
"""

# ruff: noqa: E501 (a table)
from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.metrics.samples import World, names
from benchmarks.metrics.servers import SIDES, Side, together

DAY_S = 86_400
COLD_RUNS = 3
PANELS = [
    *(f"sum by (job) (rate({name}[5m]))" for name, kind in names() if kind == "cpu"),
    *(f"avg by (instance) ({name})" for name, kind in names() if kind == "bytes"),
    *(f"max by (job) (max_over_time({name}[10m]))" for name, kind in names() if kind == "noisy"),
    *(f'{name}{{n="1"}}' for name, kind in names() if kind == "constant"),
    *(f"topk(5, increase({name}[1h]))" for name, kind in names() if kind == "slow"),
]


@dataclass
class Row:
    """One work, what each took (milliseconds or bytes), of its processor too, and the bars for mamimon / peer."""

    work: str
    bars: dict[str, float]
    took: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, tuple[float, float]]:
        """mamimon / peer, by the clock and by the processor."""
        out = {}
        for peer in self.took:
            if peer != "mamimon":
                taken = self.took["mamimon"] / self.took[peer]
                out[peer] = taken, self.busy["mamimon"] / self.busy[peer] if self.busy else taken
        return out

    def missed(self) -> list[str]:
        """The peers whose bar is missed."""
        return [peer for peer, both in self.ratios().items() if min(both) > self.bars.get(peer, 1e9)]

    def line(self) -> str:
        """As a person reads it."""
        parts = [f"{self.work:58}"]
        for name, value in self.took.items():
            parts.append(f"{name} {value:.2f}" + (f" [{self.busy[name]:.2f}]" if self.busy else ""))
        for peer, (taken, busy) in self.ratios().items():
            bar = self.bars.get(peer)
            verdict = "" if bar is None else f" (bar {bar:g}: {'MISSED' if peer in self.missed() else 'ok'})"
            parts.append(f"{taken:.2f}x [{busy:.2f}x] of {peer}{verdict}")
        return " | ".join(parts)


@dataclass
class Question:
    """A query of the benchmark; `back_s` is how long a range it has, 0 = instant."""

    work: str
    expr: str
    back_s: int
    bars: dict[str, float]


def questions(hours: int) -> list[Question]:
    """What is asked."""
    whole = hours * 3600
    both = {"prometheus": 0.1, "victoria-metrics": 0.1}
    return [
        Question("sum by (job) (rate(x[5m])), 1,000 series, all hours", "sum by (job) (rate(x[5m]))", whole,
                 {"prometheus": 0.25, "victoria-metrics": 1.2}),
        Question("max_over_time(x[1h]), 1,000 series, all hours", "max_over_time(x[1h])", whole, both),
        Question("max by (job) (max_over_time(x[1h])), all hours", "max by (job) (max_over_time(x[1h]))", whole, both),
        Question("x as JSON, 1,000 series, all hours", "x", whole, {"prometheus": 0.5, "victoria-metrics": 0.5}),
        Question("sum(rate(x[1h])), all hours", "sum(rate(x[1h]))", whole, {"prometheus": 0.25}),
        Question("sum by (job) (rate(x[5m])), last hour", "sum by (job) (rate(x[5m]))", 3600, {"prometheus": 0.5}),
        Question("one series, all hours", 'x{instance="host3:9100", n="7"}', whole, {"prometheus": 1}),
        Question("rate of one series, all hours", 'rate(x{instance="host3:9100", n="7"}[5m])', whole, {"prometheus": 1}),
        Question("instant: one series", 'x{instance="host3:9100", n="7"}', 0, {"prometheus": 1}),
        Question("instant: sum by (job) (rate(x[5m]))", "sum by (job) (rate(x[5m]))", 0, {"prometheus": 1}),
        Question("instant: x, 1,000 series", "x", 0, {"prometheus": 1}),
        Question("instant: vector(1)", "vector(1)", 0, {"prometheus": 1}),
    ]  # fmt: skip


def ask(side: Side, expr: str, end_s: int, back_s: int) -> tuple[float, int]:
    """Milliseconds of one question, the body read and thrown away, and how many series came."""
    form: dict[str, str | int] = {"query": expr, "nocache": 1}
    if back_s:
        path, more = "/api/v1/query_range", {"start": end_s - back_s, "end": end_s, "step": 60}
    else:
        path, more = "/api/v1/query", {"time": end_s}
    text = urlencode({**form, **more})
    begun = time.perf_counter()
    status, body = side.post(path, text)
    took = (time.perf_counter() - begun) * 1000
    if status != 200:
        sys.exit(f"{side.name}: {expr}: {body[:300]!r}")
    return took, body.count(b'"metric"')


def measure(sides: list[Side], question: Question, end_s: int, runs: int, *, cold: bool) -> list[Row]:
    """The cold and the warm row of a question."""
    out = []
    if cold:
        row = Row(f"cold: {question.work}", question.bars)
        for side in sides:
            firsts = []
            for _ in range(COLD_RUNS):
                side.stop()
                side.start()
                ask(side, "vector(1)", end_s, 0)
                before = side.processor_ms()
                took, _ = ask(side, question.expr, end_s, question.back_s)
                firsts.append((took, side.processor_ms() - before))
            row.took[side.name] = statistics.median(took for took, _ in firsts)
            row.busy[side.name] = statistics.median(busy for _, busy in firsts)
        out.append(row)
    row = Row(f"warm: {question.work}", question.bars)
    counts = {}
    for side in sides:
        repeat = runs if question.back_s else runs * 10
        before = side.processor_ms()
        taken = [ask(side, question.expr, end_s - number % 7, question.back_s) for number in range(repeat)]
        row.busy[side.name] = (side.processor_ms() - before) / repeat
        row.took[side.name] = statistics.median(took for took, _ in taken)
        counts[side.name] = taken[0][1]
    if len(set(counts.values())) > 1:
        sys.exit(f"{question.expr}: series {counts}")
    return [*out, row]


def dashboard(sides: list[Side], end_s: int, hours: int) -> Row:
    """Twenty panels over six hours, six at a time as browsers ask, to fresh processes."""
    row = Row("cold: a dashboard of 20 panels", {"prometheus": 0.7})
    together(sides, "stop")
    for side in sides:
        side.start()
        ask(side, "vector(1)", end_s, 0)
        with ThreadPoolExecutor(6) as pool:
            begun, before = time.perf_counter(), side.processor_ms()
            list(pool.map(lambda expr, side=side: ask(side, expr, end_s, min(hours, 6) * 3600), PANELS))
            row.took[side.name] = (time.perf_counter() - begun) * 1000
            row.busy[side.name] = side.processor_ms() - before
    return row


def load(sides: list[Side], world: World) -> dict[str, float]:
    """Write everything into all; returns samples/s."""
    taken = dict.fromkeys((side.name for side in sides), 0.0)
    for body in world.bodies():
        for side in sides:
            begun = time.perf_counter()
            side.write(body)
            taken[side.name] += time.perf_counter() - begun
    return {name: world.samples / took for name, took in taken.items()}


def run(given: argparse.Namespace, folder: Path) -> list[Row]:
    """All rows, printed as they are known."""
    loaded = folder / "loaded.json"
    end_s = int(time.time()) // DAY_S * DAY_S - DAY_S
    sides: list[Side] = [kind(folder / kind.name) for kind in SIDES if kind.name not in given.without]
    rows: list[Row] = []

    def note(row: Row) -> None:
        rows.append(row)
        print(row.line(), flush=True)

    size = Row("bytes a sample", {"prometheus": 0.5, "victoria-metrics": 1})
    for side in sides:
        side.start()
    try:
        if loaded.exists():
            end_s, size.took = json.loads(loaded.read_text())
        else:
            world = World((end_s - given.hours * 3600) * 1000, given.hours)
            rates = load(sides, world)
            for side in sides:
                size.took[side.name] = side.settle() / world.samples
            loaded.write_text(json.dumps([end_s, size.took]))
            print(
                f"{world.samples} samples; written at",
                {name: round(rate) for name, rate in rates.items()},
                "samples/s",
            )
        note(size)
        for question in questions(given.hours):
            if given.only not in question.work:
                continue
            for row in measure(sides, question, end_s, given.runs, cold=not given.warm):
                note(row)
        if not given.only:
            note(dashboard(sides, end_s, given.hours))
        note(Row("resident MB afterwards", {}, {side.name: side.resident_mb() for side in sides}))
    finally:
        together(sides, "stop")
    return rows


def main() -> None:
    """See the module."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--hours", type=int, default=24, help="fewer is quicker; the bars are for 24")
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--warm", action="store_true", help="leave the cold rows out")
    options.add_argument("--only", default="", help="leave out the works that have not this text")
    options.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    options.add_argument(
        "--folder",
        help="where to keep the data, or to find that of an earlier run; default: a temporary folder",
    )
    options.add_argument("--json", help="also write the rows to this file")
    given = options.parse_args()
    print("load average", os.getloadavg(), "cores", os.cpu_count())
    with tempfile.TemporaryDirectory() as temporary:
        rows = run(given, Path(given.folder or temporary))
    if given.json:
        Path(given.json).write_text(
            json.dumps([{**asdict(row), "ratios": row.ratios()} for row in rows], indent=1)
        )
    missed = [f"{row.work} ({peer})" for row in rows for peer in row.missed()]
    print("load average", os.getloadavg(), "-", "all bars met" if not missed else f"missed: {missed}")


if __name__ == "__main__":
    main()
