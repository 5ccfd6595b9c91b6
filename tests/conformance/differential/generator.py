"""Valid PromQL over the metrics of a `World`, by chance from a seed."""

# ruff: noqa: E501 (tables of query texts)
from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.conformance.differential.moving import END, START, Metric, World

EXACT = ("abs", "ceil", "floor", "sqrt", "sgn", "round", "deg", "rad", "timestamp", "sort", "sort_desc")
ROUNDED = (
    "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh",
)  # fmt: skip
"""Go's and C's mathematics end in other digits, which differences and comparisons would bring to the front."""
RARE = ("absent", "histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar")
"""Mostly without an answer where there are floats."""
DATES = (
    "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year",
)  # fmt: skip
OVER_TIME = (
    "rate", "increase", "irate", "delta", "idelta", "deriv", "changes", "resets", "avg_over_time", "sum_over_time",
    "min_over_time", "max_over_time", "count_over_time", "stddev_over_time", "stdvar_over_time", "last_over_time",
    "present_over_time", "first_over_time", "mad_over_time", "ts_of_max_over_time",
    "ts_of_min_over_time", "ts_of_last_over_time", "ts_of_first_over_time",
)  # fmt: skip
EXTENDED = ("rate", "increase", "delta", "changes", "resets")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
RANGES = ("30s", "1m", "2m", "5m", "7m30s", "15m", "90", "1m500ms")
T = TypeVar("T")
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass
class Query:
    """One question to both sides."""

    expr: str
    start: float
    end: float
    step: float
    """Seconds; 0 = instant."""


class Generator:
    """`query()` gives the next question."""

    def __init__(self, world: World, seed: int) -> None:
        self._random = random.Random(seed)
        self._metrics = list(world.metrics.values())
        self._buckets = [one for one in self._metrics if one.kind == "bucket"]
        self._counters = [one for one in self._metrics if one.kind == "counter"]
        self._distinct = [one for one in self._metrics if one.distinct]

    def query(self) -> Query:
        """The next question: instant or range, any type of result."""
        chance = self._random.random()
        start = self._random.uniform(START / 1000 - 200, END / 1000 + 400)
        start = round(start, self._pick((0, 0, 3)))
        depth = self._pick((1, 2, 2, 3, 3, 4))
        if chance < 0.45:
            if chance < 0.03:
                return Query(self._matrix(depth), start, start, 0)
            if chance < 0.05:
                return Query(self._scalar(3), start, start, 0)
            return Query(self._top(depth), start, start, 0)
        step = self._pick((1, 5, 7, 13.5, 15, 30, 60, 60, 97, 300, 0.5))
        expr = self._scalar(3) if chance > 0.97 else self._outer(depth)
        return Query(expr, start, start + step * self._random.randrange(0, 40), step)

    def _pick(self, choices: Sequence[T]) -> T:
        return choices[self._random.randrange(len(choices))]

    def _chance(self, part: float) -> bool:
        return self._random.random() < part

    def _top(self, depth: int) -> str:
        """Also what has a meaning only as the whole of an instant query: orders and choices among equals."""
        if self._chance(0.04):
            labels = ", ".join(f'"{name}"' for name in self._names(self._metric(), 2))
            return f"{self._pick(('sort_by_label', 'sort_by_label_desc'))}({self._vector(1)}{', ' if labels else ''}{labels})"
        return self._outer(depth)

    def _outer(self, depth: int) -> str:
        return f"{self._pick(ROUNDED)}({self._vector(1)})" if self._chance(0.07) else self._vector(depth)

    # -- selectors ---------------------------------------------------------------------------------

    def _metric(self, kind: str = "") -> Metric:
        if kind == "counter" and self._chance(0.9):
            return self._pick(self._counters)
        return self._pick(self._metrics)

    def _names(self, metric: Metric, most: int) -> list[str]:
        names = [name for name in sorted(metric.labels) if _PLAIN.fullmatch(name)]
        return self._random.sample(names, min(len(names), self._random.randrange(most + 1)))

    def _matcher(self, metric: Metric, name: str) -> str:
        values = sorted(metric.labels[name])
        value = self._pick(values)
        shown = name if _PLAIN.fullmatch(name) else f'"{name}"'
        kind = self._random.randrange(8)
        if kind < 3:
            return f"{shown}={_quote(value)}"
        if kind == 3:
            return f"{shown}!={_quote(value)}"
        if kind == 4:
            two = "|".join(re.escape(self._pick(values)) for _ in range(2))
            return f"{shown}{self._pick(('=~', '!~'))}{_quote(two)}"
        if kind == 5:
            return f"{shown}=~{_quote(re.escape(value[: self._random.randrange(1, 4)]) + '.*')}"
        if kind == 6:
            return f"{shown}!~{_quote('.*' + re.escape(value[-1:]))}"
        return self._pick(
            (f'{shown}=~".+"', 'missing=""', f'{shown}=~"(?i:{value[:1]}).*|b"', f'{shown}!=""')
        )

    def _selector(self, kind: str = "", *, families: bool = True) -> str:
        metric = self._metric(kind)
        names = sorted(metric.labels)
        names = self._random.sample(names, min(len(names), self._pick((0, 0, 1, 1, 2))))
        matchers = [self._matcher(metric, name) for name in names]
        if families and self._chance(0.03):
            family = self._pick(
                ("node_disk_.*", "http_request.*_count|http_requests_total", "edge_.*", "node_load.+")
            )
            return f'{{__name__=~"{family}"{", " if matchers else ""}{", ".join(matchers)}}}'
        if not _PLAIN.fullmatch(metric.name):
            return "{" + ", ".join([f'"{metric.name}"', *matchers]) + "}"
        if not matchers:
            return metric.name
        if self._chance(0.1):
            return "{" + ", ".join([f'__name__="{metric.name}"', *matchers]) + "}"
        return f"{metric.name}{{{', '.join(matchers)}}}"

    def _timing(self) -> str:
        out = ""
        if self._chance(0.12):
            out += f" offset {self._pick(('1m', '5m', '-2m', '90s', '13s', '0', '(1m + 30s)', 'step()'))}"
        if self._chance(0.08):
            inside = self._random.randrange(START // 1000, END // 1000)
            out += f" @ {self._pick(('start()', 'end()', str(inside), f'{inside}.5'))}"
        return out

    # -- range vectors -----------------------------------------------------------------------------

    def _matrix(self, depth: int, kind: str = "") -> str:
        length = self._pick(RANGES)
        if self._chance(0.04):
            length = self._pick(("2 * 1m", "step() + 1m", "1m + range() / 10", "max_of(step(), 1m)"))
        if depth > 1 and self._chance(0.2):
            inner = self._vector(depth - 1)
            return f"({inner})[{length}:{self._pick(('', '30s', '1m', '17s'))}]{self._timing()}"
        if self._chance(0.08):
            return f"{self._selector(kind)}[{length}:{self._pick(('', '15s', '45s'))}]{self._timing()}"
        return f"{self._selector(kind)}[{length}]{self._timing()}"

    def _over_time(self, depth: int) -> str:
        if self._chance(0.06):
            name = self._pick(EXTENDED)
            mode = self._pick(("anchored", "smoothed")) if name not in ("changes", "resets") else "anchored"
            return f"{name}({self._selector('counter')}[{self._pick(RANGES)}] {mode}{self._timing()})"
        if self._chance(0.08):
            return f"quantile_over_time({self._quantile()}, {self._matrix(depth)})"
        if self._chance(0.05):
            return f"predict_linear({self._selector()}[{self._pick(RANGES)}]{self._timing()}, {self._pick(('60', '3600', '-120', 'scalar(up)', 'time() % 60'))})"
        if self._chance(0.05):
            return f"double_exponential_smoothing({self._matrix(depth)}, {self._pick(('0.1', '0.5', '0.9'))}, {self._pick(('0.2', '0.7'))})"
        name = "absent_over_time" if self._chance(0.01) else self._pick(OVER_TIME)
        kind = "counter" if name in ("rate", "increase", "irate") else ""
        return f"{name}({self._matrix(depth, kind)})"

    # -- instant vectors ---------------------------------------------------------------------------

    def _vector(self, depth: int) -> str:
        if depth <= 1:
            if self._chance(0.45):
                return self._over_time(1)
            return self._selector() + self._timing()
        if self._chance(0.08):
            return self._of_native()
        kind = self._random.randrange(20)
        if kind < 5:
            return self._over_time(depth)
        if kind < 10:
            return self._aggregation(depth)
        if kind < 16:
            return self._binary(depth)
        return self._call(depth)

    def _native(self, depth: int = 2) -> str:
        """A vector of native histograms."""
        metric = self._pick(("native_seconds", "native_seconds", "native_bytes"))
        selector = metric + self._pick(("", "", '{job="shop"}', '{instance=~"web-1.*"}', '{method="GET"}'))
        if depth <= 0 or self._chance(0.15):
            return selector + self._timing()
        kind = self._random.randrange(10)
        if kind < 5:
            names = (
                "rate",
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "sum_over_time",
                "avg_over_time",
                "last_over_time",
                "first_over_time",
            )
            return f"{self._pick(names)}({selector}[{self._pick(RANGES)}]{self._timing()})"
        if kind < 8:
            by = self._pick(("", " by (job)", " by (instance)", " without (instance)"))
            return f"{self._pick(('sum', 'sum', 'avg'))}{by} ({self._native(depth - 1)})"
        if kind == 8:
            return f"({self._native(depth - 1)}) {self._pick(('* 2', '/ 3', '* -1'))}"
        return f"{selector} {self._pick('+-')} ({selector} offset 1m)"

    def _of_native(self) -> str:
        """Something of native histograms."""
        inner = self._native()
        kind = self._random.randrange(12)
        if kind < 3:
            return inner
        if kind < 6:
            return f"{self._pick(RARE[1:])}({inner})"
        if kind < 8:
            return f"histogram_quantile({self._quantile()}, {inner})"
        if kind == 8:
            return f"histogram_fraction({self._pick(('0', '0.1', '-Inf'))}, {self._pick(('0.2', '1', '50', '+Inf'))}, {inner})"
        if kind == 9:
            name = self._pick(
                (
                    "count_over_time",
                    "present_over_time",
                    "changes",
                    "resets",
                    "max_over_time",
                    "last_over_time",
                )
            )
            return f"{name}(native_seconds[{self._pick(RANGES)}])"
        if kind == 10:
            return f"{self._pick(('count', 'group', 'max', 'topk', 'stddev'))}{''} ({inner})".replace(
                "topk (", "topk (2, "
            )
        op = self._pick(("==", "!=", "and", "or", "unless", "== bool"))
        return f"({inner}) {op} ({self._native(0)})"

    def _quantile(self) -> str:
        return self._pick(("0.5", "0.9", "0.99", "0", "1", "0.123", "1.5", "-1", "NaN"))

    def _grouping(self, metric: Metric | None = None) -> str:
        if self._chance(0.15):
            return ""
        names = self._names(metric or self._metric(), 3)
        if self._chance(0.5):
            names = self._random.sample(
                ("job", "instance", "method", "status", "mode", "cpu", "device", "n"), 2
            )
        return f" {self._pick(('by', 'by', 'without'))} ({', '.join(names)})"

    def _aggregation(self, depth: int) -> str:
        chance = self._random.random()
        if chance < 0.08:
            return f"quantile{self._grouping()} ({self._quantile()}, {self._vector(depth - 1)})"
        if chance < 0.16:
            # Among equal values either side may choose as it likes, so only of values that differ.
            metric = self._pick(self._distinct)
            name = self._pick(("topk", "bottomk"))
            count = self._pick(("1", "2", "3", "100", "0", "-1", "1 + 1"))
            of = self._pick((metric.name, f"last_over_time({metric.name}[5m])", f"-{metric.name}"))
            return f"{name}{self._pick(('', ' by (job)', ' without (n)', ' by (n)'))} ({count}, {of})"
        if chance < 0.20:
            return (
                f"count(limitk{self._grouping()} ({self._pick(('1', '2', '5'))}, {self._vector(depth - 1)}))"
            )
        if chance < 0.25:
            return f"limit_ratio{self._grouping()} ({self._pick(('0.5', '-0.5', '0.1', '-0.9', '1', '0'))}, {self._selector()})"
        if chance < 0.30:
            of = self._pick(
                (
                    self._selector(),
                    f"round({self._selector()}, 10)",
                    f"count_over_time({self._selector()}[5m])",
                )
            )
            return f'count_values{self._grouping()} ("{self._pick(("value", "job", "v"))}", {of})'
        return f"{self._pick(AGGREGATIONS)}{self._grouping()} ({self._vector(depth - 1)})"

    def _binary(self, depth: int) -> str:
        chance = self._random.random()
        if chance < 0.30:
            vector, number = f"({self._vector(depth - 1)})", self._scalar(1)
            if self._chance(0.3):
                vector = self._selector()
            op = self._pick(ARITHMETIC + COMPARISONS)
            mode = " bool" if op in COMPARISONS and self._chance(0.5) else ""
            return f"{vector} {op}{mode} {number}" if self._chance(0.7) else f"{number} {op}{mode} {vector}"
        if chance < 0.50:
            # Two views of the same metric, which match series by series.
            selector = self._selector("counter" if self._chance(0.5) else "", families=False)
            views = [self._view(selector) for _ in range(2)]
            op, mode = self._operator()
            how = self._pick(("", "", " ignoring ()", " on (job, instance)", " ignoring (mode, method)"))
            return f"{views[0]} {op}{mode}{how} {views[1]}"
        if chance < 0.68:
            left, right = self._vector(depth - 1), self._vector(1)
            op = self._pick(("and", "or", "unless"))
            how = self._pick(("", "", " on (job)", " on (instance, job)", " ignoring (mode)", " on ()"))
            return f"({left}) {op}{how} ({right})"
        op, mode = self._operator()
        if chance < 0.88:
            selector = self._selector("counter" if self._chance(0.6) else "", families=False)
            many = self._view(selector)
            one, include = self._one_side(selector)
            group = f"{self._pick(('group_left', 'group_left'))} ({include})"
            if self._chance(0.3):
                return f"{one} {op}{mode} on (job, instance) group_right ({include}) {many}"
            return f"{many} {op}{mode} on (job, instance) {group} {one}"
        names = self._pick(("job", "instance", "job, instance"))
        fill = self._pick(
            ("", "", "", " fill (0)", " fill_left (1)", " fill_right (2)", " fill_left (1) fill_right (2)")
        )
        parts = [f"{self._pick(AGGREGATIONS)} by ({names}) ({self._vector(depth - 1)})" for _ in range(2)]
        how = self._pick((f" on ({names})", "", " ignoring (cpu)"))
        return f"{parts[0]} {op}{mode}{how}{fill} {parts[1]}"

    def _operator(self) -> tuple[str, str]:
        op = self._pick(ARITHMETIC + COMPARISONS)
        return op, " bool" if op in COMPARISONS and self._chance(0.5) else ""

    def _view(self, selector: str) -> str:
        form = self._pick(
            ("{}", "rate({}[5m])", "max_over_time({}[2m])", "{} offset 1m", "avg_over_time({}[3m])", "-{}")
        )
        return form.format(selector)

    def _one_side(self, many: str) -> tuple[str, str]:
        known = ("node_uname_info", "node_load1") if "node" in many else ("target_info", "build_info", "up")
        name = self._pick(known)
        include = {"target_info": "version, cluster", "build_info": "revision", "node_uname_info": "release"}
        if self._chance(0.3):
            return f"max by (job, instance) ({many})", self._pick(("", "missing"))
        return name, self._pick(("", include.get(name, "")))

    def _call(self, depth: int) -> str:
        inner = self._vector(depth - 1)
        kind = self._random.randrange(24)
        if kind < 9:
            return f"{self._pick(RARE if self._chance(0.06) else EXACT)}({inner})"
        if kind < 11:
            of = self._pick(
                ("edge_timestamp_seconds", "node_boot_time_seconds", "edge_timestamp_seconds offset 5m", "")
            )
            return f"{self._pick(DATES)}({of})"
        if kind == 11:
            return f"clamp({inner}, {self._scalar(1)}, {self._scalar(1)})"
        if kind == 12:
            return f"{self._pick(('clamp_min', 'clamp_max'))}({inner}, {self._scalar(1)})"
        if kind == 13:
            return f"round({self._selector()}, {self._pick(('0.5', '10', '0.1', '3', '-2', '0'))})"
        if kind < 17:
            return self._buckets_call()
        if kind == 17:
            return f'label_join({inner}, "{self._pick(("new", "job"))}", "{self._pick(("-", "", "::"))}", "job", "instance")'
        if kind < 20:
            return self._label_replace(inner)
        if kind == 20:
            return f"vector({self._scalar(2)})"
        if kind == 21:
            matchers = self._pick(("", ', {version="1.2"}', ', {__name__="build_info"}', ', {cluster=~".+"}'))
            of = self._pick(("http_requests_total", "rate(http_requests_total[5m])", "up"))
            return f"info({of}{matchers})"
        if kind == 22:
            return f"-({inner})"
        return f"({inner})"

    def _label_replace(self, inner: str) -> str:
        source = self._pick(("job", "instance", "device", "__name__", "missing"))
        pattern = self._pick(("(.*)", "([a-z]+).*", "(.)(.*)", "", "([^:]+):(?P<port>[0-9]+)", "x"))
        into = self._pick(("$1", "${1}-x", "$2$1", "", "fix", "${port}"))
        target = self._pick(("new", "job", "__name__", "instance"))
        return f'label_replace({inner}, "{target}", "{into}", "{source}", "{pattern}")'

    def _buckets_call(self) -> str:
        bucket = self._pick(self._buckets).name
        of = self._pick((f"rate({bucket}[5m])", bucket, f"increase({bucket}[2m]{self._timing()})"))
        if self._chance(0.7):
            by = self._pick(("le", "le, job", "le, instance", "le, method, job"))
            of = f"sum by ({by}) ({of})"
        name = self._random.randrange(3)
        if name == 0:
            return f"histogram_fraction({self._pick(('0', '0.1', '-Inf'))}, {self._pick(('0.2', '1', '+Inf'))}, {of})"
        if name == 1 and self._chance(0.3):
            return f'histogram_quantiles({of}, "q", 0.5, {self._quantile()})'
        return f"histogram_quantile({self._quantile()}, {of})"

    # -- scalars -----------------------------------------------------------------------------------

    def _scalar(self, depth: int) -> str:
        kind = self._random.randrange(12)
        if depth <= 1 or kind < 6:
            return self._pick(
                (
                    "0",
                    "1",
                    "2",
                    "0.5",
                    "-1",
                    "1e3",
                    "100",
                    "0x1F",
                    "1e-9",
                    "Inf",
                    "-Inf",
                    "NaN",
                    "5m",
                    "1_000",
                    "time()",
                    "pi()",
                )
            )
        if kind == 6:
            return f"scalar({self._selector()})"
        if kind == 7:
            return f"scalar(sum({self._vector(1)}))"
        if kind == 8:
            return self._pick(
                ("start()", "end()", "step()", "range()", "max_of(1, time())", "min_of(2, step())")
            )
        op = self._pick(ARITHMETIC + COMPARISONS)
        mode = " bool" if op in COMPARISONS else ""
        return f"({self._scalar(depth - 1)} {op}{mode} {self._scalar(depth - 1)})"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
