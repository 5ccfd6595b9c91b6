"""One day of series in memory: its index, open heads and the list of sealed chunks."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import HISTOGRAM_BITS
from mamimon.metrics.store import codec, grouping
from mamimon.metrics.store.cache import PartCache
from mamimon.metrics.store.chunk import Chunk, Sealed
from mamimon.metrics.store.dayfile import DayFile
from mamimon.metrics.store.head import WINDOW_MS, Head
from mamimon.metrics.store.histograms import encode_column
from mamimon.metrics.store.index import SeriesIndex
from mamimon.metrics.store.table import ChunkPiece, Held, Joined, Part, Piece, Places
from mamimon.metrics.store.wanted import Asked, Wanted
from mamimon.storage.days import day_start

DAY_MS = 86_400_000


class NotAtHand(Exception):  # noqa: N818 - nothing is wrong
    """The answer takes a file or time: ask in a worker thread."""


class Segment(msgspec.Struct, eq=False):
    """Part of a source's samples as a question gets them."""

    source: str
    rows: npt.NDArray[np.int64]
    """Which of the question's series."""
    times: npt.NDArray[np.int64]
    piece: Piece
    """[series, scrapes]; `HISTOGRAM_NAN` where a native histogram is."""
    histograms: npt.NDArray[np.object_] | None = None
    """[series, scrapes], None without any."""
    starts: npt.NDArray[np.int64] | None = None
    """[series, scrapes]: when counters began (ms), 0 where nobody said; None if nobody did."""

    def values(self) -> npt.NDArray[np.float64]:
        """The piece as a matrix."""
        found, _ = Joined([self.piece], [None], len(self.rows)).rows(0, len(self.rows))
        return found.astype(np.float64, copy=False)


class Day:
    """See the module; `load` before anything else."""

    def __init__(self, name: str, file: DayFile) -> None:
        self.name = name
        self.file = file
        self.start = round(day_start(name) * 1000)
        self.end = self.start + DAY_MS
        self.index = SeriesIndex()
        self.asked = Asked(self.index)
        self.sources: dict[str, int] = {}
        self.heads: list[Head] = []
        self.chunks: list[Chunk] = []
        self._by_window: dict[int, list[Chunk]] = {}
        """The sealed chunks that touch each window of two hours."""
        self._by_source: dict[int, tuple[tuple[int, int], list[Chunk]]] = {}
        """The lowest and the highest series of each source's sealed chunks, and these."""
        self._names: dict[int, str] = {}
        self.lock = threading.Lock()
        """Guards heads and chunks between the event loop and readers."""
        self._load_lock = threading.Lock()
        self._loaded = False
        self._next_head = 1
        self._newest: dict[int, tuple[npt.NDArray[np.int32], list[int]]] = {}

    def load(self) -> None:
        """Read the day back; does nothing the second time. Blocking."""
        with self._load_lock:
            if self._loaded:
                return
            self.index.load(self.file.load_series())
            self.sources = self.file.load_sources()
            self.chunks = self.file.load_chunks()
            for chunk in self.chunks:
                self._intern(chunk)
                self._place(chunk)
            self.heads = self.file.load_heads()
            self._next_head = max((head.number for head in self.heads), default=0) + 1
            self._loaded = True

    @property
    def loaded(self) -> bool:
        """Whether it is read back."""
        return self._loaded

    def first(self) -> int | None:
        """The first timestamp (ms) that is known in memory."""
        with self.lock:
            starts = [chunk.start for chunk in self.chunks]
            starts += [int(head.times[0]) for head in self.heads if head.count]
        return min(starts, default=None)

    def source_id(self, name: str) -> int:
        """The day's number of a source, given now if it is new."""
        return self.sources.setdefault(name, len(self.sources) + 1)

    def head(self, source: str, at: int) -> Head:
        """The open head that takes a sample at `at` (ms); made if there is none."""
        number, window = self.source_id(source), at - at % WINDOW_MS
        for head in reversed(self.heads):
            if head.source == number and head.window == window and not head.sealing:
                return head
        head = Head(self._next_head, number, window)
        self._next_head += 1
        with self.lock:
            self.heads.append(head)
        return head

    def due(self, now_ms: int, large: Container[Head]) -> list[Head]:
        """Heads whose window is over by a minute, and those of them that are too large."""
        return [head for head in self.heads if head.window + WINDOW_MS + 60_000 <= now_ms or head in large]

    async def seal(self, head: Head) -> None:
        """Compress a head into a chunk; questions see one or the other, never both."""
        import asyncio

        if not head.count or not head.columns:
            with self.lock:
                self.heads.remove(head)
            return
        head.sealing = True
        try:
            sealed = await asyncio.to_thread(self._compress, head)
            number = await self.file.seal(sealed)
        finally:
            head.sealing = False
        chunk = Chunk(
            number,
            head.source,
            int(sealed.times[0]),
            int(sealed.times[-1]),
            sealed.times,
            sealed.ids,
            sealed.cuts,
            np.asarray(sorted(sealed.histograms), dtype=np.int64),
            bool(sealed.starts),
        )
        self._intern(chunk)
        with self.lock:
            self.heads.remove(head)
            self.chunks.append(chunk)
            self._place(chunk)

    def name_of(self, source: int) -> str:
        """The name of a source by its number."""
        if len(self._names) != len(self.sources):
            self._names = {number: name for name, number in list(self.sources.items())}
        return self._names[source]

    def _place(self, chunk: Chunk) -> None:
        (low, high), chunks = self._by_source.get(chunk.source, (chunk.span, []))
        chunks.append(chunk)
        self._by_source[chunk.source] = (min(low, chunk.span[0]), max(high, chunk.span[1])), chunks
        for window in range(chunk.start // WINDOW_MS, chunk.end // WINDOW_MS + 1):
            self._by_window.setdefault(window, []).append(chunk)

    def near(self, ids: list[int], start: int, end: int) -> list[Chunk]:
        """Chunks that may have samples of some series (sorted ids), `start <= t <= end` (ms)."""
        window = start // WINDOW_MS
        looked: Iterable[Chunk] = self._by_window.get(window, ())
        if window != end // WINDOW_MS:
            own = (chunks for span, chunks in self._by_source.values() if _within(ids, span))
            looked = itertools.chain.from_iterable(own)
        return [
            chunk
            for chunk in looked
            if chunk.start <= end and chunk.end >= start and _within(ids, chunk.span)
        ]

    def _intern(self, chunk: Chunk) -> None:
        """Let a chunk share its list of series with the one before it of the same source."""
        chunk.span = (int(chunk.ids.min()), int(chunk.ids.max()))
        before = self._newest.get(chunk.source)
        if before is not None and np.array_equal(before[0], chunk.ids):
            chunk.ids = before[0]
        if before is not None and before[1] == chunk.cuts:
            chunk.cuts = before[1]
        self._newest[chunk.source] = chunk.ids, chunk.cuts

    def _compress(self, head: Head) -> Sealed:
        with self.lock:
            columns = np.asarray(head.columns, dtype=np.int32)
            values = head.values.T.copy()
            times = head.times.copy()
            packed = {place: head.histograms(place) for place in head.histogram_columns}
        keys = [self.index.key(number) for number in columns.tolist()]
        order = np.asarray(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
        cuts = grouping.cuts([keys[place] for place in order.tolist()])
        parts = [codec.encode(values[order[begin:end]]) for begin, end in itertools.pairwise(cuts)]
        histograms = {
            place: encode_column(packed[column])
            for place, column in enumerate(order.tolist())
            if column in packed
        }
        with self.lock:
            starts = head.starts.encode(order)
        return Sealed(head.number, head.source, times, columns[order], cuts, parts, histograms, starts)

    def present(self, start: int, end: int) -> npt.NDArray[np.bool_]:
        """Mask over ids: which series have samples near `start <= t <= end` (ms)."""
        mask = np.zeros(len(self.index), dtype=bool)
        with self.lock:
            for chunk in self.chunks:
                if chunk.start <= end and chunk.end >= start:
                    # A series whose samples were deleted leaves a number beyond all ids.
                    mask[chunk.ids[chunk.ids < len(mask)]] = True
            for head in self.heads:
                if head.count and head.times[0] <= end and head.times[-1] >= start:
                    columns = np.asarray(head.columns, dtype=np.int64)
                    mask[columns[columns < len(mask)]] = True
        return mask

    def segments(self, wanted: Wanted, start: int, end: int, cache: PartCache) -> Iterator[Segment]:
        """The samples of some series, `start <= t <= end` (ms), by head and runs of chunks."""
        if not len(wanted.ids):
            return
        with self.lock:
            chunks = self.near(wanted.listed, start, end)
            by_source: dict[int, list[Chunk]] = {}
            for chunk in chunks:
                by_source.setdefault(chunk.source, []).append(chunk)
            heads = []
            for head in self.heads:
                if not head.may_have(wanted.listed, start, end):
                    continue
                places = wanted.places(head.ids)
                if places is None:
                    continue
                if (sealed := by_source.get(head.source)) and (others := wanted.places(sealed[0].ids)):
                    places = places.like(others)
                heads.append((head.source, places.rows, head.read(places.places, start, end)))
        for source, own in by_source.items():
            if len(own) > 1:
                own.sort(key=_start)
            name = self.name_of(source)
            for segment in self._runs(own, wanted, start, end, cache):
                segment.source = name
                yield segment
        for source, rows, found in heads:
            if len(found.times):
                held = Held(found.values)
                yield Segment(self.name_of(source), rows, found.times, held, found.histograms(), found.starts)

    def _runs(
        self, chunks: list[Chunk], wanted: Wanted, start: int, end: int, cache: PartCache
    ) -> Iterator[Segment]:
        """The samples in chunks of one source: together what has the same series, one behind the other."""
        run: list[Part] = []
        times: list[npt.NDArray[np.int64]] = []
        listed, places, until = None, None, -1
        for chunk in chunks:
            special = chunk.started or len(chunk.native) > 0
            if chunk.ids is not listed or special or chunk.start <= until:
                if places is not None and run:
                    yield self._run(run, times, places, cache)
                    run, times = [], []
                listed = chunk.ids
                places = wanted.places(listed)
            if places is None:
                continue
            low = 0 if start <= chunk.start else int(chunk.times.searchsorted(start))
            high = len(chunk.times)
            if end < chunk.end:
                high = int(chunk.times.searchsorted(end, side="right"))
            if low == high:
                continue
            part = (chunk.id, chunk.cuts, low, high)
            if special:
                segment = self._run([part], [chunk.times[low:high]], places, cache)
                self._complete(segment, chunk, places.places, low, cache)
                yield segment
                continue
            run.append(part)
            times.append(chunk.times[low:high])
            until = chunk.end
        if places is not None and run:
            yield self._run(run, times, places, cache)

    def _run(
        self, parts: list[Part], times: list[npt.NDArray[np.int64]], places: Places, cache: PartCache
    ) -> Segment:
        piece = ChunkPiece(cache, self.file, parts, places)
        return Segment("", places.rows, times[0] if len(times) == 1 else np.concatenate(times), piece)

    def _complete(
        self, segment: Segment, chunk: Chunk, places: npt.NDArray[np.int64], low: int, cache: PartCache
    ) -> None:
        """Add native histograms and when counters began."""
        if chunk.started:
            if not cache.reads_files:
                raise NotAtHand
            segment.starts = self.file.starts(chunk.id).rows(places, segment.times)
        native = np.flatnonzero(np.isin(places, chunk.native)) if len(chunk.native) else places[:0]
        if len(native):
            segment.histograms = self._histograms(segment, chunk, places[native], native, low, cache)

    def _histograms(
        self,
        segment: Segment,
        chunk: Chunk,
        places: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        low: int,
        cache: PartCache,
    ) -> npt.NDArray[np.object_] | None:
        """The native histograms of those rows of a segment, which are at `places` of their chunk."""
        out = np.full(segment.piece.shape, None, dtype=object)
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            # Histograms are numbered along the whole chunk, of which this is a part.
            part, at = chunk.part_of(place)
            whole = cache.group(self.file, chunk.id, part).floats(at)
            marked = whole.view(np.int64) == HISTOGRAM_BITS
            first = int(marked[:low].sum())
            there = np.flatnonzero(marked[low : low + out.shape[1]])
            if len(there):
                column = cache.get(self.file, chunk.id, -1 - place, self.file.histogram_column)
                out[row, there] = column.read(first, first + len(there))
        return out if np.not_equal(out, cast("Any", None)).any() else None


def _start(chunk: Chunk) -> int:
    return chunk.start


def _within(ids: list[int], span: tuple[int, int]) -> bool:
    """Whether one of some sorted ids is within a span."""
    at = bisect_left(ids, span[0])
    return at < len(ids) and ids[at] <= span[1]
