"""Samples of one source at one instant, as the store takes them in."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import HISTOGRAM_NAN, Labels
from mamimon.metrics.store.day import Day


class Scrape(msgspec.Struct, eq=False):
    """Samples of one source at one instant."""

    source: str
    at: int
    """Milliseconds since the epoch."""
    ids: npt.NDArray[np.int64]
    """Series ids of the day that `SeriesStore.day_of(at)` answers."""
    values: npt.NDArray[np.float64]
    whole: bool = True
    """The source's whole state: a series of its last scrape that is not here has ended."""
    histograms: dict[int, Histogram] = {}
    """Place in `ids` → native histogram; `values` has `HISTOGRAM_NAN` there."""
    starts: npt.NDArray[np.int64] | None = None
    """When each counter began (ms), 0 where nobody said; None if nobody did."""


def scrape_of(
    day: Day,
    source: str,
    at: int,
    samples: Sequence[tuple[Labels, float | Histogram]],
    *,
    whole: bool = True,
) -> Scrape:
    """Samples with their labels as a `Scrape` of a day."""
    ids = np.asarray([day.index.id_of(labels) for labels, _ in samples], dtype=np.int64)
    histograms = {i: one for i, (_, one) in enumerate(samples) if isinstance(one, Histogram)}
    values = [HISTOGRAM_NAN if isinstance(one, Histogram) else one for _, one in samples]
    return Scrape(source, at, ids, np.asarray(values, dtype=np.float64), whole, histograms)
