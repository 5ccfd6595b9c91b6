"""`extended_bounds` of a histogram, which empty buckets fill, and `hard_bounds`, which cut others off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from mamimon.logs.text import number_of, shown
from mamimon.logs.wire.elasticsearch.body import token
from mamimon.logs.wire.elasticsearch.errors import illegal, unparsed


class Bounds(msgspec.Struct, frozen=True):
    """Both ends; None where one is open."""

    low: float | None = None
    high: float | None = None

    def moved(self, make: Callable[[float], float]) -> Bounds:
        """The bounds with each end made into another."""
        return Bounds(*(None if end is None else make(end) for end in (self.low, self.high)))

    def around(self, keys: list[float]) -> tuple[float, float] | None:
        """From where to where there are buckets, beside those that are; None for nowhere."""
        if keys:
            low = keys[0] if self.low is None else min(keys[0], self.low)
            return low, keys[-1] if self.high is None else max(keys[-1], self.high)
        return None if self.low is None or self.high is None else (self.low, self.high)


def read_bounds(kind: str, name: str, spec: Any, read: Callable[[Any], float]) -> Bounds | None:
    """The bounds of that name; `read` reads an end."""
    if spec is None:
        return None
    if not isinstance(spec, dict):
        raise unparsed(kind, name, f"[bounds] expected an object but found [{token(spec)}]")
    for key in spec:
        if key not in {"min", "max"}:
            raise unparsed(kind, name, f"[bounds] unknown field [{key[:80]}]")
        if isinstance(spec[key], (bool, dict, list)):
            raise unparsed(kind, name, f"[bounds] {key} doesn't support values of type: {token(spec[key])}")
    low, high = (None if spec.get(end) is None else read(spec[end]) for end in ("min", "max"))
    return Bounds(low, high)


def check_inside(inner: Bounds | None, outer: Bounds | None) -> None:
    """Refuse extended bounds that reach out of the hard ones."""
    if inner is None or outer is None:
        return
    above = inner.high is not None and outer.high is not None and inner.high > outer.high
    below = inner.low is not None and outer.low is not None and inner.low < outer.low
    if above or below:
        hard, extended = (f"[{one.low}--{one.high}]" for one in (outer, inner))
        raise illegal(
            f"Extended bounds have to be inside hard bounds, hard bounds: {hard}, extended bounds: {extended}"
        )


def number_end(kind: str, name: str) -> Callable[[Any], float]:
    """Reads ends that are numbers."""

    def read(value: Any) -> float:
        number = number_of(shown(value))
        if number is None or not math.isfinite(number):
            raise unparsed(kind, name, f"For input string: {shown(value)[:60]!r}")
        return number

    return read
