"""`info()`: labels of info metrics (`target_info`) added to series of the same instance and job."""

from __future__ import annotations

import re

import numpy as np

from mamimon.metrics.model import Labels, Matcher
from mamimon.metrics.promql.ast import Call, Expr, Selector, Subquery, children
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.evaluator import Evaluator
from mamimon.metrics.promql.labelling import merge
from mamimon.metrics.promql.values import Bools, Ints, Vector, concatenate, describe, empty
from mamimon.metrics.regexes import compile_regex

IDENTIFYING = ("instance", "job")


def _matches(matcher: Matcher, value: str) -> bool:
    if matcher.op in ("=", "!="):
        return (matcher.value == value) == (matcher.op == "=")
    return (compile_regex(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")


def _name_matchers(matchers: list[Matcher]) -> list[Matcher]:
    names = [matcher for matcher in matchers if matcher.name == "__name__"]
    if any(matcher.op in ("=", "=~") for matcher in names):
        return names
    if names:  # only exclusions: of everything that looks like an info metric
        return [Matcher("__name__", "=~", ".+_info"), *names]
    return [Matcher("__name__", "=", "target_info")]


def _reference(
    node: Expr, enclosing: tuple[Subquery, ...] = ()
) -> tuple[Selector, tuple[Subquery, ...]] | None:
    """The first selector below, and the subqueries around it, innermost first."""
    if isinstance(node, Selector):
        return node, enclosing
    around = (node, *enclosing) if isinstance(node, Subquery) else enclosing
    for child in children(node):
        if found := _reference(child, around):
            return found
    return None


def _info_selector(run: Evaluator, argument: Expr, matchers: list[Matcher]) -> Selector:
    """A selector of the info series, at the time that the first argument's selector looks at."""
    at_ms, offset = None, 0
    if found := _reference(argument):
        selector, enclosing = found
        for node in (selector, *enclosing):
            offset += run.duration(node.offset_ms, node.offset_expr, may_be_negative=True)
            if node.at_ms is not None or node.at_edge:
                edge = run.start_ms if node.at_edge == "start" else run.end_ms
                at_ms = node.at_ms if node.at_ms is not None else edge
                break
    return Selector(name="", matchers=matchers, at_ms=at_ms, offset_ms=offset)


def info(run: Evaluator, node: Call, times: Ints) -> Vector:
    """Evaluate a call of `info`."""
    base = run.vector(node.args[0], times)
    second = node.args[1] if len(node.args) > 1 else None
    matchers = second.matchers if isinstance(second, Selector) else []
    names = _name_matchers(matchers)
    data = [matcher for matcher in matchers if matcher.name != "__name__"]
    plain = [all(_matches(m, labels.get("__name__", "")) for m in names) for labels in base.labels]
    wanted = [labels for labels, ignored in zip(base.labels, plain, strict=True) if not ignored]
    known = {name: {labels[name] for labels in wanted if labels.get(name)} for name in IDENTIFYING}
    identity = [
        Matcher(name, "=~", "|".join(sorted(re.escape(value) for value in values)))
        for name, values in known.items()
        if values
    ]
    vector = empty(len(times))
    stamps = np.empty((0, len(times)), dtype=np.int64)
    if identity:
        selector = _info_selector(run, node.args[0], [*identity, *data, *names])
        vector, taken = run.select_with_times(selector, times)
        stamps = taken()
        if vector.histograms is not None:
            raise PromQLError("execution", "info sample should be float")
    return _combine(base, plain, vector, stamps, data)


def _newest_only(vector: Vector, stamps: Ints, rows: list[int]) -> Bools:
    """Of several info series with one identity the newest sample counts: [rows, steps]."""
    present = vector.mask()[rows]
    when = np.where(present, stamps[rows], -1)
    newest: Bools = present & (when == when.max(axis=0))
    doubled = np.flatnonzero(newest.sum(axis=0) > 1)
    if len(doubled):
        step = int(doubled[0])
        first, second = (rows[i] for i in np.flatnonzero(newest[:, step])[:2])
        at = int(stamps[first, step])
        raise PromQLError(
            "execution",
            f"found duplicate series for info metric: existing {describe(vector.labels[first])} @ {at}, "
            f"new {describe(vector.labels[second])} @ {at}",
        )
    return newest


def _added(own: Labels, found: Labels, extra: Labels, allowed: set[str]) -> None:
    """Collect in `extra` what an info series adds to a series."""
    for name, value in found.items():
        if name == "__name__" or (allowed and name not in allowed):
            continue
        if extra.get(name, value) != value:
            raise PromQLError("execution", f"conflicting label: {name}")
        if name not in own:
            extra[name] = value


def _combine(base: Vector, plain: list[bool], found: Vector, stamps: Ints, data: list[Matcher]) -> Vector:
    by_identity: dict[tuple[str, ...], dict[str, list[int]]] = {}
    for row, labels in enumerate(found.labels):
        key = tuple(labels.get(name, "") for name in IDENTIFYING)
        by_identity.setdefault(key, {}).setdefault(labels.get("__name__", ""), []).append(row)
    chosen = {
        (key, metric): (rows, _newest_only(found, stamps, rows))
        for key, metrics in by_identity.items()
        for metric, rows in metrics.items()
    }
    allowed = {matcher.name for matcher in data}
    keep_unmatched = all(_matches(matcher, "") for matcher in data)
    parts: list[Vector] = []
    for row, own in enumerate(base.labels):
        one = base.take([row])
        key = tuple(own.get(name, "") for name in IDENTIFYING)
        if plain[row]:
            parts.append(one)
            continue
        # Steps at which the same info series are the newest give the same labels.
        masks = [
            (r, mask[i]) for (k, _), (rows, mask) in chosen.items() if k == key for i, r in enumerate(rows)
        ]
        here = np.array([mask for _, mask in masks]).reshape(len(masks), base.steps)
        patterns, pattern_of = np.unique(here, axis=1, return_inverse=True)
        for number in range(patterns.shape[1] if masks else 1):
            steps = pattern_of.reshape(-1) == number if masks else np.ones(base.steps, dtype=np.bool_)
            members = [masks[i][0] for i in np.flatnonzero(patterns[:, number])] if masks else []
            present = one.mask() & steps
            if (not members and not keep_unmatched) or not present.any():
                continue
            extra: Labels = {}
            for member in members:
                _added(own, found.labels[member], extra, allowed)
            parts.append(
                Vector(labels=[{**own, **extra}], values=one.values, present=present, drop_name=one.drop_name)
            )
    return merge(concatenate(parts, base.steps))
