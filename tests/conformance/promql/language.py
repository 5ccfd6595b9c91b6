"""The promqltest language of Prometheus: loads, evaluations, expectations (promql/promqltest/README.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mamimon.metrics.model import ABSENT_BITS, ABSENT_NAN, STALE_NAN, Block, Labels, Matcher, Selection
from mamimon.metrics.promql.parser import compile_regex
from mamimon.metrics.promql.text import duration_ms
from mamimon.metrics.wire.exposition import _labels, series_labels

_EVAL = re.compile(
    r"eval(?:_(fail|warn|ordered|info))?\s+(?:instant\s+(?:at\s+(\S+)\s+)?|range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+)(.+)\Z",
    re.DOTALL,
)
_EXPANDING = re.compile(r"(.+?)([+-][^x]+)?x(\d+)\Z")
_SERIES = re.compile(
    r'((?:[a-zA-Z_:][a-zA-Z0-9_:]*)?(?:\{(?:[^"\'}]|"(?:[^"\\]|\\.)*")*\})?)\s*(.*)\Z', re.DOTALL
)


class Unsupported(Exception):
    """The case needs something that we declare as a gap."""


class Memory:
    """Series in memory, as a `SeriesSource`."""

    def __init__(self) -> None:
        self.series: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}

    def copy(self) -> Memory:
        """What the evaluation sees, whatever is loaded later."""
        other = Memory()
        other.series = {key: dict(samples) for key, samples in self.series.items()}
        return other

    def select(self, matchers: list[Matcher], start_ms: int, end_ms: int) -> Selection:
        """See `SeriesSource.select`."""
        labels: list[Labels] = []
        shapes: dict[tuple[int, ...], list[tuple[int, list[float]]]] = {}
        for key, samples in self.series.items():
            own = dict(key)
            if not all(_matches(own.get(m.name, ""), m) for m in matchers):
                continue
            inside = {at: value for at, value in sorted(samples.items()) if start_ms <= at <= end_ms}
            if not inside:
                continue
            shapes.setdefault(tuple(inside), []).append((len(labels), list(inside.values())))
            labels.append(own)
        blocks = [
            Block(
                times=np.array(times, dtype=np.int64),
                rows=np.array([row for row, _ in members], dtype=np.int64),
                values=np.array([values for _, values in members], dtype=np.float64),
            )
            for times, members in shapes.items()
        ]
        return Selection(labels, merged(blocks) if len(blocks) > 3 else blocks)


@dataclass
class Evaluation:
    """One `eval` with what it expects."""

    file: str
    line: int
    text: str
    start: int
    end: int
    step: int
    fail: bool = False
    fail_text: str = ""
    fail_regex: str = ""
    ordered: bool = False
    warn: bool | None = None
    info: bool | None = None
    string: str | None = None
    expected: list[str] = field(default_factory=list)
    data: Memory = field(default_factory=Memory)
    lacks: str = ""
    """What of the loaded data we cannot hold; the rest is there."""


def merged(blocks: list[Block]) -> list[Block]:
    """All series in one block with holes, as a target's scrapes are stored."""
    times = np.unique(np.concatenate([block.times for block in blocks]))
    rows = np.concatenate([block.rows for block in blocks])
    values = np.full((len(rows), len(times)), ABSENT_NAN)
    values.view(np.int64)[:] = ABSENT_BITS
    at = 0
    for block in blocks:
        columns = np.searchsorted(times, block.times)
        values[at : at + len(block.rows), columns] = block.values
        at += len(block.rows)
    return [Block(times=times, rows=rows, values=values)]


def _matches(value: str, matcher: Matcher) -> bool:
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (compile_regex(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")


def time_ms(text: str) -> int:
    """`50m`, `-10s` or seconds, in milliseconds."""
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    try:
        return sign * round(float(text) * 1000)
    except ValueError:
        return sign * duration_ms(text)


def series_line(line: str) -> tuple[Labels, str]:
    """The labels and the rest of a series line."""
    found = _SERIES.match(line)
    assert found is not None, line
    text = found.group(1)
    if text in ("", "{}"):
        return {}, found.group(2)
    if text.startswith("{"):
        # A result may lack a name, which an exposition may not.
        return _labels(text, 0, strict=False), found.group(2)
    return series_labels(text), found.group(2)


def values_of(text: str) -> list[float | None]:
    """A sequence such as `0+10x3 _ stale 5 NaN`; None is no sample."""
    out: list[float | None] = []
    for part in text.split():
        if "{{" in part:
            raise Unsupported("native histograms")
        if part.startswith("@"):
            raise Unsupported("start timestamps")
        if part in ("_", "stale"):
            out.append(None if part == "_" else STALE_NAN)
            continue
        found = _EXPANDING.match(part)
        if found is None:
            out.append(float(part))
            continue
        first, delta, count = found.groups()
        if first in ("_", "stale"):
            out += [None if first == "_" else STALE_NAN] * int(count)
            continue
        base, step = float(first), float(delta) if delta else 0.0
        current = base
        for _ in range(int(count) + 1):
            out.append(current)
            current += step
    return out


def cases(path: Path) -> list[Evaluation]:
    """Every evaluation of a file, each with the data that is loaded when it runs."""
    found: list[Evaluation] = []
    memory = Memory()
    broken = ""
    lines = path.read_text(encoding="utf-8").split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        if not line or line.startswith("#"):
            at += 1
            continue
        begin = at
        block: list[str] = []
        at += 1
        while at < len(lines) and lines[at].strip() and lines[at][:1] in (" ", "\t"):
            if not lines[at].strip().startswith("#"):
                block.append(lines[at].strip())
            at += 1
        if line.startswith("clear"):
            memory, broken = Memory(), ""
        elif line.startswith("load"):
            try:
                _load(memory, line, block)
            except Unsupported as gap:
                broken = str(gap)
        elif line.startswith("eval"):
            case = _evaluation(path.name, begin + 1, line, block)
            case.data, case.lacks = memory.copy(), broken
            found.append(case)
        else:
            raise AssertionError(f"{path.name}:{begin + 1}: {line}")
    return found


def _load(memory: Memory, line: str, block: list[str]) -> None:
    command, *rest = line.split()
    step = time_ms(rest[0])
    gap = "" if command == "load" else "native histograms"
    for row in block:
        labels, text = series_line(row)
        try:
            values = values_of(text)
        except Unsupported as unsupported:
            gap = str(unsupported)
            continue
        samples = memory.series.setdefault(tuple(sorted((k, v) for k, v in labels.items() if v)), {})
        for i, value in enumerate(values):
            if value is not None:
                samples[i * step] = value
    if gap:
        raise Unsupported(gap)


def _evaluation(file: str, line: int, head: str, block: list[str]) -> Evaluation:
    found = _EVAL.match(head)
    assert found is not None, f"{file}:{line}: {head}"
    kind, at, start, end, step, text = found.groups()
    if start is None:
        moment = time_ms(at) if at else 0
        case = Evaluation(file, line, text, moment, moment, 0)
    else:
        case = Evaluation(file, line, text, time_ms(start), time_ms(end), time_ms(step))
    case.fail = kind == "fail"
    case.ordered = kind == "ordered"
    case.warn = True if kind == "warn" else None
    case.info = True if kind == "info" else None
    for row in block:
        _expectation(case, row)
    return case


def _expectation(case: Evaluation, row: str) -> None:
    if row.startswith("expected_fail_message"):
        case.fail, case.fail_text = True, row.split(" ", 1)[1].strip()
    elif row.startswith("expected_fail_regexp"):
        case.fail, case.fail_regex = True, row.split(" ", 1)[1].strip()
    elif row.startswith("expect "):
        word, _, rest = row[7:].strip().partition(" ")
        if word == "fail":
            case.fail = True
            if rest.startswith("msg:"):
                case.fail_text = rest[4:].strip()
            elif rest.startswith("regex:"):
                case.fail_regex = rest[6:].strip()
        elif word in ("warn", "no_warn"):
            case.warn = word == "warn"
        elif word in ("info", "no_info"):
            case.info = word == "info"
        elif word == "ordered":
            case.ordered = True
        elif word == "string":
            case.string = rest.strip()
        elif word != "range":
            # `expect range vector from … to …` repeats what the steps of the samples say.
            raise AssertionError(f"{case.file}:{case.line}: {row}")
    else:
        case.expected.append(row)
