"""Warnings and infos of a query, each once, with the place in the query that they are about."""

from __future__ import annotations

from mamimon.metrics.promql.ast import Node
from mamimon.metrics.promql.errors import place
from mamimon.metrics.promql.text import format_general, quote


def named(text: str, metric: str) -> str:
    """`text` with the metric it is about, if that is known."""
    return f"{text} for metric name {quote(metric)}" if metric else text


class Annotations:
    """Collects while a query runs."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._texts: dict[tuple[str, str], str] = {}

    def warn(self, node: Node, text: str) -> None:
        """The answer may mislead."""
        self._add("warning", node, text)

    def info(self, node: Node, text: str) -> None:
        """Worth knowing, often harmless."""
        self._add("info", node, text)

    def _add(self, level: str, node: Node, text: str) -> None:
        # Once a text, at its last place, as Prometheus does.
        self._texts[level, text] = f"PromQL {level}: {text} ({place(self._query, node.start)})"

    def quantile(self, node: Node, value: float) -> None:
        """Check the φ of a quantile."""
        if not 0 <= value <= 1:
            self.warn(node, f"quantile value should be between 0 and 1, got {format_general(value)}")

    @property
    def warnings(self) -> list[str]:
        """In the order in which they arose."""
        return [text for (level, _), text in self._texts.items() if level == "warning"]

    @property
    def infos(self) -> list[str]:
        """In the order in which they arose."""
        return [text for (level, _), text in self._texts.items() if level == "info"]
