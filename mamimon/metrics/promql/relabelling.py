"""Functions that change, order or invent labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import re2

from mamimon.metrics.model import Labels, Matcher
from mamimon.metrics.promql.ast import Expr, Range, Selector, unwrap
from mamimon.metrics.promql.errors import PromQLError
from mamimon.metrics.promql.parser import compile_regex
from mamimon.metrics.promql.values import Vector, signature

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")
_DIGITS = re.compile(r"(\d+)")


def label_replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    """Set `target` to the expanded `replacement` where `source` matches the whole `pattern`."""
    try:
        regex: Any = compile_regex(pattern)
    except re2.error:
        raise PromQLError("execution", f"invalid regular expression in label_replace(): {pattern}") from None
    _check_name(target, "label_replace")
    labels: list[Labels] = []
    drops = vector.drops()
    for row, own in enumerate(vector.labels):
        found = regex.fullmatch(own.get(source, ""))
        if found is None:
            labels.append(own)
            continue
        labels.append(_set(own, target, _expand(replacement, found)))
        if target == "__name__":
            drops[row] = False
    return _relabelled(vector, labels, drops)


def label_join(vector: Vector, target: str, separator: str, sources: list[str]) -> Vector:
    """Set `target` to the values of `sources`, joined."""
    _check_name(target, "label_join")
    labels = [_set(own, target, separator.join(own.get(n, "") for n in sources)) for own in vector.labels]
    drops = vector.drops()
    if target == "__name__":
        drops = [False] * len(labels)
    return _relabelled(vector, labels, drops)


def _relabelled(vector: Vector, labels: list[Labels], drops: list[bool]) -> Vector:
    named = None if not any(drops) else drops
    return merge_equal(Vector(labels=labels, values=vector.values, present=vector.present, drop_name=named))


def _check_name(name: str, function: str) -> None:
    if not name:
        raise PromQLError("execution", f"invalid destination label name in {function}(): {name}")


def _set(labels: Labels, name: str, value: str) -> Labels:
    changed = {**labels, name: value}
    if not value:
        del changed[name]
    return changed


def _expand(template: str, found: Any) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference.group(1) or reference.group(2)
        if name is None:
            return "$"
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, template)


def merge_equal(vector: Vector) -> Vector:
    """Series of one label set become one; two samples at one step are an error, as in Prometheus."""
    drops = vector.drops()
    groups: dict[object, list[int]] = {}
    for row, labels in enumerate(vector.labels):
        groups.setdefault((signature(labels), drops[row]), []).append(row)
    if len(groups) == len(vector.labels):
        return vector
    mask = vector.mask()
    values = vector.values.copy()
    present = mask.copy()
    kept = []
    for rows in groups.values():
        kept.append(rows[0])
        for row in rows[1:]:
            if (present[rows[0]] & mask[row]).any():
                raise PromQLError("execution", "vector cannot contain metrics with the same labelset")
            values[rows[0]] = np.where(mask[row], vector.values[row], values[rows[0]])
            present[rows[0]] |= mask[row]
    merged = Vector(labels=vector.labels, values=values, present=present, drop_name=vector.drop_name)
    return merged.take(kept)


def labels_of_absent(node: Expr) -> Labels:
    """The labels that `absent` can know of what is not there: those that equality names once."""
    node = unwrap(node)
    if isinstance(node, Range):
        node = node.selector
    if not isinstance(node, Selector):
        return {}
    labels: Labels = {}
    seen: set[str] = set()
    for matcher in node.matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            labels[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return {name: value for name, value in labels.items() if value}


def sort_by_value(vector: Vector, *, descending: bool) -> Vector:
    """By the sample of an instant query, NaN last; a range query keeps its own order."""
    if vector.steps != 1 or not vector.labels:
        return vector
    values = vector.values[:, 0]
    order = np.lexsort((-values if descending else values, np.isnan(values)))
    return vector.take(order)


def sort_by_labels(vector: Vector, names: list[str], *, descending: bool) -> Vector:
    """By labels in natural order (`a2` before `a10`), then by the whole label set."""

    def key(row: int) -> object:
        labels = vector.labels[row]
        return [_natural(labels.get(name, "")) for name in names], signature(labels)

    order = sorted(range(len(vector.labels)), key=key, reverse=descending)  # type: ignore[arg-type]
    return vector.take(order)


def _natural(text: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(text) if part]


def metric_name(matchers: list[Matcher]) -> str:
    """The name that a selector asks for by equality, or nothing."""
    return next((m.value for m in matchers if m.name == "__name__" and m.op == "="), "")
