"""What there is: metrics with what is said of them, and what makes series many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mamimon.metrics.ingest import Pusher
    from mamimon.metrics.scrape.loop import Scraper
    from mamimon.metrics.store import SeriesStore
    from mamimon.metrics.store.cardinality import Cardinality

_PARTS = ("_bucket", "_sum", "_count", "_total", "_created", "_info")
_TOP = 20


class Explored(msgspec.Struct):
    """A metric; `query` is what to ask first, `view` how to see it."""

    name: str
    type: str
    help: str
    unit: str
    series: int
    query: str
    view: str


class DaySize(msgspec.Struct):
    """Series of a UTC day; `new` how many more than the day before."""

    day: str
    series: int
    new: int


def explored(store: SeriesStore, scraper: Scraper, pusher: Pusher) -> list[Explored]:
    """Every metric of the newest day by name. Blocking."""
    found = store.cardinality()
    if found is None:
        return []
    said: dict[str, tuple[str, str, str]] = {
        one.name: (one.kind, one.help, one.unit) for one in pusher.described.values()
    }
    for target in scraper.targets:
        said.update({name: (one.kind, one.help, one.unit) for name, one in target.metadata.items()})
    out = []
    for name, series in sorted(found.values.get("__name__", {}).items()):
        family = next((name.removesuffix(end) for end in _PARTS if name.endswith(end)), name)
        kind, text, unit = said.get(name) or said.get(family) or ("unknown", "", "")
        query, view = _first(name, kind)
        out.append(Explored(name, kind, text, unit, series, query, view))
    return out


def _first(name: str, kind: str) -> tuple[str, str]:
    if name.endswith("_bucket"):
        return name, "heat"
    if kind == "histogram" and not name.endswith(("_sum", "_count")):
        return name, "heat"
    if kind == "counter" or name.endswith(("_total", "_sum", "_count")):
        return f"rate({name}[5m])", "line"
    return name, "line"


def largest(found: Cardinality) -> dict[str, list[tuple[str, int]]]:
    """The metrics, labels and label values that most series have, the largest first."""

    def top(counts: dict[str, int]) -> list[tuple[str, int]]:
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP]

    pairs = {
        f'{name}="{value}"': count
        for name, values in found.values.items()
        if name != "__name__"
        for value, count in values.items()
    }
    return {
        "metrics": top(dict(found.values.get("__name__", {}))),
        "labels": top({name: len(values) for name, values in found.values.items()}),
        "pairs": top(pairs),
        "memory": top(found.label_bytes()),
    }


def grown(store: SeriesStore) -> list[DaySize]:
    """The number of series of each day there are raw samples of, the newest first. Blocking."""
    out: list[DaySize] = []
    for day, series in store.sizes():
        out.append(DaySize(day, series, series - out[-1].series if out else 0))
    return out[::-1]
