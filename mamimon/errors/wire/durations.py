"""Transactions and spans become duration metrics; nothing of them is stored otherwise.

`mamimon_transaction_duration_seconds` by project, operation and name, `mamimon_span_duration_seconds`
by project and operation, with the trace id as exemplar. Names beyond a bound count as "other".
"""

from __future__ import annotations

import math
import re
import threading
from typing import Any

from prometheus_client import CollectorRegistry, Histogram

from mamimon.errors.scrub import scrub_text
from mamimon.errors.values import instant, text

MAX_NAMES = 300
MAX_SPANS = 2_000
OTHER = "other"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TRACE = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"(?<=/)(\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,})(?=/|$)", re.IGNORECASE)


class Durations:
    """The two histograms; called in worker threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._transactions = Histogram(
            "mamimon_transaction_duration_seconds",
            "How long the transactions of Sentry clients took.",
            ["project", "operation", "transaction"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._spans = Histogram(
            "mamimon_span_duration_seconds",
            "How long the spans of Sentry clients took.",
            ["project", "operation"],
            registry=registry,
            buckets=_BUCKETS,
        )
        self._lock = threading.Lock()
        self._names: set[tuple[str, str]] = set()

    def transaction(self, raw: dict[str, Any], project: int) -> None:
        """Count a transaction and its spans; raises `ValueError` for one without times."""
        contexts = raw.get("contexts")
        trace = contexts.get("trace") if isinstance(contexts, dict) else None
        trace = trace if isinstance(trace, dict) else {}
        seconds = _seconds(raw)
        if seconds is None:
            raise ValueError("a transaction without a start and an end")
        name = _NUMBER.sub("*", _clean(raw.get("transaction"), 200)) or "(unnamed)"
        operation = self._known("operation", _clean(trace.get("op"), 60) or "default")
        exemplar = _exemplar(trace.get("trace_id"))
        self._transactions.labels(str(project), operation, self._known("transaction", name)).observe(
            seconds, exemplar
        )
        spans = raw.get("spans")
        for span in spans[:MAX_SPANS] if isinstance(spans, list) else []:
            if isinstance(span, dict):
                self._span(span, project)

    def spans(self, raw: dict[str, Any], project: int) -> int:
        """Count the spans of a `span` item, one or a list of them; returns how many had times."""
        items = raw.get("items")
        found = items[:MAX_SPANS] if isinstance(items, list) else [raw]
        many = sum(self._span(one, project) for one in found if isinstance(one, dict))
        if not many:
            raise ValueError("a span without a start and an end")
        return many

    def _span(self, span: dict[str, Any], project: int) -> bool:
        seconds = _seconds(span)
        if seconds is None:
            return False
        attributes = span.get("attributes")
        said = attributes.get("sentry.op") if isinstance(attributes, dict) else None
        operation = _clean(span.get("op") or (said.get("value") if isinstance(said, dict) else said), 60)
        named = self._known("operation", operation or "default")
        self._spans.labels(str(project), named).observe(seconds, _exemplar(span.get("trace_id")))
        return True

    def _known(self, kind: str, name: str) -> str:
        with self._lock:
            if (kind, name) not in self._names:
                if sum(one[0] == kind for one in self._names) >= MAX_NAMES:
                    return OTHER
                self._names.add((kind, name))
        return name


def _clean(value: Any, most: int) -> str:
    """A name without secrets, cut only then: half a secret has no shape."""
    return scrub_text(text(value, 1000))[:most]


def _seconds(raw: dict[str, Any]) -> float | None:
    start = instant(raw.get("start_timestamp"))
    end = instant(raw.get("timestamp") or raw.get("end_timestamp"))
    if start is None or end is None or not math.isfinite(end - start):
        return None
    return min(max(0.0, end - start), 86_400.0)


def _exemplar(trace: Any) -> dict[str, str] | None:
    return {"trace_id": trace} if isinstance(trace, str) and _TRACE.fullmatch(trace) else None
