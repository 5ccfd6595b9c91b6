"""A rule that somebody made on a page, and how it becomes one that is evaluated."""

from __future__ import annotations

import json
from typing import Literal

import msgspec

from mamimon.alerts.model import Labels, LineCount, Rule, label_name

OPERATORS = (">", ">=", "<", "<=", "==", "!=")
LINES = "mamimon_log_rule_lines"
"""The series that holds what a rule on logs counted."""


class OwnRule(msgspec.Struct, kw_only=True):
    """On metrics: `expr` is PromQL. On logs: the lines that `query` finds in `window_s`, compared."""

    id: int = 0
    name: str
    kind: Literal["metric", "logs"] = "metric"
    expr: str = ""
    query: str = ""
    by: str = ""
    """On logs: a field whose values are counted each for itself."""
    window_s: float = 300.0
    op: str = ">"
    threshold: float = 0.0
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    labels: Labels = {}
    annotations: Labels = {}
    enabled: bool = True
    updated_at: float = 0.0
    updated_by: str = ""

    @property
    def lines(self) -> LineCount | None:
        """What is counted in the logs, None for a rule on metrics."""
        if self.kind == "metric":
            return None
        return LineCount(self.query, self.window_s, {"__name__": LINES, "rule": self.name}, self.by)

    @property
    def promql(self) -> str:
        """The expression that is evaluated."""
        if self.kind == "metric":
            return self.expr
        # max() drops the series' own label, so that the alert has only those that the rule gives it.
        series = f"{LINES}{{rule={json.dumps(self.name, ensure_ascii=False)}}}"
        by = f" by ({label_name(self.by)}) " if self.by else ""
        return f"max{by}({series}) {self.op} {self.threshold:.17g}"

    def rule(self) -> Rule:
        """As the engine takes it."""
        return Rule(
            name=self.name,
            expr=self.promql,
            alerting=True,
            line=self.id,
            for_s=self.for_s,
            keep_firing_for_s=self.keep_firing_for_s,
            labels=self.labels,
            annotations=self.annotations,
            lines=self.lines,
            own=self.id,
        )
