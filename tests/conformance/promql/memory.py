"""A series source in memory, for scripts and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mamimon.metrics.model import ABSENT_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.promql.regexes import compile_regex
from mamimon.metrics.promql.values import signature


class Memory:
    """All series in one block with holes, or each series in its own without any."""

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self._series: dict[object, tuple[Labels, dict[int, float]]] = {}

    def add(self, labels: Labels, samples: dict[int, float]) -> None:
        self._series.setdefault(signature(labels), (labels, {}))[1].update(samples)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        chosen = [
            (labels, {time: value for time, value in samples.items() if start_ms <= time <= end_ms})
            for labels, samples in self._series.values()
            if all(matches(matcher, labels) for matcher in matchers)
        ]
        chosen.sort(key=lambda one: signature(one[0]))
        labels = [one[0] for one in chosen]
        groups = [range(len(chosen))] if self.shared else [[row] for row in range(len(chosen))]
        blocks = [self._block(chosen, list(rows)) for rows in groups]
        return Selection(labels, [block for block in blocks if len(block.times)])

    @staticmethod
    def _block(chosen: list[tuple[Labels, dict[int, float]]], rows: list[int]) -> Block:
        times = sorted({time for row in rows for time in chosen[row][1]})
        column = {time: number for number, time in enumerate(times)}
        values = np.full((len(rows), len(times)), ABSENT_NAN)
        for number, row in enumerate(rows):
            for time, value in chosen[row][1].items():
                values[number, column[time]] = value
        return Block(np.array(times, dtype=np.int64), np.array(rows, dtype=np.int64), values)


def matches(matcher: Matcher, labels: Labels) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (compile_regex(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")
