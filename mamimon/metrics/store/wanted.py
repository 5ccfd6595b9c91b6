"""What a question wants of a day: the series its matchers found, and where they stand in the day's chunks.

A dashboard asks the same every half minute, and a source's chunks mostly list the same series: so both are
kept, within a budget, until the day has new series.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import Labels, Matcher
from mamimon.metrics.store.index import Ids, SeriesIndex, decode_labels
from mamimon.metrics.store.table import Places

MOST_BYTES = 4 << 20
"""What a day keeps at most, about."""
_LABELS_BYTES = 700
_PLACES_BYTES = 500
_MOST_SORTED = 20_000
"""More series are not worth putting in order before it is known what for."""


class Wanted:
    """Some series of a day by their ids, ascending.

    Where the index says what these are, a question's rows are in the order of their texts, as they lie in
    sealed chunks and mostly as an answer has them; else in the order of the ids.
    """

    def __init__(
        self, ids: Ids, index: SeriesIndex | None = None, grew: Callable[[int], None] = lambda _: None
    ) -> None:
        self.ids = ids
        self._index = index
        self.nbytes = 0
        self._grew = grew
        self._places: dict[int, tuple[npt.NDArray[np.integer], Places | None]] = {}
        self._labels: list[Labels] | None = None

    @cached_property
    def listed(self) -> list[int]:
        """The ids as numbers."""
        return cast("list[int]", self.ids.tolist())

    @property
    def keys(self) -> list[bytes]:
        """The texts of the series, a row each."""
        return self._sorted[0]

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        """The row of each id."""
        if self._index is None or len(self.ids) > _MOST_SORTED:
            return np.arange(len(self.ids))
        return self._sorted[1]

    @cached_property
    def _sorted(self) -> tuple[list[bytes], npt.NDArray[np.int64]]:
        """The texts in the order of the rows, and the row of each id."""
        assert self._index is not None
        texts, rows = self._index.keys(self.ids), np.arange(len(self.ids))
        if len(texts) > _MOST_SORTED:
            return texts, rows
        order = sorted(range(len(texts)), key=texts.__getitem__)
        row_of = np.empty_like(rows)
        row_of[order] = rows
        return [texts[number] for number in order], row_of

    @cached_property
    def _mask(self) -> npt.NDArray[np.bool_]:
        mask = np.zeros(int(self.ids[-1]) + 1, dtype=bool)
        mask[self.ids] = True
        return mask

    def places(self, listed: npt.NDArray[np.integer]) -> Places | None:
        """Where the series are in a list of ids, which is never changed; None if none is."""
        known = self._places.get(id(listed))
        if known is None:
            mask = self._mask
            old = listed < len(mask)  # ids beyond are newer than the question
            places = np.flatnonzero(mask[np.where(old, listed, 0)] & old)
            rows = self._rows[self.ids.searchsorted(listed[places])]
            found = Places(places, rows) if len(places) else None
            known = self._places[id(listed)] = listed, found
            self.grow(_PLACES_BYTES + 16 * len(places))
        return known[1]

    @property
    def labels(self) -> list[Labels]:
        """The labels of the series, a row each; other questions have the same ones."""
        if self._labels is None:
            self._labels = [decode_labels(key) for key in self.keys]
            self.grow(_LABELS_BYTES * len(self._labels))
        return self._labels

    def grow(self, nbytes: int) -> None:
        """Count what it holds."""
        self.nbytes += nbytes
        self._grew(nbytes)


class Asked:
    """What was asked of a day, by matchers; thread-safe."""

    def __init__(self, index: SeriesIndex, most_bytes: int = MOST_BYTES) -> None:
        self._index = index
        self._most = most_bytes
        self._known: dict[tuple[Matcher, ...], tuple[int, Wanted]] = {}
        self._grown = 0
        self._lock = threading.Lock()

    def match(self, matchers: Sequence[Matcher]) -> Wanted:
        """The series that fulfil every matcher; raises `BAD_INPUT` for a bad regex."""
        key, size = tuple(matchers), len(self._index)
        known = self._known.get(key)
        if known is not None and known[0] == size:
            return known[1]
        found = Wanted(self._index.match(matchers), self._index, self._note)
        nbytes = size // 8 + 50 * len(found.ids) + _PLACES_BYTES
        if nbytes + _LABELS_BYTES * len(found.ids) > self._most // 4:
            return found
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = size, found
        found.grow(nbytes)
        return found

    def _note(self, nbytes: int) -> None:
        self._grown += nbytes
        if self._grown > self._most // 16:
            with self._lock:
                self._grown = 0
                held = self.held_bytes
                while held > self._most:
                    held -= self._known.pop(next(iter(self._known)))[1].nbytes

    @property
    def held_bytes(self) -> int:
        """What is kept, about."""
        return sum(found.nbytes for _, found in self._known.values())
