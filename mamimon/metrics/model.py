"""Series, samples and query results, as the store, the PromQL engine and the API hand them around.

Arrays stay numpy from the chunk on disk to the JSON encoder, so nothing here is an object a sample.
Three NaNs carry meaning and are told apart by their bits only (`view(np.int64)`): Prometheus' stale
marker, our own mark for "this series has no sample at this timestamp", and, on the way into the store
and inside it, our mark for "this sample is a native histogram", which is kept beside the matrix.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, cast

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.histogram import Histogram

    Samples = npt.NDArray[np.float64 | np.int32]
    """Numbers, as integers of up to 30 bits where all of them are such."""

STALE_BITS = 0x7FF0000000000002
ABSENT_BITS = 0x7FF000000000ACAB
HISTOGRAM_BITS = 0x7FF000000000AC15
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
ABSENT_NAN: float = struct.unpack("<d", struct.pack("<Q", ABSENT_BITS))[0]
HISTOGRAM_NAN: float = struct.unpack("<d", struct.pack("<Q", HISTOGRAM_BITS))[0]

Labels = dict[str, str]
"""Label names and values of a series, `__name__` among them; never an empty value."""


class Matcher(msgspec.Struct, frozen=True):
    """One condition of a selector; an absent label matches as the empty string, regexes are anchored."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


class Coarse(Protocol):
    """What is known of the samples that each value of a downsampled block stands for.

    Columns: first, last, min, max, sum, count, dropped (what a counter had reached before its resets),
    resets, and ended (1 where a staleness marker came last); a bucket is `(time - resolution_ms, time]`.
    """

    resolution_ms: int

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """[k, n] as `Block.values`; `ABSENT_NAN` where a bucket is empty (0 for ended)."""
        ...


class Reading(Protocol):
    """Samples of a table that are found but not put together yet."""

    whole: bool
    """All are integers of up to 30 bits."""
    plain: bool
    """None is a NaN."""

    def write(self, out: Samples) -> None:
        """Put them together in a matrix of their shape, of floats unless they are `whole`."""
        ...


class Table(Protocol):
    """Samples [series, scrapes] that are put together where they are looked at."""

    shape: tuple[int, int]

    def rows(self, first: int, last: int) -> tuple[Samples, bool]:
        """The rows [first, last), and whether they are free of NaN."""
        ...

    def columns(self, columns: npt.NDArray[np.int64]) -> tuple[Samples, bool]:
        """Columns, ascending, of all rows, and whether they are free of NaN."""
        ...

    def read(self, columns: slice | npt.NDArray[np.int64] | None = None) -> Reading:
        """All rows, or columns of them (a run, or ascending), for somebody who has the room."""
        ...


class Block:
    """Several series that share one timestamp vector: a target's scrapes.

    `times`: milliseconds since the epoch, strictly increasing, [n]. `rows`: which of `Selection.labels`
    each row is, [k]. `values` [k, n]: `ABSENT_NAN` where a series has no sample, `STALE_NAN` for a
    staleness marker; or a table that gives them. `histograms` [k, n]: native histograms, None elsewhere,
    where `values` holds `ABSENT_NAN`. `starts` [k, n]: when the counter of a sample began (milliseconds),
    0 where nobody said. `coarse`: the block is downsampled, `values` are the buckets' last samples, and
    here are the aggregates.
    """

    __slots__ = ("_values", "coarse", "histograms", "rows", "starts", "table", "times")

    def __init__(
        self,
        times: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64] | Table,
        histograms: npt.NDArray[np.object_] | None = None,
        starts: npt.NDArray[np.int64] | None = None,
        coarse: Coarse | None = None,
    ) -> None:
        self.times = times
        self.rows = rows
        self.histograms = histograms
        self.starts = starts
        self.coarse = coarse
        self.table: Table | None = None
        self._values: npt.NDArray[np.float64] | None = None
        if hasattr(values, "columns"):
            self.table = cast("Table", values)
        else:
            self._values = values

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The whole matrix."""
        if self._values is None:
            assert self.table is not None
            self._values = self.table.rows(0, self.table.shape[0])[0].astype("float64", copy=False)
        return self._values

    @property
    def size(self) -> int:
        """How many samples, gaps included."""
        return len(self.rows) * len(self.times)


class Selection(msgspec.Struct, eq=False):
    """What a selector matched; each series is in exactly one block."""

    labels: list[Labels]
    blocks: list[Block]


class SeriesSource(Protocol):
    """Where the engine reads samples; called in a worker thread."""

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """Every matching series with its samples, both ends included."""
        ...


class QueryResult(msgspec.Struct, eq=False, kw_only=True):
    """What an expression evaluates to.

    A raw range vector (`x[5m]` as an instant query) has kind "matrix" and fills `series`; every
    other result fills `values` and `present` over `times`.
    """

    kind: Literal["vector", "matrix", "scalar", "string"]
    times: npt.NDArray[np.int64]
    """Milliseconds since the epoch; one element for an instant query."""
    labels: list[Labels]
    values: npt.NDArray[np.float64]
    """[series, steps]."""
    present: npt.NDArray[np.bool_]
    """[series, steps]; False where the result has no point."""
    text: str = ""
    histograms: npt.NDArray[np.object_] | None = None
    """[series, steps]: native histograms where a point is one, else None; `values` holds NaN there."""
    series: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    series_histograms: list[tuple[npt.NDArray[np.int64], list[Histogram]]] = []
    """Beside `series`: each series' native histograms; empty if there are none at all."""
    warnings: list[str] = []
    infos: list[str] = []

    def drawn(self, row: int) -> list[float | None]:
        """A series' values as a chart draws them: None where there is no finite point."""
        import numpy as np

        usable = self.present[row] & np.isfinite(self.values[row])
        return [
            value if there else None
            for value, there in zip(self.values[row].tolist(), usable.tolist(), strict=True)
        ]
