"""Matrices of samples that are put together only where they are looked at.

A question over a day reads a dozen chunks a target. Copying them into one matrix [series, scrapes] first
would cost more than the arithmetic that follows, so a block hands out the rows that fit the processor's
cache, or the columns of its steps, from the decoded groups where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import ABSENT_NAN
from mamimon.metrics.store.dayfile import GROUP, Chunk, DayFile

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Group:
    """A decoded column group of a chunk."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.plain = not np.isnan(values).any()
        """No NaN of any kind: every cell is a sample."""
        self.nbytes = values.nbytes


class Groups(Protocol):
    """Where decoded groups come from."""

    def group(self, file: DayFile, chunk: int, number: int) -> Group:
        """One group of a chunk, decoded."""
        ...


Rows = slice | Ints
"""Rows of a piece: a run of them, or any."""


class Piece(Protocol):
    """Part of a table: some scrapes of some series."""

    shape: tuple[int, int]

    def fill(self, out: Floats, rows: Rows, columns: Ints | None) -> bool:
        """Write rows, and of these some columns, into `out`; True if none of them is a NaN."""
        ...


class ChunkPiece:
    """The series at `places` of a sealed chunk, columns [low, high)."""

    def __init__(
        self, groups: Groups, file: DayFile, chunk: Chunk, places: Ints, low: int, high: int
    ) -> None:
        self._groups = groups
        self._file = file
        self._chunk = chunk.id
        self._places = places
        self._low, self._high = low, high
        self._run = int(places[-1]) - int(places[0]) + 1 == len(places)
        self.shape = (len(places), high - low)

    def fill(self, out: Floats, rows: Rows, columns: Ints | None) -> bool:
        """See `Piece.fill`."""
        if columns is not None:
            columns = columns + self._low
        plain = True
        at = 0
        for group, part in self._parts(rows):
            plain &= group.plain
            found = group.values[part]
            target = out[at : at + len(found)]
            if columns is None:
                target[:] = found[:, self._low : self._high]
            else:
                np.take(found, columns, axis=1, out=target, mode="clip")
            at += len(found)
        return plain

    def _parts(self, rows: Rows) -> Iterator[tuple[Group, Rows]]:
        """The groups that have the rows, in their order, and where in these they are."""
        if isinstance(rows, slice) and self._run:
            first, last = int(self._places[rows.start]), int(self._places[0]) + rows.stop
            for number in range(first // GROUP, (last - 1) // GROUP + 1):
                start = number * GROUP
                yield self._group(number), slice(max(first - start, 0), min(last - start, GROUP))
            return
        places = self._places[rows]
        numbers = places // GROUP
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(places)]
        for begin, end in pairwise(edges):
            number = int(numbers[begin])
            yield self._group(number), places[begin:end] - number * GROUP

    def _group(self, number: int) -> Group:
        return self._groups.group(self._file, self._chunk, number)


class Held:
    """Samples that are in memory: of an open window."""

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.shape = (values.shape[0], values.shape[1])

    def fill(self, out: Floats, rows: Rows, columns: Ints | None) -> bool:
        """See `Piece.fill`."""
        part = self.values[rows]
        out[:] = part if columns is None else np.take(part, columns, axis=1)
        return not np.isnan(out).any()


class Joined:
    """Pieces one after another in time, [series, scrapes]."""

    def __init__(self, pieces: Sequence[Piece], rows: Sequence[Ints | None], series: int) -> None:
        self._pieces = pieces
        self._rows = rows
        """For each piece its row of each of ours, -1 where it lacks the series; None: the same rows."""
        widths = [piece.shape[1] for piece in pieces]
        self._starts = np.concatenate(([0], np.cumsum(widths))).astype(np.int64)
        self.shape = (series, int(self._starts[-1]))

    def rows(self, first: int, last: int) -> tuple[Floats, bool]:
        """Some rows whole, and whether they are free of NaN."""
        out = np.empty((last - first, self.shape[1]))
        plain = True
        for piece, rows, start in zip(self._pieces, self._rows, self._starts.tolist(), strict=False):
            plain &= _fill(piece, out[:, start : start + piece.shape[1]], slice(first, last), rows, None)
        return out, plain

    def columns(self, columns: Ints) -> tuple[Floats, bool]:
        """Some columns (ascending) of all rows, and whether they are of groups free of NaN."""
        out = np.empty((self.shape[0], len(columns)))
        plain = True
        wanted = slice(0, self.shape[0])
        edges = np.searchsorted(columns, self._starts).tolist()
        for number, (piece, rows) in enumerate(zip(self._pieces, self._rows, strict=True)):
            first, last = edges[number], edges[number + 1]
            if first < last:
                own = columns[first:last] - self._starts[number]
                plain &= _fill(piece, out[:, first:last], wanted, rows, own)
        return out, plain


def _fill(piece: Piece, out: Floats, wanted: slice, rows: Ints | None, columns: Ints | None) -> bool:
    if rows is None:
        return _filled(piece, out, wanted, columns)
    own = rows[wanted]
    there = own >= 0
    if there.all():
        return _filled(piece, out, own, columns)
    out[~there] = ABSENT_NAN
    if there.any():
        part = np.empty((int(there.sum()), out.shape[1]))
        piece.fill(part, own[there], columns)
        out[there] = part
    return False


def _filled(piece: Piece, out: Floats, rows: Rows, columns: Ints | None) -> bool:
    if columns is None or out.flags.c_contiguous:
        return piece.fill(out, rows, columns)
    part = np.empty(out.shape)
    plain = piece.fill(part, rows, columns)
    out[:] = part
    return plain
