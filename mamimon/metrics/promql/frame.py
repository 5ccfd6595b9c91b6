"""What an evaluation carries along: the query with its source and limits, and the grid of times."""

from __future__ import annotations

from dataclasses import dataclass

from mamimon.metrics.model import SeriesSource
from mamimon.metrics.promql.annotations import Annotations
from mamimon.metrics.promql.ast import DurationExpr
from mamimon.metrics.promql.durations import resolve_duration
from mamimon.metrics.promql.values import Ints, Limits


@dataclass(frozen=True, eq=False)
class Frame:
    """The times (ms) that an expression is evaluated at, all at once."""

    times: Ints
    step_ms: int

    @property
    def steps(self) -> int:
        """How many times."""
        return len(self.times)


@dataclass(frozen=True, eq=False)
class Query:
    """One question: where samples come from, its range (ms) and what it may cost."""

    source: SeriesSource
    start_ms: int
    end_ms: int
    step_ms: int
    lookback_ms: int
    subquery_step_ms: int
    limits: Limits
    notes: Annotations

    def duration(
        self, fixed_ms: int, expr: DurationExpr | None, frame: Frame, *, may_be_negative: bool = False
    ) -> int:
        """A duration in ms, once the step and range of the question are known."""
        if expr is None:
            return fixed_ms
        return resolve_duration(
            expr, self.step_ms, self.end_ms - self.start_ms, may_be_negative=may_be_negative
        )
