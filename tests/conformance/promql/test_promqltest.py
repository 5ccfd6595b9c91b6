"""Prometheus' own promqltest corpus, run against our engine; the list of gaps may only shrink."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mamimon.metrics.model import QueryResult
from mamimon.metrics.promql import PromQLError, evaluate
from mamimon.metrics.promql.text import unquote
from tests.conformance.promql.language import Evaluation, Unsupported, cases, series_line, values_of

GAPS = Path(__file__).with_name("gaps.tsv")
_TOLERANCE = 1e-6


def almost(left: float, right: float) -> bool:
    """Equal within a millionth, NaN equal to NaN (promqltest's rule)."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    if left == right:
        return True
    total = abs(left) + abs(right)
    difference = abs(left - right)
    if left == 0 or right == 0 or total < 2.2e-308:
        return difference < _TOLERANCE
    return difference / min(total, 1.7e308) < _TOLERANCE


def judge(case: Evaluation, kind: str) -> str:
    """An empty string where the case passes, else the reason; what lacks its data is a gap, not a pass."""
    if case.lacks and kind != "core":
        return f"gap: {case.lacks}"
    reason = run(case)
    return f"gap: {case.lacks}" if reason and case.lacks else reason


def run(case: Evaluation) -> str:
    """Evaluate and compare."""
    try:
        result = evaluate(case.data, case.text, case.start, case.end, case.step)
    except PromQLError as error:
        return failed(case, str(error))
    if case.fail:
        return "should fail"
    if case.warn is not None and case.warn != bool(result.warnings):
        return f"warnings {result.warnings}"
    if case.info is not None and case.info != bool(result.infos):
        return f"infos {result.infos}"
    if case.string is not None:
        return "" if unquote(case.string) == result.text else f"string {result.text!r}"
    try:
        return scalar(case, result) if bare(case) else vector(case, result)
    except Unsupported as gap:
        return f"gap: {gap}"


def failed(case: Evaluation, text: str) -> str:
    """Judge an error."""
    if "not implemented in mamimon" in text:
        return f"gap: {text}"
    if not case.fail:
        return f"failed: {text}"
    if case.fail_text and case.fail_text != text:
        return f"error is {text!r}"
    if case.fail_regex and not re.search(case.fail_regex, text):
        return f"error is {text!r}"
    return ""


def bare(case: Evaluation) -> bool:
    """Whether a number alone is expected."""
    return len(case.expected) == 1 and re.match(r"[-+.0-9]|NaN|Inf|[+-]Inf", case.expected[0]) is not None


def scalar(case: Evaluation, result: QueryResult) -> str:
    """Compare a scalar."""
    if result.kind != "scalar":
        return f"is a {result.kind}"
    got, wanted = float(result.values[0, 0]), float(case.expected[0])
    return "" if almost(got, wanted) else f"is {got}"


def vector(case: Evaluation, result: QueryResult) -> str:
    """Compare series by series."""
    wanted: list[tuple[dict[str, str], list[float | None]]] = []
    for row in case.expected:
        labels, text = series_line(row)
        values = values_of(text)
        wanted.append(({k: v for k, v in labels.items() if v}, values))
    got = points(case, result)
    if case.ordered and [labels for labels, _ in got] != [labels for labels, _ in wanted]:
        return f"order {[labels for labels, _ in got]}"
    if len(got) != len(wanted):
        return f"{len(got)} series {[labels for labels, _ in got][:4]}, not {len(wanted)}"
    for labels, values in wanted:
        mine = [own for other, own in got if other == labels]
        if not mine:
            return f"no series {labels} in {[labels for labels, _ in got][:4]}"
        width = max(len(values), len(mine[0]))
        left = mine[0] + [None] * (width - len(mine[0]))
        right = values + [None] * (width - len(values))
        for step, (one, other) in enumerate(zip(left, right, strict=True)):
            if (one is None) != (other is None) or (one is not None and not almost(one, other)):  # type: ignore[arg-type]
                return f"{labels} at step {step}: {one}, not {other}"
    return ""


def points(case: Evaluation, result: QueryResult) -> list[tuple[dict[str, str], list[float | None]]]:
    """Every series of a result as a list of samples, None where there is none."""
    if result.series:
        return [
            (labels, values.tolist())
            for labels, (_, values) in zip(result.labels, result.series, strict=True)
        ]
    rows = zip(result.labels, result.values, result.present, strict=True)
    return [
        (labels, [v if p else None for v, p in zip(row.tolist(), mask, strict=True)])
        for labels, row, mask in rows
    ]


def classes(material: Path) -> dict[tuple[str, int], str]:
    """What kind each case of the corpus is."""
    rows = (material / "promqltest" / "classification.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return {(row.split("\t")[0], int(row.split("\t")[1])): row.split("\t")[3] for row in rows}


@pytest.mark.feature("M3")
def test_the_corpus(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every case passes or is a gap on the list with its reason; a gap that passes leaves the list."""
    kinds = classes(material)
    known = dict(line.split("\t", 1) for line in GAPS.read_text().splitlines()) if GAPS.exists() else {}
    tally: dict[str, list[int]] = {}
    failing: dict[str, str] = {}
    with np.errstate(all="ignore"):
        for path in sorted((material / "promqltest" / "testdata").glob("*.test")):
            for case in cases(path):
                kind = kinds.get((case.file, case.line), "core")
                reason = judge(case, kind)
                counts = tally.setdefault(kind, [0, 0])
                counts[bool(reason)] += 1
                if reason:
                    failing[f"{case.file}:{case.line}"] = reason
    with capsys.disabled():
        print("\npromqltest: " + ", ".join(f"{k} {p} of {p + f}" for k, (p, f) in sorted(tally.items())))
    if os.environ.get("MAMIMON_WRITE_GAPS"):
        GAPS.write_text("".join(f"{place}\t{reason[:160]}\n" for place, reason in failing.items()))
        return
    new = {place: reason for place, reason in failing.items() if place not in known}
    assert not new
    assert not (set(known) - set(failing)), "these pass now: take them off gaps.tsv"
