"""Metric queries of LogQL: count the lines of a log query over time, then sum and compare.

A vector is a dict from a label set (sorted pairs) to one number a step, NaN where there is none.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from mamimon.logs.wire.loki.syntax import Aggregate, Binary, LogQLError, Number, Range

if TYPE_CHECKING:
    import numpy as np

    Vector = dict[tuple[tuple[str, str], ...], np.ndarray[Any, Any]]

MOST_SERIES = 500
MOST_STEPS = 11_000
TOO_MANY_SERIES = (
    f"maximum number of series ({MOST_SERIES}) reached for a single query; consider reducing query"
    " cardinality by adding more specific stream selectors, reducing the time range, or aggregating"
    " results with functions like sum, count or topk"
)

Key = tuple[tuple[str, str], ...]


class Samples:
    """Times (microseconds) and sizes of the lines of one label set."""

    __slots__ = ("sizes", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.sizes = array("q")


Found = dict[Key, Samples]
Collect = Callable[["Range", "Aggregate | None"], Found]


def ranges_of(tree: Any, parent: Aggregate | None = None) -> Iterable[tuple[Range, Aggregate | None]]:
    """The range expressions of a tree, each with the sum that may be done while lines are read."""
    if isinstance(tree, Range):
        yield tree, parent if parent is not None and parent.function == "sum" else None
    elif isinstance(tree, Aggregate):
        yield from ranges_of(tree.inner, tree)
    elif isinstance(tree, Binary):
        yield from ranges_of(tree.left)
        yield from ranges_of(tree.right)


def group_key(aggregate: Aggregate, labels: dict[str, str], read: Callable[[str], str]) -> Key:
    """The label set that a line (or series) of these labels is summed into."""
    if not aggregate.grouped:
        return ()
    if aggregate.without:
        return tuple(sorted((k, v) for k, v in labels.items() if k not in aggregate.names and v))
    found = ((name, read(name)) for name in aggregate.names)
    return tuple(sorted((name, text) for name, text in found if text))


def _held(labels: dict[str, str], name: str) -> str:
    return labels.get(name, "")


def evaluate(tree: Any, steps_us: Any, collected: dict[int, Found]) -> Vector | float:
    """The value of a metric query at each step; `collected` holds what was read, by the id of the range."""
    import numpy as np

    if isinstance(tree, Number):
        if not tree.vector:
            return tree.value
        return {(): np.full(len(steps_us), tree.value)}
    if isinstance(tree, Range):
        return _over_time(tree, steps_us, collected[id(tree)])
    if isinstance(tree, Aggregate):
        inner = evaluate(tree.inner, steps_us, collected)
        if isinstance(inner, float):
            raise LogQLError(f"parse error : {tree.function} needs a vector, not a number")
        return _limited(_aggregated(tree, inner))
    left = evaluate(tree.left, steps_us, collected)
    right = evaluate(tree.right, steps_us, collected)
    return _binary(tree.op, left, right)


def _limited(vector: Vector) -> Vector:
    if len(vector) > MOST_SERIES:
        raise LogQLError(TOO_MANY_SERIES)
    return vector


def _over_time(node: Range, steps_us: Any, found: Found) -> Vector:
    import numpy as np

    out: Vector = {}
    ends = steps_us - round(node.offset_s * 1e6)
    starts = ends - round(node.range_s * 1e6)
    for key, samples in found.items():
        times = np.frombuffer(samples.times, dtype=np.int64)
        order = np.argsort(times, kind="stable")
        times = times[order]
        # A range is open at its start.
        low, high = np.searchsorted(times, starts, "right"), np.searchsorted(times, ends, "right")
        counts = high - low
        values = counts.astype(np.float64)
        if node.function.startswith("bytes"):
            sums = np.concatenate(([0], np.cumsum(np.frombuffer(samples.sizes, dtype=np.int64)[order])))
            values = (sums[high] - sums[low]).astype(np.float64)
        if node.function.endswith("rate"):
            values = values / node.range_s
        values[counts == 0] = math.nan
        if counts.any():
            out[key] = values
    return _limited(out)


def _aggregated(node: Aggregate, inner: Vector) -> Vector:
    import numpy as np

    if node.function in {"topk", "bottomk"}:
        return _extremes(node, inner)
    groups: dict[Key, list[Any]] = {}
    for key, values in inner.items():
        labels = dict(key)
        groups.setdefault(group_key(node, labels, partial(_held, labels)), []).append(values)
    out: Vector = {}
    for key, rows in groups.items():
        table = np.vstack(rows)
        present = ~np.isnan(table)
        count = present.sum(axis=0)
        if node.function == "count":
            values = count.astype(np.float64)
        elif node.function in {"sum", "avg"}:
            values = np.where(present, table, 0.0).sum(axis=0)
            if node.function == "avg":
                values = values / np.maximum(count, 1)
        elif node.function == "min":
            values = np.where(present, table, math.inf).min(axis=0)
        else:
            values = np.where(present, table, -math.inf).max(axis=0)
        values[count == 0] = math.nan
        out[key] = values
    return out


def _extremes(node: Aggregate, inner: Vector) -> Vector:
    import numpy as np

    if not inner:
        return {}
    groups: dict[Key, list[Key]] = {}
    for key in inner:
        labels = dict(key)
        groups.setdefault(group_key(node, labels, partial(_held, labels)), []).append(key)
    out: Vector = {}
    for keys in groups.values():
        table = np.vstack([inner[key] for key in keys])
        sign = -1.0 if node.function == "topk" else 1.0
        ranks = np.argsort(np.argsort(np.where(np.isnan(table), math.inf, sign * table), axis=0), axis=0)
        for row, key in enumerate(keys):
            values = np.where(ranks[row] < node.count, table[row], math.nan)
            if not np.isnan(values).all():
                out[key] = values
    return out


def _binary(op: str, left: Vector | float, right: Vector | float) -> Vector | float:
    import numpy as np

    if isinstance(left, float) and isinstance(right, float):
        kept = _operate(op, np.array([left]), np.array([right]), np.array([left]))
        return float(kept[0])
    if isinstance(left, float):
        assert isinstance(right, dict)
        return {key: _operate(op, np.full(len(v), left), v, v) for key, v in right.items()}
    if isinstance(right, float):
        return {key: _operate(op, v, np.full(len(v), right), v) for key, v in left.items()}
    return {key: _operate(op, v, right[key], v) for key, v in left.items() if key in right}


def _operate(op: str, left: Any, right: Any, shown: Any) -> Any:
    """One operator; a comparison keeps the vector's samples that it is true of."""
    import numpy as np

    with np.errstate(all="ignore"):
        if op in {"+", "-", "*", "/", "%", "^"}:
            work: dict[str, Callable[[Any, Any], Any]] = {
                "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.fmod, "^": np.power,
            }  # fmt: skip
            return work[op](left, right)
        compare: dict[str, Callable[[Any, Any], Any]] = {
            "==": np.equal, "!=": np.not_equal, ">": np.greater, ">=": np.greater_equal, "<": np.less,
            "<=": np.less_equal,
        }  # fmt: skip
        return np.where(compare[op](left, right), shown, math.nan)


def number_text(value: float) -> str:
    """A sample as Loki writes it."""
    import numpy as np

    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(np.format_float_positional(value, trim="-"))
