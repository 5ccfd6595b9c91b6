"""`_created` series of OpenMetrics as what they say: when the series of their label set began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mamimon.metrics.wire.classic import label_set
from mamimon.metrics.wire.exposition import Exemplar, Exposition, Metadata, series_labels

_KINDS = ("counter", "histogram", "summary")
_SUFFIXES = ("_total", "_bucket", "_count", "_sum")

Role = tuple[str, bool]
"""The family and label set of a series, and whether it is their `_created` one."""


def take_created(exposition: Exposition, roles: dict[str, Role | None]) -> Exposition:
    """The exposition without its `_created` series; `roles` remembers series over scrapes."""
    if not any("_created" in key for key in exposition.keys):
        return exposition
    began: dict[str, int] = {}
    of: list[Role | None] = []
    for key, value in zip(exposition.keys, exposition.values.tolist(), strict=True):
        if key not in roles:
            roles[key] = _role(key, exposition.metadata)
        role = roles[key]
        of.append(role)
        if role is not None and role[1] and np.isfinite(value):
            began[role[0]] = round(value * 1000)
    stays = [index for index, role in enumerate(of) if role is None or not role[1]]
    new = {old: index for index, old in enumerate(stays)}
    starts = {new[index]: at for index, at in exposition.starts_ms.items() if index in new}
    for index, old in enumerate(stays):
        role = of[old]
        if role is not None and role[0] in began:
            starts[index] = began[role[0]]
    return Exposition(
        [exposition.keys[index] for index in stays],
        exposition.values[stays],
        [exposition.times_ms[index] for index in stays] if exposition.times_ms else None,
        exposition.metadata,
        [
            Exemplar(new[e.sample], e.labels, e.value, e.time_ms)
            for e in exposition.exemplars
            if e.sample in new
        ],
        {new[index]: one for index, one in exposition.histograms.items() if index in new},
        starts,
    )


def _role(key: str, metadata: Mapping[str, Metadata]) -> Role | None:
    labels = series_labels(key, strict=True)
    name = labels["__name__"]
    for suffix in ("_created", *_SUFFIXES, ""):
        family = metadata.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if family is not None and family.kind in _KINDS:
            base = name.removesuffix(suffix)
            inner = "quantile" if family.kind == "summary" else "le"
            return label_set(base, {n: v for n, v in labels.items() if n != inner}), suffix == "_created"
    return None
