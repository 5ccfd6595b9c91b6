"""Unit tests of rules, as `promtool test rules` reads them, run through our own engine.

Input series live in memory; every group is evaluated at each step from the test's start, alerts
and recordings become series, and what is expected is compared at its `eval_time`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mamimon.alerts import rules, states
from mamimon.alerts.evaluate import Recorded, alerting, points, recording
from mamimon.alerts.model import ActiveAlert, Labels, RuleGroup, duration, fingerprint
from mamimon.metrics.histogram import Histogram, changed, compact
from mamimon.metrics.model import ABSENT_NAN, STALE_NAN, Block, Matcher, QueryResult, Selection
from mamimon.problems import Problem, bad_input

_TIMES = re.compile(
    r"^(?P<first>[^x]+?)(?:(?P<sign>[+-])(?P<step>[0-9.eE]+(?:[+-][0-9]+)?|[iI]nf))?x(?P<n>\d+)$"
)
_WORD = re.compile(r"(?:\{\{[^}]*\}\}|[^\s{])+|\{")
MAX_SAMPLES = 5_000_000


class Verdict(msgspec.Struct):
    """How one test file went; no failures means that it passed."""

    file: str
    tests: int
    failures: list[str]


class Memory:
    """Series in memory, as the engine reads them."""

    def __init__(self) -> None:
        self._series: dict[str, tuple[Labels, list[int], list[float | Histogram]]] = {}
        self._live: dict[str, set[str]] = {}

    def add(self, labels: Labels, at_ms: int, value: float | Histogram) -> None:
        """Append one sample; an older or equal instant replaces nothing."""
        _, times, values = self._series.setdefault(fingerprint(labels), (labels, [], []))
        if not times or at_ms > times[-1]:
            if isinstance(value, Histogram):
                from mamimon.metrics.store.histograms import known_reset

                before = values[-1] if values else None
                hint = known_reset(value, before if isinstance(before, Histogram) else None)
                value = changed(value, hint=hint)
            times.append(at_ms)
            values.append(value)

    def state(self, source: str, at_ms: int, samples: Sequence[Recorded]) -> None:
        """The whole state of a source: a series that is no longer in it is marked stale."""
        now = {fingerprint(labels) for labels, _ in samples}
        for key in self._live.get(source, set()) - now:
            self.add(self._series[key][0], at_ms, STALE_NAN)
        for labels, value in samples:
            self.add(labels, at_ms, value)
        self._live[source] = now

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See `SeriesSource.select`."""
        import numpy as np

        from mamimon.alerts.matchers import make

        wanted = [make(one.name, one.op, one.value) for one in matchers]
        labels: list[Labels] = []
        blocks: list[Block] = []
        for own, times, values in self._series.values():
            if not all(one.matches(own) for one in wanted):
                continue
            stamps = np.array(times, dtype=np.int64)
            keep = (stamps >= start_ms) & (stamps <= end_ms)
            if keep.any():
                row = np.array([len(labels)], dtype=np.int64)
                floats = [ABSENT_NAN if isinstance(one, Histogram) else one for one in values]
                block = Block(stamps[keep], row, np.array(floats, dtype=np.float64)[keep][None, :])
                if any(isinstance(one, Histogram) for one in values):
                    native = np.full((1, len(values)), None, dtype=object)
                    native[0, :] = [one if isinstance(one, Histogram) else None for one in values]
                    block.histograms = native[:, keep]
                blocks.append(block)
                labels.append(own)
        return Selection(labels, blocks)

    async def ask(self, expr: str, at_ms: int) -> QueryResult:
        """Evaluate at one instant."""
        from mamimon.metrics.promql import evaluate

        return evaluate(self, expr, at_ms, at_ms, 0)


def run_file(path: Path) -> Verdict:
    """Run every test of a file; what cannot be read is a failure too."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return Verdict(str(path), 0, [f"cannot be read: {error}"])
    if not isinstance(raw, dict):
        return Verdict(str(path), 0, ["not a test file"])
    from mamimon.metrics.promql import parse

    def check(expr: str) -> None:
        parse(expr)

    interval_s = duration(raw.get("evaluation_interval") or "1m")
    files = rules.expand_globs(map(str, raw.get("rule_files") or []), path.parent)
    loaded = rules.load_files(files, interval_s, check)
    if loaded.errors:
        return Verdict(str(path), 0, [str(error) for error in loaded.errors])
    order = {name: number for number, name in enumerate(raw.get("group_eval_order") or [])}
    groups = sorted(loaded.groups, key=lambda group: order.get(group.name, 0))
    failures: list[str] = []
    tests = raw.get("tests") or []
    for number, test in enumerate(tests, 1):
        name = str(test.get("name") or f"test {number}")
        try:
            found = asyncio.run(_Test(test, groups, interval_s, bool(raw.get("fuzzy_compare"))).run())
        except Problem as problem:
            found = [problem.detail]
        except Exception as error:  # - a test's own mistake is its failure, whatever it is
            found = [f"{type(error).__name__}: {error}"]
        failures.extend(f"{name}: {one}" for one in found)
    return Verdict(str(path), len(tests), failures)


class _Test:
    """One entry of `tests`."""

    def __init__(self, raw: dict[str, Any], groups: list[RuleGroup], interval_s: float, fuzzy: bool) -> None:
        self._raw = raw
        self._groups = groups
        self._interval_ms = round(interval_s * 1000)
        self._fuzzy = fuzzy
        self._start_ms = _instant(raw.get("start_timestamp"))
        self._memory = Memory()
        self._states: dict[str, dict[str, ActiveAlert]] = {}
        self._failures: list[str] = []

    async def run(self) -> list[str]:
        self._load()
        alert_tests = [(_ms(one.get("eval_time")), one) for one in self._raw.get("alert_rule_test") or []]
        expr_tests = [(_ms(one.get("eval_time")), one) for one in self._raw.get("promql_expr_test") or []]
        last = max([at for at, _ in (*alert_tests, *expr_tests)], default=0)
        step = self._interval_ms
        for at in range(0, last + step, step):
            # Inputs of later steps are already loaded, but an instant query never looks ahead.
            for group in self._groups:
                every = round(group.interval_s * 1000)
                if at % max(every, step) == 0:
                    await self._evaluate(group, self._start_ms + at)
            for when, one in alert_tests:
                if at <= when < at + step:
                    self._alerts(when, one)
        for when, one in expr_tests:
            await self._expr(when, one)
        return self._failures

    def _load(self) -> None:
        interval_ms = _ms(self._raw.get("interval") or "1m")
        total = 0
        for one in self._raw.get("input_series") or []:
            labels = _series(str(one.get("series")))
            values = expand_values(str(one.get("values", "")))
            total += len(values)
            if total > MAX_SAMPLES:
                raise bad_input(f"more than {MAX_SAMPLES} input samples")
            for number, value in enumerate(values):
                if value is not None:
                    self._memory.add(labels, self._start_ms + number * interval_ms, value)

    async def _evaluate(self, group: RuleGroup, at_ms: int) -> None:
        async def ask(expr: str) -> QueryResult:
            return await self._memory.ask(expr, at_ms)

        samples: list[Recorded] = []
        for rule in group.rules:
            if not rule.alerting:
                made = await recording(group, rule, ask)
                self._memory.state(f"{group.key}/{rule.line}", at_ms, made)
                continue
            key = group.rule_key(rule)
            had = self._states.setdefault(key, {})
            external = {str(k): str(v) for k, v in (self._raw.get("external_labels") or {}).items()}
            found = await alerting(group, rule, ask, external, str(self._raw.get("external_url") or ""))
            changed, gone = states.advance(rule, had, found, at_ms / 1000)
            had.update({one.fingerprint: one for one in changed})
            for one in gone:
                del had[one]
            for active in had.values():
                if active.state != "inactive":
                    named = {**active.labels, "__name__": "ALERTS", "alertstate": active.state}
                    samples.append((named, 1.0))
                    samples.append(({**active.labels, "__name__": "ALERTS_FOR_STATE"}, active.active_at))
        self._memory.state(group.key, at_ms, samples)

    def _alerts(self, when: int, test: dict[str, Any]) -> None:
        name = str(test.get("alertname") or "")
        have = sorted(
            (sorted(one.labels.items()), sorted(one.annotations.items()))
            for group in self._groups
            for rule in group.rules
            if rule.alerting and rule.name == name
            for one in self._states.get(group.rule_key(rule), {}).values()
            if one.state == "firing"
        )
        want = sorted(
            (
                sorted({**_texts(one.get("exp_labels")), "alertname": name}.items()),
                sorted(_texts(one.get("exp_annotations")).items()),
            )
            for one in test.get("exp_alerts") or []
        )
        if have != want:
            shown = f"{name} at {when / 1000:g}s: expected {_show(want)}, got {_show(have)}"
            self._failures.append(shown)

    async def _expr(self, when: int, test: dict[str, Any]) -> None:
        expr = str(test.get("expr"))
        result = await self._memory.ask(expr, self._start_ms + when)
        have = sorted(((sorted(labels.items()), value) for labels, value in points(result)), key=_by_labels)
        want: list[tuple[list[tuple[str, str]], float | Histogram]] = []
        hinted = False
        for one in test.get("exp_samples") or []:
            labels = _series(str(one["labels"])) if one.get("labels") else {}
            value: float | Histogram = float(one.get("value", 0))
            if one.get("histogram"):
                value, hinted = _histogram(str(one["histogram"]))
            want.append((sorted(labels.items()), value))
        want.sort(key=_by_labels)
        tolerance = 1e-6 if self._fuzzy else 1e-9
        same = len(have) == len(want) and all(
            a[0] == b[0] and _same(a[1], b[1], tolerance, hinted) for a, b in zip(have, want, strict=True)
        )
        if not same:
            self._failures.append(f"{expr} at {when / 1000:g}s: expected {_show(want)}, got {_show(have)}")


def _by_labels(one: tuple[list[tuple[str, str]], float | Histogram]) -> list[tuple[str, str]]:
    return one[0]


def _histogram(text: str) -> tuple[Histogram, bool]:
    from mamimon.metrics.promql.histogram_text import histogram_of

    try:
        return histogram_of(text.strip())
    except ValueError as error:
        raise bad_input(str(error)) from None


def _same(a: float | Histogram, b: float | Histogram, tolerance: float, hinted: bool) -> bool:
    if not isinstance(a, Histogram) or not isinstance(b, Histogram):
        return isinstance(a, float) and isinstance(b, float) and _equal(a, b, tolerance)
    a, b = compact(a), compact(b)
    if (a.schema, a.custom, a.positive.keys(), a.negative.keys()) != (
        b.schema, b.custom, b.positive.keys(), b.negative.keys(),
    ):  # fmt: skip
        return False
    numbers = [(a.count, b.count), (a.sum, b.sum), (a.zero_count, b.zero_count)]
    numbers += [(a.zero_threshold, b.zero_threshold)]
    numbers += [(a.positive[index], b.positive[index]) for index in a.positive]
    numbers += [(a.negative[index], b.negative[index]) for index in a.negative]
    return all(_equal(x, y, tolerance) for x, y in numbers) and (not hinted or a.hint == b.hint)


def expand_values(text: str) -> list[float | Histogram | None]:
    """`1 2 _ stale 0+1x5 {{count:1}}` as samples; `_` is no sample. Raises `Problem(BAD_INPUT)`."""
    out: list[float | Histogram | None] = []
    for word in _WORD.findall(text):
        if word.startswith("{{"):
            from mamimon.metrics.promql.histogram_text import histograms_of

            try:
                out.extend(one for one, _ in histograms_of(word, MAX_SAMPLES // 100))
            except ValueError as error:
                raise bad_input(str(error)) from None
            continue
        found = _TIMES.match(word)
        if found is None:
            out.append(None if word == "_" else _number(word))
            continue
        times = int(found["n"])
        if times > MAX_SAMPLES:
            raise bad_input(f"{word}: too many samples")
        if found["first"] == "_":
            out.extend([None] * times)
            continue
        first = _number(found["first"])
        step = _number(found["step"] or "0") * (-1 if found["sign"] == "-" else 1)
        out.extend(first + step * number for number in range(times + 1))
    return out


def _number(word: str) -> float:
    if word == "stale":
        return STALE_NAN
    try:
        return float(word)
    except ValueError:
        raise bad_input(f"not a sample value: {word[:40]!r}") from None


def _series(text: str) -> Labels:
    from mamimon.metrics.promql import matchers_of

    if text.strip() in {"", "{}"}:
        return {}
    try:
        found = matchers_of(text)
    except Exception as error:
        raise bad_input(f"not a series: {text[:100]!r}: {error}") from None
    return {one.name: one.value for one in found if one.value}


def _ms(text: Any) -> int:
    return round(duration(text if text is not None else "0") * 1000)


def _instant(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return round(moment.timestamp() * 1000)
    if isinstance(value, str):
        return round(dt.datetime.fromisoformat(value).timestamp() * 1000)
    return round(float(value) * 1000)


def _texts(raw: Any) -> Labels:
    return {str(key): str(value) for key, value in (raw or {}).items()}


def _equal(a: float, b: float, tolerance: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=tolerance)


def _show(value: Any) -> str:
    text = str(value)
    return text if len(text) < 600 else text[:600] + "…"
