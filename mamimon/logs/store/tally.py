"""Rows that stand for many lines, and how coarse they may be for a question.

A `Tally` looks like a line that has nothing but a time, a dataset, a level and some fields, so every
clause and aggregation over those takes it as it takes a line.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from mamimon.logs.clauses import Row, Source

EVER_US = 60_000_000 * 10**10
"""A step so long that all of time is in its first."""


class Grain(msgspec.Struct, frozen=True):
    """What of a line is needed: time by `step_us` (0: not at all), some fields, the level's number."""

    step_us: int = 0
    fields: frozenset[str] = frozenset()
    levels: bool = False

    def __and__(self, other: Grain) -> Grain:
        return Grain(
            math.gcd(self.step_us, other.step_us), self.fields | other.fields, self.levels or other.levels
        )


class Tally(Row):
    """A row that stands for `weight` lines; its document is given as JSON or as an object."""

    __slots__ = ("weight",)

    def __init__(
        self, time_us: int, level: int, dataset: int, document: bytes | dict[str, Any], source: Source,
        weight: int, pattern: int = 0,
    ) -> None:  # fmt: skip
        raw = document if isinstance(document, bytes) else b""
        super().__init__(0, time_us, level, dataset, raw, source, pattern)
        self.weight = weight
        if not isinstance(document, bytes):
            self._document = document
