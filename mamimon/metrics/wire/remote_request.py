"""The sending side of remote write 1.0: a `prometheus.WriteRequest` from the store's scrapes.

Made by concatenation: a series' labels are encoded once and kept, so a sample costs a few slices.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from mamimon.metrics.model import HISTOGRAM_BITS, STALE_BITS, Labels
from mamimon.metrics.store.index import decode_labels
from mamimon.metrics.wire.remote_read import (
    Series,
    field,
    histogram_message,
    labels_fields,
    timeseries,
    varint,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.store.day import Day
    from mamimon.metrics.store.scrape import Scrape

_STALE = struct.pack("<Q", STALE_BITS)
_HISTOGRAM = struct.pack("<Q", HISTOGRAM_BITS)
_MASK = (1 << 64) - 1


class Request(msgspec.Struct):
    """A request's body, not yet compressed, and how many samples it has."""

    body: bytes
    samples: int


class Encoder:
    """Scrapes as requests to one receiver: its external labels, relabelling and size of a request."""

    def __init__(
        self, rewrite: Callable[[Labels], Labels | None], batch_samples: int, *, native: bool
    ) -> None:
        self._rewrite = rewrite
        self._batch = batch_samples
        self._native = native
        self._day: Day | None = None
        self._known: dict[int, bytes | None] = {}
        self._live: dict[str, tuple[Day, npt.NDArray[np.int64]]] = {}
        self.skipped = 0
        """Native histograms that the receiver is not to be sent."""

    def encode(self, scrapes: Sequence[tuple[Day, Scrape]]) -> list[Request]:
        """Requests with the samples of scrapes, and the ends of series that are gone. Blocking."""
        parts: list[bytes] = []
        for day, scrape in scrapes:
            self._encode(day, scrape, parts)
        return self._cut(parts)

    def encode_series(self, series: Sequence[Series]) -> list[Request]:
        """Requests with the samples of whole series, as a question answers them. Blocking."""
        parts: list[bytes] = []
        for one in series:
            labels = self._rewrite(one.labels)
            if labels is None:
                continue
            if one.histograms and not self._native:
                self.skipped += len(one.histograms)
            own = one.histograms if self._native else []
            parts.append(field(1, timeseries(Series(labels, one.times, one.values, own))))
        return self._cut(parts)

    def _cut(self, parts: list[bytes]) -> list[Request]:
        size = self._batch
        groups = [parts[at : at + size] for at in range(0, len(parts), size)]
        return [Request(b"".join(group), len(group)) for group in groups]

    def _encode(self, day: Day, scrape: Scrape, parts: list[bytes]) -> None:
        tail = b"\x10" + varint(scrape.at & _MASK)
        head = b"\x12" + varint(9 + len(tail)) + b"\x09"
        raw = scrape.values.tobytes()
        for place, number in enumerate(scrape.ids.tolist()):
            labels = self._labels(day, number)
            if labels is None:
                continue
            value = raw[place * 8 : place * 8 + 8]
            if value == _HISTOGRAM:
                if not self._native:
                    self.skipped += 1
                    continue
                one = labels + field(4, histogram_message(scrape.at, scrape.histograms[place]))
            else:
                one = labels + head + value + tail
            parts.append(b"\x0a" + varint(len(one)) + one)
        for labels in self._ended(day, scrape):
            one = labels + head + _STALE + tail
            parts.append(b"\x0a" + varint(len(one)) + one)

    def _labels(self, day: Day, number: int) -> bytes | None:
        if day is not self._day:
            self._day = day
            self._known.clear()
        found = self._known.get(number, b"")
        if found == b"":
            labels = self._rewrite(decode_labels(day.index.key(number)))
            found = self._known[number] = labels_fields(labels) if labels else None
        return found

    def _ended(self, day: Day, scrape: Scrape) -> list[bytes]:
        """The labels of series that the source had in its last whole state and has no more."""
        if not scrape.whole:
            return []
        before = self._live.get(scrape.source)
        self._live[scrape.source] = (day, scrape.ids)
        if before is None or before[1] is scrape.ids:
            return []
        there = set(scrape.ids.tolist())
        if before[0] is day:
            gone = [number for number in before[1].tolist() if number not in there]
        else:
            moved = (day.index.id_of_key(before[0].index.key(number)) for number in before[1].tolist())
            gone = [number for number in moved if number not in there]
        return [labels for number in gone if (labels := self._labels(day, number)) is not None]
