"""Function calls: from the arguments' arrays to the result's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql import (
    coarse,
    elementwise,
    extended,
    histogram_calls,
    histogram_extended,
    histogram_windows,
    labelling,
    overtime,
    rates,
    starts,
)
from mamimon.metrics.promql.ast import Call, Expr, Range, Selector, String, Subquery, unwrap
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.evaluator import Evaluator, RangeVector, Tiles
from mamimon.metrics.promql.overtime import Result
from mamimon.metrics.promql.parallel import QUICK, each
from mamimon.metrics.promql.selection import is_invariant, run_of
from mamimon.metrics.promql.text import quote
from mamimon.metrics.promql.values import (
    Bools,
    Floats,
    Ints,
    Objects,
    Scalar,
    Value,
    Vector,
    are_there,
    empty,
)
from mamimon.metrics.promql.windows import Windows

_COUNTER_ENDINGS = ("_total", "_sum", "_count", "_bucket")
_KEEPS_NAME = ("first_over_time", "last_over_time")


def call(run: Evaluator, node: Call, times: Ints) -> Value:
    """The value of a function call at all times."""
    name = node.function.name
    if any(isinstance(unwrap(argument), Range | Subquery) for argument in node.args):
        return _over_range(run, node, times)
    if name in elementwise.PLAIN:
        vector = run.vector(node.args[0], times).floats()
        return vector.with_values(elementwise.PLAIN[name](vector.values), vector.present, drop_name=True)
    if name in elementwise.DATES:
        return _date(run, node, times)
    return _FUNCTIONS[name](run, node, times)


# -- range vectors ---------------------------------------------------------------------------------


def _kernel(run: Evaluator, node: Call, times: Ints, length_ms: int) -> Callable[[Windows], Result]:
    """The function of windows, its other arguments evaluated."""
    name = node.function.name
    seconds = length_ms / 1000
    if name in overtime.SIMPLE:
        return overtime.SIMPLE[name]
    if name in ("rate", "increase", "delta"):
        counter, per_second = name != "delta", name == "rate"
        return lambda part: rates.extrapolated(part, seconds, counter=counter, per_second=per_second)
    if name in ("irate", "idelta"):
        return lambda part: rates.instantaneous(part, counter=name == "irate")
    if name == "quantile_over_time":
        return _quantile_kernel(run, node, times)
    if name == "predict_linear":
        ahead = run.scalar(node.args[1], times)
        return lambda part: overtime.predict_linear(part, ahead, times)
    assert name == "double_exponential_smoothing", name
    smoothing, trend = run.scalar(node.args[1], times), run.scalar(node.args[2], times)
    for what, factor in (("smoothing", smoothing), ("trend", trend)):
        bad = factor[~((factor > 0) & (factor < 1))]
        if len(bad):
            sign = "sf" if what == "smoothing" else "tf"
            raise PromQLError(
                "execution", f"invalid {what} factor. Expected: 0 < {sign} < 1, got: {bad[0]:f}"
            )
    return lambda part: overtime.double_exponential_smoothing(part, smoothing, trend)


def _quantile_kernel(run: Evaluator, node: Call, times: Ints) -> Callable[[Windows], Result]:
    quantile = run.scalar(node.args[0], times)
    odd = ~((quantile >= 0) & (quantile <= 1))

    def kernel(part: Windows) -> Result:
        if odd.any():  # said only where a window has samples
            seen = part.count > 0
            asked = odd & (seen if seen.ndim == 1 else seen.any(axis=0))
            for value in np.unique(quantile[asked])[:10].tolist():
                run.notes.quantile(node.args[0], value)
        return overtime.quantile_over_time(part, quantile)

    return kernel


def _extended_kernel(name: str, length_ms: int, *, smoothed: bool) -> Callable[[Windows], Result]:
    """The function of anchored or smoothed windows."""
    if name in ("changes", "resets"):
        return lambda part: extended.events(part, name)
    counter, per_second = name != "delta", name == "rate"
    seconds = length_ms / 1000
    return lambda part: extended.difference(
        part, seconds, smoothed=smoothed, counter=counter, per_second=per_second
    )


def _over_range(run: Evaluator, node: Call, times: Ints) -> Value:
    name = node.function.name
    argument = next(inner for inner in map(unwrap, node.args) if isinstance(inner, Range | Subquery))
    if isinstance(argument, Range) and (mode := argument.selector.mode):
        allowed = extended.ANCHORED if mode == "anchored" else extended.SMOOTHED
        if name not in allowed:
            raise PromQLError(
                "execution", f"{mode} modifier can only be used with: {', '.join(allowed)} - not with {name}"
            )
    found = run.windows(argument, times, name)
    if name == "absent_over_time":
        return _absent_over_time(run, found, argument, times)
    mode = argument.selector.mode if isinstance(argument, Range) else ""
    if mode:
        kernel = _extended_kernel(name, found.length_ms, smoothed=mode == "smoothed")
        handle = histogram_extended.handler(name, mode)
    else:
        kernel = coarse.kernel(_kernel(run, node, times, found.length_ms))
        handle = histogram_windows.handler(name)

    def apply(rows: Ints, tile: Windows) -> tuple[Floats, Bools, Objects | None]:
        started = tile.starts is not None and name in starts.USED_BY
        named = rows.tolist() if started or tile.histograms is not None else []
        metrics = [found.labels[row].get("__name__", "") for row in named]
        length_s = tile.beside.length_s if tile.beside else found.length_ms / 1000
        result, present, histograms = histogram_windows.apply(
            handle, tile, metrics, kernel(tile), length_s=length_s, node=node.args[0], notes=run.notes
        )
        if started:
            before = result, present, histograms
            return starts.apply(
                name, tile, metrics, before, length_s=length_s, node=node.args[0], notes=run.notes
            )
        if tile.beside is not None and name in ("rate", "increase", "delta"):
            histograms = histogram_windows.scale_all(histograms, float(tile.beside.factor[0]))
        return result, present, histograms

    result = _by_tiles(run, found, len(times), apply, name)
    if name in ("rate", "increase"):
        _note_non_counters(run, result, node.args[0])
    return result


def _by_tiles(
    run: Evaluator,
    found: RangeVector,
    steps: int,
    apply: Callable[[Ints, Windows], tuple[Floats, Bools, Objects | None]],
    name: str,
) -> Vector:
    """The results of all tiles, each written to its place."""
    count = len(found.labels)
    run.limits.count(count * steps)
    values, present = np.empty((count, steps)), np.zeros((count, steps), dtype=np.bool_)
    seen, whole = np.zeros((2, count), dtype=np.bool_)
    objects: list[tuple[Ints, Objects]] = []

    def work(job: Tiles) -> None:
        for rows, tile in job():
            own, there, histograms = apply(rows, tile)
            place = run_of(rows)
            values[place] = own
            shared = len(there) > 0 and there.strides[0] == 0  # one row stands for all
            every = bool((there[0] if shared else there).all())
            whole[place] = every
            seen[place] = True if every else there.any(axis=1)
            if not every:
                present[place] = there
            if histograms is not None:
                objects.append((rows, histograms))

    jobs = list(run.tiles(found))
    cells = 0 if name in QUICK else sum(len(rows) * len(part.times) for rows, part in found.parts)
    for _ in each(work, jobs, cells):
        run.limits.check()
    present[whole] = not whole.all()
    table = None
    if objects:
        table = np.full((count, steps), None, dtype=object)
        for rows, histograms in objects:
            table[rows] = histograms
    result = Vector(
        labels=found.labels,
        values=values,
        present=None if whole.all() else present,
        drop_name=_drops(name, found),
        histograms=table,
    )
    return result if seen.all() else result.take(np.flatnonzero(seen))


def _drops(name: str, found: RangeVector) -> list[bool] | None:
    return found.drop_name if name in _KEEPS_NAME else [True] * len(found.labels)


def _note_non_counters(run: Evaluator, result: Vector, argument: Expr) -> None:
    labels = result.labels
    if result.histograms is not None:  # native histograms are counters under any name
        floats: Bools = np.asarray((result.mask() & ~result.histogram_mask()).any(axis=1))
        labels = [own for own, there in zip(labels, floats.tolist(), strict=True) if there]
    for metric in dict.fromkeys([own.get("__name__", "") for own in labels]):
        if metric and not metric.endswith(_COUNTER_ENDINGS):
            run.notes.info(
                argument,
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                + quote(metric),
            )


def _absent_labels(argument: Expr) -> Labels:
    """What `absent` can say about the series that is missing: the equalities of its selector."""
    selector = argument.selector if isinstance(argument, Range) else argument
    if not isinstance(selector, Selector):
        return {}
    out: Labels = {}
    seen: set[str] = set()
    for matcher in selector.matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            out[matcher.name] = matcher.value
        else:
            out.pop(matcher.name, None)
        seen.add(matcher.name)
    return {name: value for name, value in out.items() if value}


def _one_where(missing: Bools, labels: Labels) -> Vector:
    if not missing.any():
        return empty(len(missing))
    return Vector(labels=[labels], values=np.ones((1, len(missing))), present=missing[None, :])


def _absent_over_time(run: Evaluator, found: RangeVector, argument: Range | Subquery, times: Ints) -> Vector:
    there = np.zeros(len(times), dtype=np.bool_)
    for tile in (tile for job in run.tiles(found) for _, tile in job()):
        count = tile.count
        there |= count > 0 if count.ndim == 1 else (count > 0).any(axis=0)
        if tile.histograms is not None:
            seen: Bools = np.asarray(are_there(tile.histograms).any(axis=0))
            there |= np.array([bool(seen[a:b].any()) for a, b in zip(tile.low, tile.high, strict=True)])
    return _one_where(np.asarray(~there), _absent_labels(argument))


# -- instant vectors -------------------------------------------------------------------------------


def _absent(run: Evaluator, node: Call, times: Ints) -> Vector:
    vector = run.vector(node.args[0], times)
    there = vector.mask().any(axis=0)
    return _one_where(np.asarray(~there), _absent_labels(unwrap(node.args[0])))


def _date(run: Evaluator, node: Call, times: Ints) -> Vector:
    part = elementwise.DATES[node.function.name]
    if not node.args:
        seconds = np.trunc(times / 1000)[None, :]
        return Vector(labels=[{}], values=part(seconds).astype(np.float64))
    vector = run.vector(node.args[0], times).floats()
    return vector.with_values(part(vector.values).astype(np.float64), vector.present, drop_name=True)


def _round(run: Evaluator, node: Call, times: Ints) -> Vector:
    vector = run.vector(node.args[0], times).floats()
    nearest = run.scalar(node.args[1], times) if len(node.args) > 1 else np.ones(len(times))
    return vector.with_values(elementwise.round_to(vector.values, nearest), vector.present, drop_name=True)


def _clamp(run: Evaluator, node: Call, times: Ints) -> Vector:
    vector = run.vector(node.args[0], times).floats()
    name = node.function.name
    limits = [run.scalar(argument, times) for argument in node.args[1:]]
    low = limits[0] if name != "clamp_max" else np.full(len(times), -math.inf)
    high = limits[-1] if name != "clamp_min" else np.full(len(times), math.inf)
    present = vector.present
    if (low > high).any():  # nothing is inside
        present = vector.mask() & ~(low > high)
    return vector.with_values(elementwise.clamp(vector.values, low, high), present, drop_name=True)


def _scalar(run: Evaluator, node: Call, times: Ints) -> Scalar:
    vector = run.vector(node.args[0], times).floats()
    mask = vector.mask()
    single = mask.sum(axis=0) == 1
    if not vector.labels:
        return Scalar(np.full(len(times), math.nan))
    return Scalar(np.where(single, vector.values[mask.argmax(axis=0), np.arange(len(times))], math.nan))


def _timestamp(run: Evaluator, node: Call, times: Ints) -> Vector:
    argument = unwrap(node.args[0])
    if isinstance(argument, Selector):
        vector, taken = run.select_with_times(argument, times)
        return vector.with_values(taken() / 1000, vector.present, drop_name=True)
    vector = run.vector(argument, times)
    seconds = np.broadcast_to(times / 1000, vector.values.shape)
    return vector.with_values(seconds, vector.present, drop_name=True)


def _sort(run: Evaluator, node: Call, times: Ints) -> Vector:
    vector = run.vector(node.args[0], times)
    name = node.function.name
    if len(times) > 1 or (run.ranged and not is_invariant(node)):
        run.notes.warn(
            node, "sort is ineffective for range queries since results are always ordered by labels"
        )
        return vector.floats() if name in ("sort", "sort_desc") else vector
    if name in ("sort", "sort_desc"):
        floats = vector.floats()
        vector = floats.take(np.flatnonzero(floats.mask()[:, 0]))
        values = vector.values[:, 0]
        return vector.take(np.lexsort((-values if name == "sort_desc" else values, np.isnan(values))))
    wanted = [argument.value for argument in map(unwrap, node.args[1:]) if isinstance(argument, String)]
    return vector.take(labelling.label_order(vector.labels, wanted, descending=name.endswith("_desc")))


def _label_replace(run: Evaluator, node: Call, times: Ints) -> Vector:
    return labelling.replace(run.vector(node.args[0], times), *_texts(node.args[1:]))


def _label_join(run: Evaluator, node: Call, times: Ints) -> Vector:
    target, separator, *sources = _texts(node.args[1:])
    return labelling.join(run.vector(node.args[0], times), target, separator, sources)


def _texts(arguments: list[Expr]) -> list[str]:
    return [inner.value for inner in map(unwrap, arguments) if isinstance(inner, String)]


def _constant(value: Callable[[Evaluator], float]) -> Callable[[Evaluator, Call, Ints], Value]:
    return lambda run, _, times: Scalar(np.full(len(times), value(run)))


def _pick(choose: Callable[[Floats, Floats], Floats]) -> Callable[[Evaluator, Call, Ints], Value]:
    return lambda run, node, times: Scalar(
        choose(run.scalar(node.args[0], times), run.scalar(node.args[1], times))
    )


def _info(run: Evaluator, node: Call, times: Ints) -> Vector:
    from mamimon.metrics.promql.info import info

    return info(run, node, times)


_FUNCTIONS: dict[str, Callable[[Evaluator, Call, Ints], Value]] = {
    "absent": _absent,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "end": _constant(lambda run: run.end_ms / 1000),
    "histogram_avg": histogram_calls.part,
    "histogram_count": histogram_calls.part,
    "histogram_fraction": histogram_calls.fraction,
    "histogram_quantile": histogram_calls.quantile,
    "histogram_quantiles": histogram_calls.quantiles,
    "histogram_stddev": histogram_calls.part,
    "histogram_stdvar": histogram_calls.part,
    "histogram_sum": histogram_calls.part,
    "info": _info,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "max_of": _pick(elementwise.larger),
    "min_of": _pick(elementwise.smaller),
    "pi": _constant(lambda _: math.pi),
    "range": _constant(lambda run: (run.end_ms - run.start_ms) / 1000),
    "round": _round,
    "scalar": _scalar,
    "sort": _sort,
    "sort_by_label": _sort,
    "sort_by_label_desc": _sort,
    "sort_desc": _sort,
    "start": _constant(lambda run: run.start_ms / 1000),
    "start_timestamp": starts.call,
    # A range of one step has none, as in Prometheus.
    "step": _constant(lambda run: run.step_ms / 1000 if run.end_ms > run.start_ms else 0.0),
    "time": lambda run, _, times: Scalar(times / 1000),
    "timestamp": _timestamp,
    "vector": lambda run, node, times: Vector(labels=[{}], values=run.scalar(node.args[0], times)[None, :]),
}
