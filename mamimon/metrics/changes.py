"""What changed: the series that are least like themselves in a window, against the time before it.

Method: the modified z-score of Iglewicz and Hoaglin, of means. The mean of the window is compared
with the means of all stretches of the same length in the time before: their median is what was
usual, their median absolute deviation (×1.4826, so that it reads as standard deviations of normal
noise) how much that moves by itself. Means of stretches see a spike that a median of the window
would not, and noise that hangs together in time counts as what it is. A floor of two percent of the
level keeps a series that never moved from dividing by zero, and bounds the score at 50 where the
sign stays. What a day's rhythm does at this hour is not known: six hours are looked back at.

Counters are compared as rates, and where a histogram or summary has `_sum` and `_count` its mean
stands in for `_sum`. Native histograms have no value to compare and are left out. Series that came
or went are told too, those of a whole target as one. All of it is arithmetic on one matrix
[series, steps]; only what is shown becomes Python numbers.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from mamimon.metrics.model import Labels
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mamimon.metrics.model import QueryResult
    from mamimon.metrics.query import SeriesBackend

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

WORTH = 3.5
"""From this score on a series counts as moved, as Iglewicz and Hoaglin recommend."""
_FLOOR = 0.02
_NEW, _GONE, _TARGET = 40.0, 25.0, 30.0
"""Where series without a score rank: new as one that grew fivefold, gone as one that halved."""
_SHORTEST_S = 120.0
_POINTS = 240
_CELLS = 6_000_000
"""Steps × series at most; with more series the steps are longer."""
_LEAST_HISTORY = 8
_LEAST_STEP_S = 10.0
_TREND = 60
_COUNTERS = ("_total", "_count", "_sum")
# Our own bookkeeping, timestamps and buckets say nothing that the rest does not say better. Counters are
# asked for raw: rate() drops the name that tells two of them apart.
_ASKED = (
    '{__name__=~".+",__name__!~".+_(bucket|created|info)|ALERTS.*|mamimon_.+|.*timestamp.*|'
    'process_start_time_seconds|scrape_.+|python_.+"}'
)
_Kind = Literal["moved", "new", "gone"]
_Unit = Literal["", "per second", "mean"]
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class Change(msgspec.Struct, kw_only=True):
    """A series that is not as it was; `score` in robust standard deviations, None unless it moved."""

    kind: _Kind
    name: str
    """The metric; empty for all series of a target together."""
    labels: Labels
    unit: _Unit
    """What `before` and `now` are: the value itself, a counter's rate, or a histogram's mean."""
    before: float | None = None
    now: float | None = None
    score: float | None = None
    alike: int = 0
    """How many more series of the same metric (or target) have changed so."""
    query: str
    """PromQL that draws it."""
    trend: list[float | None] = []
    """From the beginning of the time before to the end of the window."""


class Changes(msgspec.Struct, kw_only=True):
    """The changes of `[start, end)`, the greatest first, in epoch seconds."""

    start: float
    end: float
    before: float
    """Where the time that it was compared with begins."""
    compared: int = 0
    """Series that had enough history to be compared."""
    rows: list[Change] = []


async def changes(
    backend: SeriesBackend, start: float, end: float, limit: int = 20, *, timeout_s: float = 10.0
) -> Changes:
    """What moved most in `[start, end)`; raises `Problem` where the series cannot be asked."""
    start = min(start, end - _SHORTEST_S)
    length = end - start
    # Two dozen stretches to compare with where that is cheap, four where the window is long.
    usual = min(max(24 * length, 3600.0), max(6 * 3600.0, 4 * length), max(7 * 86_400.0, length))
    try:
        return await _compare(backend, start, end, usual, limit, timeout_s)
    except Problem as problem:
        # So many series that the time before does not fit a question's budget: a shorter one may.
        if problem.kind is not Kind.UNPROCESSABLE or usual <= max(3600.0, length):
            raise
        return await _compare(backend, start, end, max(3600.0, length), limit, timeout_s)


async def _compare(
    backend: SeriesBackend, start: float, end: float, usual: float, limit: int, timeout_s: float
) -> Changes:
    import numpy as np

    found = Changes(start=start, end=end, before=start - usual)
    counted = await backend.instant(f"count({_ASKED})", end, timeout_s=timeout_s)
    series = int(counted.values[0, 0]) if len(counted.labels) else 1
    points = max(min(_POINTS, _CELLS // max(series, 1)), 40)
    while True:
        # The window gets its share of the steps and three at least; it ends on the last one.
        step = max(min((end - found.before) / points, (end - start) / 3), _LEAST_STEP_S)
        first = end - step * int((end - found.before) / step)
        result = await backend.range(_ASKED, first, end, step, timeout_s=timeout_s)
        if not result.labels:
            return found
        begins = float(result.times[int(np.argmax(result.present.any(axis=0)))]) / 1000
        if begins >= start or begins - found.before < (start - found.before) / 2:
            break
        found.before = begins  # a young server: the same number of steps over what there is
    await asyncio.to_thread(_rank, found, result, limit)
    return found


def _rank(found: Changes, result: QueryResult, limit: int) -> None:
    import numpy as np

    raw: Floats = np.where(result.present & np.isfinite(result.values), result.values, np.nan)
    times = result.times / 1000.0
    there: Mask = np.isfinite(raw)
    before: Mask = times <= found.start
    if there[:, before].sum(axis=1).max() < _LEAST_HISTORY:
        return  # everything would be new
    labels = result.labels
    names = [one.get("__name__", "") for one in labels]
    values, units = _as_compared(raw, times, names, labels)
    scores, usual, now, known = _scores(values, before)
    found.compared = int(known.sum())

    history = there[:, before]
    had: Mask = history.max(axis=1)
    has: Mask = there[:, ~before].max(axis=1, initial=False)
    # A series that comes and goes anyway has not gone.
    steady: Mask = history[:, -1] & (history.mean(axis=1) > 0.5)
    new: Mask = ~had & has
    gone: Mask = steady & ~there[:, -1]
    moved: Mask = known & has & ~gone & (np.abs(np.nan_to_num(scores)) >= WORTH)

    hosts = [(one.get("job", ""), one.get("instance", "")) for one in labels]
    stays = {hosts[row] for row in np.flatnonzero(had & there[:, -1]).tolist()}
    was = {hosts[row] for row in np.flatnonzero(had).tolist()}
    weight = np.where(moved, np.abs(np.nan_to_num(scores)), 0.0)
    weight = np.where(new, _NEW, np.where(gone, _GONE, weight))

    alike: Counter[tuple[str, ...]] = Counter()
    chosen: dict[tuple[str, ...], tuple[int, float]] = {}
    for row in np.argsort(-weight, kind="stable")[: int((weight > 0).sum())].tolist():
        kind = "new" if new[row] else "gone" if gone[row] else "moved"
        whole = (new[row] and hosts[row] not in was) or (gone[row] and hosts[row] not in stays)
        key = (kind, "", "", *hosts[row]) if whole else (kind, names[row], units[row])
        chosen.setdefault(key, (row, _TARGET if whole else float(weight[row])))
        alike[key] += 1
    best = sorted(chosen, key=lambda key: -chosen[key][1])[:limit]
    found.rows = [
        _change(key, labels[row], (usual[row], now[row], scores[row]), alike[key] - 1, values[row])
        for key in best
        for row in (chosen[key][0],)
    ]


def _as_compared(
    raw: Floats, times: Floats, names: list[str], labels: list[Labels]
) -> tuple[Floats, list[_Unit]]:
    """The rows as they are compared, in place of what they are: [series, steps], first step lost."""
    import numpy as np

    values = raw[:, 1:].copy()
    units: list[_Unit] = [""] * len(names)
    counters = [row for row, name in enumerate(names) if name.endswith(_COUNTERS)]
    rows = np.asarray(counters, dtype=np.int64)
    gained = np.diff(raw[rows], axis=1)
    # A reset is a negative difference; what was counted across it is not known.
    gained[gained < 0] = np.nan
    place = {row: at for at, row in enumerate(counters)}
    values[rows] = gained / np.diff(times)
    for row in counters:
        units[row] = "per second"
    counts = {
        _identity(names[row].removesuffix("_count"), labels[row]): row
        for row in counters
        if names[row].endswith("_count")
    }
    pairs = [
        (row, counts[key])
        for row in counters
        if names[row].endswith("_sum")
        and (key := _identity(names[row].removesuffix("_sum"), labels[row])) in counts
    ]
    if pairs:
        sums, of = (np.asarray([place[pair[side]] for pair in pairs], dtype=np.int64) for side in (0, 1))
        many = gained[of]
        values[[row for row, _ in pairs]] = np.divide(
            gained[sums], many, out=np.full(many.shape, np.nan), where=many > 0
        )
        for row, _ in pairs:
            units[row] = "mean"
    return values, units


def _identity(name: str, labels: Labels) -> tuple[object, ...]:
    return name, frozenset(item for item in labels.items() if item[0] != "__name__")


def _scores(values: Floats, before: Mask) -> tuple[Floats, Floats, Floats, Mask]:
    """Score, usual level, level now, and whether there was enough to compare, by row."""
    import numpy as np

    split = int(before.sum()) - 1  # the first step went into the differences
    base, window = values[:, :split], values[:, split:]
    length = max(1, min(window.shape[1], split // 4))
    means = _stretches(base, length)
    usual = _median(means)
    spread = _median(np.abs(means - usual[:, None]))
    count = (~np.isnan(window)).sum(axis=1)
    now = np.divide(np.nansum(window, axis=1), count, out=np.full(len(values), np.nan), where=count > 0)
    floor = np.maximum(_FLOOR * np.maximum(np.abs(usual), np.abs(now)), 1e-12)
    known = ((~np.isnan(base)).sum(axis=1) >= _LEAST_HISTORY) & ~np.isnan(usual) & (count > 0)
    return (now - usual) / (1.4826 * spread + floor), usual, now, known


def _stretches(base: Floats, length: int) -> Floats:
    """The means of stretches of `length` steps; NaN where more than half of the steps are not there."""
    import numpy as np

    lacks = np.isnan(base)
    if not lacks.any():
        return _sums(base, length) / length
    count = length - _sums(lacks.astype(np.float64), length)
    out = np.full(count.shape, np.nan)
    np.divide(_sums(np.where(lacks, 0.0, base), length), count, out=out, where=count >= length / 2)
    return out


def _sums(base: Floats, length: int) -> Floats:
    """The sums of stretches, each begun a quarter of its length after the one before."""
    import numpy as np

    # Around the first value, so that a large level does not cost the digits of its changes.
    first = base[:, :1]
    total = np.zeros((len(base), base.shape[1] + 1))
    np.cumsum(base - first, axis=1, out=total[:, 1:])
    every = max(1, length // 4)
    return np.asarray(total[:, length::every] - total[:, :-length:every] + first * length, dtype=np.float64)


def _median(matrix: Floats) -> Floats:
    """The median a row, of what is there; whole rows take numpy's faster way."""
    import numpy as np

    out = np.full(len(matrix), np.nan)
    lacks = np.isnan(matrix)
    whole = ~lacks.any(axis=1)
    if whole.any():
        out[whole] = np.median(matrix[whole], axis=1)
    some = ~whole & ~lacks.all(axis=1)
    if some.any():
        ordered = np.sort(matrix[some], axis=1)  # NaN goes last
        count = (~lacks[some]).sum(axis=1)
        rows = np.arange(len(ordered))
        out[some] = (ordered[rows, (count - 1) // 2] + ordered[rows, count // 2]) / 2
    return out


def _change(
    key: tuple[str, ...], labels: Labels, figures: tuple[float, float, float], alike: int, values: Floats
) -> Change:
    kind, name, unit = cast("_Kind", key[0]), key[1], cast("_Unit", key[2])
    if not name:
        own = {label: labels[label] for label in ("job", "instance") if labels.get(label)}
        query = f"up{_braces(own)}"
        return Change(kind=kind, name="", labels=own, unit="", alike=alike, query=query)
    own = {label: value for label, value in labels.items() if label != "__name__"}
    shown = name.removesuffix("_sum") if unit == "mean" else name
    usual, now, score = figures
    return Change(
        kind=kind,
        name=shown,
        labels=own,
        unit=unit,
        before=None if kind == "new" else _figure(usual),
        now=None if kind == "gone" else _figure(now),
        score=_figure(score) if kind == "moved" else None,
        alike=alike,
        query=_query(shown, unit, own),
        trend=[_figure(value) for value in _thinned(values)],
    )


def _figure(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _thinned(values: Floats) -> list[float]:
    """At most `_TREND` of the values, of each stretch the one farthest from the median."""
    import numpy as np

    if len(values) <= _TREND:
        return [float(value) for value in values]
    usual = _median(values[None, :])[0]
    out = []
    for part in np.array_split(values, _TREND):
        far = np.abs(part - usual)
        out.append(float(part[np.nanargmax(far)]) if not np.isnan(far).all() else float("nan"))
    return out


def _query(name: str, unit: str, labels: Labels) -> str:
    def select(metric: str) -> str:
        if _PLAIN.fullmatch(metric):
            return metric + _braces(labels)
        return _braces({"__name__": metric, **labels})

    if unit == "mean":
        return f"rate({select(name + '_sum')}[5m]) / rate({select(name + '_count')}[5m])"
    return f"rate({select(name)}[5m])" if unit else select(name)


def _braces(labels: Labels) -> str:
    """Labels as a selector has them; names that are not plain are quoted, as Prometheus 3 reads them."""
    from mamimon.metrics.promql.text import quote

    parts = [
        f"{name if _PLAIN.fullmatch(name) and ':' not in name else quote(name)}={quote(value)}"
        for name, value in sorted(labels.items())
    ]
    return "{" + ", ".join(parts) + "}" if parts else ""
