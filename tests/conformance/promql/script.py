"""Reads promqltest scripts (load, clear, eval) as Prometheus' own test package describes them."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from mamimon.metrics.histogram import Histogram
from mamimon.metrics.model import STALE_NAN, Labels
from mamimon.metrics.promql.histogram_text import histograms_of
from mamimon.metrics.promql.lexer import Lexer
from mamimon.metrics.promql.text import duration_ms, unquote

_LOAD = re.compile(r"load(_with_nhcb)?\s+(\S+)$")
_EVAL = re.compile(
    r"eval(?:_(?P<mode>ordered|fail|warn|info))?\s+"
    r"(?:instant(?:\s+at\s+(?P<at>\S+))?|range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))"
    r"\s+(?P<expr>.+)$"
)
_EXPECT = re.compile(
    r"expect\s+(?P<kind>fail|warn|info|no_warn|no_info|ordered)(?:\s+(?P<how>msg|regex):\s*(?P<text>.*))?$"
)
_RANGE_VECTOR = re.compile(r"expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$")
_REPEAT = re.compile(r"(?P<value>[^x]+?)(?:(?P<sign>[+-])(?P<delta>[^x+-][^x]*))?x(?P<count>[0-9]+)$")


@dataclass(frozen=True)
class HistogramPoint:
    """A native histogram, and whether a counter reset hint was written with it."""

    histogram: Histogram
    hint_set: bool


Point = float | HistogramPoint | None


@dataclass
class Load:
    line: int
    step_ms: int
    with_nhcb: bool
    series: list[tuple[Labels, list[Point]]] = field(default_factory=list)
    start_times: list[tuple[Labels, list[Point]]] = field(default_factory=list)


@dataclass
class Clear:
    line: int


@dataclass
class Expectation:
    kind: str
    how: str
    text: str

    def matches(self, said: str) -> bool:
        if self.how == "regex":
            return re.search(self.text, said) is not None
        return not self.how or self.text == said


@dataclass
class Eval:
    line: int
    expr: str
    start_ms: int
    end_ms: int
    step_ms: int
    expectations: list[Expectation] = field(default_factory=list)
    series: list[tuple[Labels, list[Point]]] = field(default_factory=list)
    scalar: float | None = None
    string: str | None = None
    range_times: tuple[int, int, int] | None = None

    def expects(self, kind: str) -> list[Expectation]:
        return [one for one in self.expectations if one.kind == kind]


Command = Load | Clear | Eval


def read(path: Path) -> list[Command]:
    """The commands of one file."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    lines = ["" if line.startswith("#") else line for line in lines]
    out: list[Command] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        number = position + 1
        position += 1
        if not line:
            continue
        body: list[str] = []
        if line.startswith(("load", "eval")):
            while position < len(lines) and lines[position]:
                body.append(lines[position])
                position += 1
        if line == "clear":
            out.append(Clear(number))
        elif found := _LOAD.match(line):
            out.append(_load(number, found, body))
        elif found := _EVAL.match(line):
            out.append(_eval(number, found, body))
        else:
            raise ValueError(f"{path.name}:{number}: {line}")
    return out


def time_ms(text: str) -> int:
    """A duration, signed, or a number of seconds."""
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    try:
        return sign * round(float(text) * 1000)
    except ValueError:
        return sign * duration_ms(text)


def _load(number: int, found: re.Match[str], body: list[str]) -> Load:
    load = Load(number, time_ms(found.group(2)), bool(found.group(1)))
    for line in body:
        if line.startswith("@st"):
            load.start_times.append(series(line[3:].strip()))
        elif re.match(r".*@st\b", line) and not line.startswith("{"):
            load.start_times.append(series(line.replace("@st", "", 1)))
        else:
            load.series.append(series(line))
    return load


def _eval(number: int, found: re.Match[str], body: list[str]) -> Eval:
    at = found.group("at")
    if found.group("start"):
        start, end, step = (time_ms(found.group(name)) for name in ("start", "end", "step"))
    else:
        start = end = time_ms(at) if at else 0
        step = 0
    command = Eval(number, found.group("expr"), start, end, step)
    if mode := found.group("mode"):
        command.expectations.append(Expectation(mode, "", ""))
    for line in body:
        _expected(command, line)
    return command


def _expected(command: Eval, line: str) -> None:
    if line.startswith("expect "):
        if vector := _RANGE_VECTOR.match(line):
            command.range_times = (time_ms(vector[1]), time_ms(vector[2]), time_ms(vector[3]))
        elif line.startswith("expect string "):
            command.string = unquote(line.removeprefix("expect string ").strip())
        else:
            found = _EXPECT.match(line)
            assert found, line
            text = (found["text"] or "").strip()
            command.expectations.append(Expectation(found["kind"], found["how"] or "", text))
    elif line.startswith("expected_fail_"):
        kind, _, text = line.partition(" ")
        how = "msg" if kind == "expected_fail_message" else "regex"
        command.expectations.append(Expectation("fail", how, text.strip()))
    elif (value := _number(line)) is not None:
        command.scalar = value
    else:
        command.series.append(series(line))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def series(line: str) -> tuple[Labels, list[Point]]:
    """`name{labels} points`."""
    lexer = Lexer(line)
    labels: Labels = {}
    token = lexer.next()
    end = 0
    if token.kind != "{":
        labels["__name__"] = token.text
        end = token.end
        rest = line[end:].lstrip()
        token = lexer.next() if rest.startswith("{") and not rest.startswith("{{") else None
    if token is not None and token.kind == "{":
        while (token := lexer.next()).kind != "}":
            if token.kind == ",":
                continue
            name = unquote(token.text) if token.kind == "string" else token.text
            after = line[token.end :].lstrip()
            if token.kind == "string" and not after.startswith("="):
                labels["__name__"] = name
                continue
            assert lexer.next().kind == "=", line
            labels[name] = unquote(lexer.next().text)
        end = token.end
    return {name: value for name, value in labels.items() if value}, points(line[end:])


def points(text: str) -> list[Point]:
    """`1 2+3x4 _x2 stale {{…}}`."""
    out: list[Point] = []
    for part in re.findall(r"(?:\{\{.*?\}\}|[^\s{])+", text):
        if part.startswith("{{"):
            out.extend(HistogramPoint(*one) for one in histograms_of(part, 10_000))
        elif part == "stale":
            out.append(STALE_NAN)
        elif part.startswith("_"):
            out.extend([None] * (int(part[2:]) if len(part) > 1 else 1))
        elif (value := _value(part)) is not None:
            out.append(value)
        else:
            found = _REPEAT.match(part)
            assert found, part
            first = _value(found["value"])
            assert first is not None, part
            delta = _value(found["delta"]) if found["delta"] else 0.0
            assert delta is not None, part
            delta = -delta if found["sign"] == "-" else delta
            value = first
            for _ in range(int(found["count"]) + 1):
                out.append(value)
                value += delta
    return out


def _value(text: str) -> float | None:
    if (number := _number(text)) is not None:
        return number
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * duration_ms(text.lstrip("+-")) / 1000 if re.search(r"[a-z]", text) else None
    except ValueError:
        return None


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == struct.pack("<d", STALE_NAN)
