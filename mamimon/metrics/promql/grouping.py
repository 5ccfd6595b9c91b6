"""Labels to groups: which series of a vector belong together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from mamimon.metrics.model import Labels
from mamimon.metrics.promql.values import Ints, without


def key_function(names: Sequence[str], *, on: bool) -> Callable[[Labels], Hashable]:
    """What of a label set decides its group: only `names` (on), or all but these and the metric's name."""
    if on:
        if len(names) == 1:
            single = names[0]
            return lambda labels: labels.get(single, "")
        wanted = tuple(names)
        return lambda labels: tuple([labels.get(name, "") for name in wanted])
    ignored = frozenset((*names, "__name__"))
    return lambda labels: frozenset([item for item in labels.items() if item[0] not in ignored])


def keys_of(labels: Sequence[Labels], names: Sequence[str], *, on: bool) -> list[Hashable]:
    """What `key_function` gives of many."""
    if on and len(names) == 1:
        single = names[0]
        return [own.get(single, "") for own in labels]
    return list(map(key_function(names, on=on), labels))


def group_labels(labels: Labels, names: Sequence[str], *, without_names: bool) -> Labels:
    """The labels of an aggregated group."""
    if without_names:
        return without(labels, (*names, "__name__"))
    return {name: labels[name] for name in names if labels.get(name)}


def number_keys(keys: Sequence[Hashable], known: dict[Hashable, int] | None = None) -> Ints:
    """A number a key, from 0 in the order of first appearance; `known` is read and added to."""
    numbers = {} if known is None else known
    for key in dict.fromkeys(keys):
        numbers.setdefault(key, len(numbers))
    return np.fromiter(map(numbers.__getitem__, keys), np.int64, len(keys))


class Groups:
    """Rows sorted by group: `order` lists rows, group g has `order[starts[g]:starts[g] + sizes[g]]`."""

    def __init__(self, group_of: Ints, count: int) -> None:
        self.group_of = group_of
        self.count = count
        self.order = np.argsort(group_of, kind="stable")
        self.sizes = np.bincount(group_of, minlength=count)
        self.starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1])).astype(np.int64)
        self.identity = bool((self.order == np.arange(len(group_of))).all())
        """The rows are already in order."""

    def rows(self, group: int) -> Ints:
        """The rows of one group."""
        start = self.starts[group]
        return self.order[start : start + self.sizes[group]]
