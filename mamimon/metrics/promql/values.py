"""What expressions evaluate to, for all steps at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.errors import PromQLError

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Objects: TypeAlias = npt.NDArray[np.object_]
Samples: TypeAlias = npt.NDArray[np.float64 | np.int32]
"""Numbers as the store has them: integers of up to 30 bits where all are such, whose differences fit 32."""

METADATA_LABELS = ("__name__", "__type__", "__unit__")
"""Dropped from a result that is no longer the metric."""


def are_there(objects: Objects) -> Bools:
    """Where an array of objects holds one."""
    nothing: Any = None
    return np.asarray(np.not_equal(objects, nothing), dtype=np.bool_)


class Vector(msgspec.Struct, eq=False, kw_only=True):
    """An instant vector at every step: row i of `values` belongs to `labels[i]`."""

    labels: list[Labels]
    values: Floats
    """[series, steps]."""
    present: Bools | None = None
    """[series, steps]; None = everywhere."""
    drop_name: list[bool] | None = None
    """Series that lose their name when the whole query is answered; None = none.

    Prometheus calls this delayed name removal: it lets `label_replace(rate(x[5m]), …, "__name__", …)` work.
    """

    histograms: Objects | None = None
    """[series, steps]: native histograms where a sample is one, else None; None = all are floats."""

    def histogram_mask(self) -> Bools:
        """Where samples are native histograms."""
        if self.histograms is None:
            return np.zeros(self.values.shape, dtype=np.bool_)
        return are_there(self.histograms) & self.mask()

    def floats(self) -> Vector:
        """Without the native histograms."""
        if self.histograms is None:
            return self
        present = self.mask() & ~self.histogram_mask()
        return Vector(labels=self.labels, values=self.values, present=present, drop_name=self.drop_name)

    @property
    def steps(self) -> int:
        """How many steps."""
        return int(self.values.shape[1])

    def mask(self) -> Bools:
        """Where samples are, as an array."""
        if self.present is None:
            return np.ones(self.values.shape, dtype=np.bool_)
        return self.present

    def drops(self) -> list[bool]:
        """`drop_name` as a list."""
        return [False] * len(self.labels) if self.drop_name is None else self.drop_name

    def take(self, rows: Sequence[int] | Ints) -> Vector:
        """Some of the series, in this order."""
        drops = self.drop_name
        return Vector(
            labels=[self.labels[row] for row in rows],
            values=self.values[rows],
            present=None if self.present is None else self.present[rows],
            drop_name=None if drops is None else [drops[row] for row in rows],
            histograms=None if self.histograms is None else self.histograms[rows],
        )

    def with_values(self, values: Floats, present: Bools | None, *, drop_name: bool) -> Vector:
        """The same series with other samples."""
        drops = [True] * len(self.labels) if drop_name else self.drop_name
        return Vector(labels=self.labels, values=values, present=present, drop_name=drops)


class Scalar(msgspec.Struct, eq=False):
    """One number a step, [steps]."""

    values: Floats


class Text(msgspec.Struct, frozen=True):
    """A string."""

    value: str


Value: TypeAlias = Vector | Scalar | Text


class Limits(msgspec.Struct, kw_only=True):
    """What a query may cost."""

    max_samples: int
    check: Callable[[], None]
    """Called often; raises when the time is over or the asker has gone."""
    samples: int = 0

    def count(self, samples: int) -> None:
        """Account for samples about to be held in memory."""
        self.samples += samples
        if self.samples > self.max_samples:
            raise PromQLError(
                "execution", "query processing would load too many samples into memory in query execution"
            )


def empty(steps: int) -> Vector:
    """No series."""
    return Vector(labels=[], values=np.empty((0, steps)))


def concatenate(parts: Sequence[Vector], steps: int) -> Vector:
    """The series of all parts, one below the other."""
    parts = [part for part in parts if part.labels]
    if not parts:
        return empty(steps)
    if len(parts) == 1:
        return parts[0]
    everywhere = all(part.present is None for part in parts)
    named = all(part.drop_name is None for part in parts)
    return Vector(
        labels=[labels for part in parts for labels in part.labels],
        values=np.concatenate([part.values for part in parts]),
        present=None if everywhere else np.concatenate([part.mask() for part in parts]),
        drop_name=None if named else [drop for part in parts for drop in part.drops()],
        histograms=stack_histograms(parts),
    )


def stack_histograms(parts: Sequence[Vector]) -> Objects | None:
    """The histograms of all parts, one below the other."""
    if all(part.histograms is None for part in parts):
        return None
    empty_of = (np.full(part.values.shape, None, dtype=object) for part in parts)
    return np.concatenate(
        [
            blank if part.histograms is None else part.histograms
            for part, blank in zip(parts, empty_of, strict=True)
        ]
    )


def without(labels: Labels, names: Sequence[str]) -> Labels:
    """A copy that lacks some labels."""
    return {name: value for name, value in labels.items() if name not in names}


def signature(labels: Labels) -> tuple[tuple[str, str], ...]:
    """What makes two label sets equal, hashable and sortable."""
    return tuple(sorted(labels.items()))


def describe(labels: Labels) -> str:
    """As Prometheus prints a label set: `{__name__="up", job="api"}`."""
    from mamimon.metrics.promql.text import LEGACY_NAME, quote

    shown = (
        f"{name if LEGACY_NAME.match(name) else quote(name)}={quote(value)}"
        for name, value in sorted(labels.items())
    )
    return "{" + ", ".join(shown) + "}"


Array: TypeAlias = npt.NDArray[Any]
