"""Which lines of a query's candidate blocks match or may match, as far as segments tell.

A verdict over a segment costs as much as opening some blocks, so it is asked for only where a query is
about to open many of the segment's blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mamimon.logs.clauses import Clause, Source
from mamimon.logs.store.segments import Segment, Segments
from mamimon.logs.store.verdicts import Verdict, judge

SHARE = 8
"""A segment is asked where one of so many of its blocks is a candidate."""


class Found(NamedTuple):
    """A candidate block: its number, first row and rows, oldest and newest time."""

    id: int
    first: int
    rows: int
    min_us: int
    max_us: int


class Known(NamedTuple):
    """Positions in a block that may match, in order, and those of them that surely do."""

    maybe: list[int]
    sure: frozenset[int]


class Lanes:
    """The verdicts that a query needs, each made once."""

    def __init__(self, raw: sqlite3.Connection, clause: Clause, source: Source) -> None:
        self._raw = raw
        self._segments: list[Segment] = []
        self._clause = clause
        self._source = source
        self._made: dict[int, Verdict] = {}
        self._places: dict[int, int] = {}
        self._worth: frozenset[int] = frozenset()

    def expect(self, found: Sequence[Found]) -> None:
        """These blocks are candidates."""
        segments = Segments(self._raw)
        self._segments = segments.all
        if not segments.all:
            return
        firsts = [one.first for one in found]
        places = segments.places(firsts)
        self._places = dict(zip(firsts, places.tolist(), strict=True))
        rows = np.bincount(places + 1, [one.rows for one in found], len(segments.all) + 1)[1:]
        self._worth = frozenset(
            place for place, one in enumerate(segments.all) if rows[place] and rows[place] * SHARE >= one.rows
        )

    def known(self, block: Found) -> Known | None:
        """What is known of a block's lines; None where nothing is."""
        place = self._places.get(block.first, -1)
        if place not in self._worth:
            return None
        verdict = self.verdict(place)
        self.segment(place).forget()
        start = block.first - self._segments[place].first_seq
        part = slice(start, start + block.rows)
        maybe = np.flatnonzero(verdict.maybe[part]).tolist()
        return Known(maybe, frozenset(np.flatnonzero(verdict.sure[part]).tolist()) if maybe else frozenset())

    def verdict(self, place: int) -> Verdict:
        """What is known of a segment's lines."""
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = judge(self._clause, self._segments[place], self._source)
        return made

    def groups(self, found: Sequence[Found]) -> tuple[dict[int, list[Found]], list[Found]]:
        """Blocks by the segment to be asked, and those of none."""
        groups: dict[int, list[Found]] = {}
        rest: list[Found] = []
        for one in found:
            place = self._places.get(one.first, -1)
            (groups.setdefault(place, []) if place in self._worth else rest).append(one)
        return groups, rest

    def told(self, place: int, blocks: Sequence[Found], low: int, high: int) -> tuple[Any, list[Found]]:
        """Which lines of a segment match, of blocks that lie in the time and are told for sure; other blocks.

        Of the others those are left out in which no line may match.
        """
        segment, verdict = self._segments[place], self.verdict(place)
        starts = [one.first - segment.first_seq for one in blocks]
        ends = [start + one.rows for start, one in zip(starts, blocks, strict=True)]
        may = _within(verdict.maybe, starts, ends)
        unsure = _within(verdict.maybe & ~verdict.sure, starts, ends)
        mask = np.zeros(segment.rows, np.bool_)
        rest: list[Found] = []
        for one, start, end, some, more in zip(blocks, starts, ends, may, unsure, strict=True):
            if not some:
                continue
            if more or one.min_us < low or one.max_us > high:
                rest.append(one)
            else:
                mask[start:end] = verdict.sure[start:end]
        if not rest:
            # Nobody asks again.
            del self._made[place]
        return mask, rest

    def segment(self, place: int) -> Segment:
        """One of the segments."""
        return self._segments[place]


def _within(lines: Any, starts: list[int], ends: list[int]) -> list[bool]:
    """Whether any line of each span is true."""
    places = np.empty(2 * len(starts), np.int64)
    places[::2], places[1::2] = starts, ends
    # A line more, because an end may be behind the last.
    found: list[bool] = np.logical_or.reduceat(np.append(lines, False), places)[::2].tolist()
    return found
