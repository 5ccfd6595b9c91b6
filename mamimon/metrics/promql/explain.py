"""What each node of a query cost and gave: the tree that the graph page shows under "explain"."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from mamimon.metrics.promql.ast import Aggregate, Call, Expr, Paren, Range, Selector, Subquery, children
from mamimon.metrics.promql.evaluator import Evaluator, RangeVector
from mamimon.metrics.promql.parser import parse
from mamimon.metrics.promql.values import Ints, Scalar, Value, Vector


class Explained(msgspec.Struct):
    """A node of the tree; times in milliseconds, `own_ms` without the nodes below."""

    text: str
    what: str
    """The operator, function or kind of the node."""
    series: int | None
    """How many series it gave; None for a number or text."""
    samples: int
    """How many numbers these have: points of the answer, or samples read for a range."""
    total_ms: float
    own_ms: float
    children: list[Explained] = []


class Tracing(Evaluator):
    """An evaluator that remembers what its nodes took; `explained` is the tree once it has run."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._took: dict[tuple[int, int], tuple[float, int | None, int]] = {}

    def evaluate(self, node: Expr, times: Ints) -> Value:
        """See `Evaluator.evaluate`."""
        began = time.perf_counter()
        value = super().evaluate(node, times)
        series = len(value.labels) if isinstance(value, Vector) else None
        samples = int(value.values.size) if isinstance(value, Vector | Scalar) else 0
        self._note(node, began, series, samples)
        return value

    def windows(
        self, node: Range | Subquery, times: Ints, function: str = "", *, stackable: bool = True
    ) -> RangeVector:
        """See `Evaluator.windows`."""
        began = time.perf_counter()
        found = super().windows(node, times, function, stackable=stackable)
        samples = sum(len(rows) * part.times.shape[-1] for rows, part in found.parts)
        self._note(node, began, len(found.labels), samples)
        return found

    def _note(self, node: Expr, began: float, series: int | None, samples: int) -> None:
        # A node may be evaluated more than once: what it took adds up.
        before = self._took.get((node.start, node.end), (0.0, None, 0))[0]
        self._took[node.start, node.end] = (before + time.perf_counter() - began, series, samples)

    def explained(self, query: str) -> Explained:
        """The tree of the query, which has been evaluated."""
        return self._explain(parse(query), query)

    def _explain(self, node: Expr, query: str) -> Explained:
        while isinstance(node, Paren):
            node = node.expr
        took, series, samples = self._took.get((node.start, node.end), (0.0, None, 0))
        below = [] if isinstance(node, Range) else children(node)
        inner = [self._explain(child, query) for child in below]
        own = max(0.0, took * 1000 - sum(child.total_ms for child in inner))
        text = query[node.start : node.end]
        return Explained(text, _what(node), series, samples, took * 1000, own, inner)


def _what(node: Expr) -> str:
    if isinstance(node, Aggregate):
        return node.op
    if isinstance(node, Call):
        return node.function.name
    if isinstance(node, Selector | Range):
        return "samples"
    return getattr(node, "op", type(node).__name__.lower())
