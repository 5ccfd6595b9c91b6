"""What a target's series are called: target labels, relabelling, limits (Prometheus `scrape`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mamimon.config import MetricSettings
from mamimon.metrics.scrape.job import Job
from mamimon.metrics.scrape.relabel import relabel
from mamimon.metrics.wire.exposition import ExpositionError, bound_text, series_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mamimon.metrics.model import Labels
    from mamimon.metrics.wire.exposition import Metadata

_LEGACY_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LEGACY_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")


class Labelling:
    """The rules of one target."""

    def __init__(self, job: Job, target: Labels, settings: MetricSettings) -> None:
        self._job = job
        self._target = target
        self._settings = settings

    def labels(self, key: str, metadata: Mapping[str, Metadata], *, strict: bool) -> Labels | None:
        """The final labels of a series text, or None where relabelling drops it.

        Raises `ExpositionError` (line 0) for a text that cannot be read or breaks a limit.
        """
        exposed = _with_plain_bounds(series_labels(key, strict=strict), metadata)
        labels: Labels | None = self._attached(exposed)
        if self._job.metric_relabel:
            labels = relabel(labels or {}, self._job.metric_relabel)
        if not labels:
            return None
        if not labels.get("__name__"):
            raise ExpositionError(0, f"relabelling leaves {key[:80]!r} without a name")
        self._check(labels)
        return labels

    def _attached(self, exposed: Labels) -> Labels:
        if self._job.honor_labels:
            return {**{name: value for name, value in self._target.items() if name not in exposed}, **exposed}
        labels = {**exposed, **self._target}
        for name in sorted(set(exposed) & set(self._target), key=len):
            new = f"exported_{name}"
            while new in labels:
                new = f"exported_{new}"
            labels[new] = exposed[name]
        return labels

    def _check(self, labels: Labels) -> None:
        limits, settings, name = self._job.limits, self._settings, labels["__name__"]
        about = f"metric: {name[:50]}"
        most = limits.label_limit or settings.max_labels_per_series
        if len(labels) > most:
            raise ExpositionError(
                0, f"label_limit exceeded ({about}, number of labels: {len(labels)}, limit: {most})"
            )
        longest_name = limits.label_name_length_limit or settings.max_label_bytes
        longest_value = limits.label_value_length_limit or settings.max_label_bytes
        for label, value in labels.items():
            if len(label) > longest_name:
                raise ExpositionError(
                    0,
                    f"label_name_length_limit exceeded ({about}, label name: {label[:50]}, "
                    f"length: {len(label)}, limit: {longest_name})",
                )
            if len(value) > longest_value:
                raise ExpositionError(
                    0,
                    f"label_value_length_limit exceeded ({about}, label name: {label[:50]}, "
                    f"value: {value[:50]!r}, length: {len(value)}, limit: {longest_value})",
                )
        if self._job.formats.legacy_names and not (
            _LEGACY_METRIC.match(name) and all(_LEGACY_LABEL.match(label) for label in labels)
        ):
            raise ExpositionError(0, f"invalid metric name or label names: {name[:80]!r}")


def _with_plain_bounds(labels: Labels, metadata: Mapping[str, Metadata]) -> Labels:
    """Prometheus 3 writes the bounds of buckets and quantiles one way, however a target writes them."""
    name = labels["__name__"]
    for label, family, kind in (
        ("le", name.removesuffix("_bucket"), "histogram"),
        ("quantile", name, "summary"),
    ):
        about = metadata.get(family) if label in labels else None
        if about is not None and about.kind == kind:
            try:
                labels[label] = bound_text(float(labels[label]))
            except ValueError:
                continue
    return labels
