"""Mutilated queries are refused with an error of ours, never with a crash."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from mamimon.metrics.promql import PromQLError, evaluate, parse, render
from tests.metrics.promql.test_engine import world

_ODD = "(){}[]\"'`\\,:;@#%^*/+-<>=!~ab1 .\n\u00fc\ufffdx"
_METRIC = re.compile(r"\b(http_requests\w*|metric\w*|foo|bar|testmetric\w*|data)\b")


def mutilated(texts: list[str], random_: random.Random) -> str:
    """One of the texts after up to three insertions, deletions or transplants."""
    text = random_.choice(texts)
    for _ in range(random_.randrange(4)):
        at = random_.randrange(len(text) + 1)
        kind = random_.randrange(3)
        if kind == 0:
            text = text[:at] + random_.choice(_ODD) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + random_.randrange(1, 4) :]
        else:
            other = random_.choice(texts)
            start = random_.randrange(len(other) + 1)
            text = text[:at] + other[start : start + random_.randrange(12)] + text[at:]
    return text


@pytest.mark.feature("M3")
def test_mutilated_queries(material: Path) -> None:
    """10,000 of them parse to something that prints the same again, or fail as PromQL; some are answered."""
    rows = (material / "promqltest" / "classification.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [re.sub(r"^(at \S+|from \S+ to \S+ step \S+)\s+", "", row.split("\t")[4]) for row in rows]
    random_ = random.Random(20261124)
    memory, _ = world(1, shared=True)
    answered = 0
    for number in range(10_000):
        text = mutilated(texts, random_)
        try:
            printed = render(parse(text))
        except PromQLError:
            continue
        assert render(parse(printed)) == printed, text
        if number % 20:
            continue
        try:
            evaluate(memory, _METRIC.sub("x_total", text), 600_000, 1_800_000, 60_000, max_samples=2_000_000)
            answered += 1
        except PromQLError:
            continue

    assert answered > 100
