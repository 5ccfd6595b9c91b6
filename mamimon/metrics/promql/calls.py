"""Calls of functions, by what they take: ranges, vectors, scalars, histograms, labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql import buckets, elementwise, overtime, rates, relabelling
from mamimon.metrics.promql.ast import Call, Selector, unwrap
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.frame import Frame
from mamimon.metrics.promql.selectors import newest
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import Bools, Floats, Scalar, Value, Vector, concatenate, empty
from mamimon.metrics.promql.windows import Windows

if TYPE_CHECKING:
    from mamimon.metrics.promql.engine import Evaluator

_KEEP_NAME = {"last_over_time", "first_over_time"}
_COUNTER_ENDINGS = ("_total", "_sum", "_count", "_bucket")
_NATIVE_ONLY = {
    "histogram_avg",
    "histogram_count",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
}
_GAPS = {"info", "start_timestamp", "histogram_quantiles"}
Over = Callable[[Windows], tuple[Floats, Bools]]


class Calls:
    """The functions of one query."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._query = evaluator.query

    def call(self, node: Call, frame: Frame) -> Value:
        """What a call evaluates to."""
        name = node.function.name
        if name in _GAPS:
            raise PromQLError("execution", f"{name} is not implemented in mamimon")
        if name == "absent_over_time":
            return self._absent(node, self._over(node, frame, overtime.present_over_time), frame)
        if node.args and node.function.arguments and "matrix" in node.function.arguments:
            return relabelling.merge_equal(self._range_call(node, frame))
        if node.function.returns == "scalar":
            return self._scalar_call(node, frame)
        special: dict[str, Callable[[Call, Frame], Value]] = {
            "absent": lambda node, frame: self._absent(node, self._argument(node, frame), frame),
            "histogram_fraction": self._histogram_fraction,
            "histogram_quantile": self._histogram_quantile,
            "label_join": self._label_join,
            "label_replace": self._label_replace,
            "sort": lambda node, frame: relabelling.sort_by_value(
                self._argument(node, frame), descending=False
            ),
            "sort_desc": lambda node, frame: relabelling.sort_by_value(
                self._argument(node, frame), descending=True
            ),
            "sort_by_label": self._sort_by_label,
            "sort_by_label_desc": self._sort_by_label,
            "timestamp": self._timestamp,
            "vector": lambda node, frame: Vector(
                labels=[{}], values=self._evaluator.scalar(node.args[0], frame).values[None, :]
            ),
        }
        if name in special:
            return special[name](node, frame)
        if name in _NATIVE_ONLY:
            # They answer for native histograms only, and the store has none.
            self._argument(node, frame)
            return empty(frame.steps)
        return self._elementwise(node, frame)

    def _argument(self, node: Call, frame: Frame, position: int = 0) -> Vector:
        return self._evaluator.vector(node.args[position], frame)

    # Range vectors

    def _range_call(self, node: Call, frame: Frame) -> Vector:
        name = node.function.name
        scalars = [
            self._evaluator.scalar(argument, frame).values
            for argument, kind in zip(node.args, node.function.arguments, strict=False)
            if kind == "scalar"
        ]
        position = node.function.arguments.index("matrix")
        seconds = self._evaluator.range_ms(node.args[position], frame) / 1000
        functions: dict[str, Over] = {
            "rate": lambda w: rates.extrapolated(w, seconds, counter=True, per_second=True),
            "increase": lambda w: rates.extrapolated(w, seconds, counter=True, per_second=False),
            "delta": lambda w: rates.extrapolated(w, seconds, counter=False, per_second=False),
            "irate": lambda w: rates.instantaneous(w, counter=True),
            "idelta": lambda w: rates.instantaneous(w, counter=False),
            "quantile_over_time": lambda w: overtime.quantile_over_time(w, scalars[0]),
            "predict_linear": lambda w: overtime.predict_linear(w, scalars[0], frame.times),
            "double_exponential_smoothing": lambda w: overtime.double_exponential_smoothing(
                w, scalars[0], scalars[1]
            ),
        }
        if name == "quantile_over_time":
            for value in np.unique(scalars[0]).tolist():
                self._query.notes.quantile(node.args[0], value)
        if name == "double_exponential_smoothing":
            _check_factors(scalars[0], scalars[1])
        vector = self._over(node, frame, functions.get(name) or overtime.SIMPLE[name], position)
        if name in ("rate", "increase"):
            self._note_counters(node, vector)
        return vector

    def _over(self, node: Call, frame: Frame, compute: Over, position: int = 0) -> Vector:
        """Apply a function to all windows of a range vector, tile by tile."""
        parts: list[Vector] = []
        keep = node.function.name in _KEEP_NAME
        for labels, drops, windows in self._evaluator.windows(node.args[position], frame):
            if not len(windows.times):
                continue
            shape = (len(labels), frame.steps)
            self._query.limits.count(shape[0] * shape[1])
            values, present = np.empty(shape), np.empty(shape, dtype=np.bool_)
            for part, tile in windows.tiles():
                self._query.limits.check()
                values[part], present[part] = compute(tile)
            kept = np.flatnonzero(present.any(axis=1))
            if not len(kept):
                continue
            marks = drops if keep else [True] * len(labels)
            vector = Vector(labels=labels, values=values, present=present, drop_name=marks).take(kept)
            if vector.present is not None and vector.present.all():
                vector.present = None
            parts.append(vector)
        return concatenate(parts, frame.steps)

    def _note_counters(self, node: Call, vector: Vector) -> None:
        names = {labels.get("__name__", "") for labels in vector.labels}
        for name in sorted(names):
            if name and not name.endswith(_COUNTER_ENDINGS):
                text = (
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                    + quote(name)
                )
                self._query.notes.info(node.args[0], text)

    def _absent(self, node: Call, vector: Vector, frame: Frame) -> Vector:
        there = vector.mask().any(axis=0) if vector.labels else np.zeros(frame.steps, dtype=np.bool_)
        missing = np.logical_not(there).reshape(1, -1)
        return Vector(
            labels=[relabelling.labels_of_absent(node.args[0])],
            values=np.ones((1, frame.steps)),
            present=missing,
        )

    # Scalars

    def _scalar_call(self, node: Call, frame: Frame) -> Scalar:
        name = node.function.name
        query = self._query
        constants = {
            "pi": math.pi,
            "start": query.start_ms / 1000,
            "end": query.end_ms / 1000,
            "step": query.step_ms / 1000,
            "range": (query.end_ms - query.start_ms) / 1000,
        }
        if name in constants:
            return Scalar(np.full(frame.steps, constants[name]))
        if name == "time":
            return Scalar(frame.times / 1000)
        if name == "scalar":
            vector = self._argument(node, frame)
            mask = vector.mask()
            count = mask.sum(axis=0)
            only = np.where(mask, vector.values, 0.0).sum(axis=0) if vector.labels else count
            return Scalar(np.where(count == 1, only, np.nan))
        left, right = (self._evaluator.scalar(argument, frame).values for argument in node.args)
        return Scalar(np.maximum(left, right) if name == "max_of" else np.minimum(left, right))

    # Sample by sample

    def _elementwise(self, node: Call, frame: Frame) -> Vector:
        name = node.function.name
        if not node.args:
            # Date functions without an argument are about now.
            vector = Vector(labels=[{}], values=(frame.times / 1000)[None, :])
        else:
            vector = self._argument(node, frame)
        scalars = [self._evaluator.scalar(argument, frame).values[None, :] for argument in node.args[1:]]
        values = vector.values
        if name in elementwise.PLAIN:
            result = elementwise.PLAIN[name](values)
        elif name in elementwise.DATES:
            whole = np.isfinite(values)
            result = np.where(whole, elementwise.DATES[name](values).astype(np.float64), np.nan)
        elif name == "round":
            result = elementwise.round_to(values, scalars[0] if scalars else np.ones((1, frame.steps)))
        elif name == "clamp":
            result = elementwise.clamp(values, scalars[0], scalars[1])
            impossible = scalars[0] > scalars[1]
            if impossible.any():
                present = vector.mask() & ~impossible
                return vector.with_values(result, present, drop_name=True)
        elif name == "clamp_min":
            result = np.maximum(values, scalars[0])
        elif name == "clamp_max":
            result = np.minimum(values, scalars[0])
        else:
            raise PromQLError("execution", f"{name} is not implemented in mamimon")
        return vector.with_values(np.asarray(result), vector.present, drop_name=True)

    def _timestamp(self, node: Call, frame: Frame) -> Vector:
        argument = unwrap(node.args[0])
        if isinstance(argument, Selector):
            vector, stamps = newest(argument, frame, self._query)
            return vector.with_values(stamps, vector.present, drop_name=True)
        vector = self._argument(node, frame)
        now = np.broadcast_to(frame.times / 1000, vector.values.shape).copy()
        return vector.with_values(now, vector.present, drop_name=True)

    # Labels

    def _label_replace(self, node: Call, frame: Frame) -> Vector:
        texts = [self._evaluator.text(argument, frame) for argument in node.args[1:]]
        return relabelling.label_replace(self._argument(node, frame), *texts)

    def _label_join(self, node: Call, frame: Frame) -> Vector:
        target, separator, *sources = [self._evaluator.text(argument, frame) for argument in node.args[1:]]
        return relabelling.label_join(self._argument(node, frame), target, separator, sources)

    def _sort_by_label(self, node: Call, frame: Frame) -> Vector:
        names = [self._evaluator.text(argument, frame) for argument in node.args[1:]]
        descending = node.function.name.endswith("_desc")
        return relabelling.sort_by_labels(self._argument(node, frame), names, descending=descending)

    # Classic histograms

    def _histogram_quantile(self, node: Call, frame: Frame) -> Vector:
        quantile = self._evaluator.scalar(node.args[0], frame).values
        for value in np.unique(quantile).tolist():
            self._query.notes.quantile(node.args[0], value)
        vector = self._argument(node, frame, 1)
        repair = buckets.Repair()
        parts = []
        for batch in buckets.collect(vector, node.args[1], self._query.notes):
            values, present = buckets.bucket_quantile(batch, quantile, repair)
            parts.append(_of_batch(batch.labels, values, present))
        if repair.samples:
            self._query.notes.info(node.args[1], _repaired(vector))
        return relabelling.merge_equal(concatenate(parts, frame.steps))

    def _histogram_fraction(self, node: Call, frame: Frame) -> Vector:
        lower = self._evaluator.scalar(node.args[0], frame).values
        upper = self._evaluator.scalar(node.args[1], frame).values
        parts = []
        for batch in buckets.collect(self._argument(node, frame, 2), node.args[2], self._query.notes):
            values, present = buckets.bucket_fraction(batch, lower, upper)
            parts.append(_of_batch(batch.labels, values, present))
        return relabelling.merge_equal(concatenate(parts, frame.steps))


def _of_batch(labels: list[Labels], values: Floats, present: Bools) -> Vector:
    return Vector(labels=labels, values=values, present=present, drop_name=[True] * len(labels))


def _repaired(vector: Vector) -> str:
    from mamimon.metrics.promql.annotations import named

    names = {labels.get("__name__", "") for labels in vector.labels}
    text = (
        "input to histogram_quantile needed to be fixed for monotonicity "
        "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
    )
    return named(text, names.pop() if len(names) == 1 else "")


def _check_factors(smoothing: Floats, trend: Floats) -> None:
    for name, values in (("smoothing", smoothing), ("trend", trend)):
        for value in values[(values <= 0) | (values >= 1)].tolist()[:1]:
            raise PromQLError(
                "execution", f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {value:f}"
            )
