"""The wildcard pattern that a regular expression is looked for by."""

from __future__ import annotations

import random

import pytest

from mamimon.logs.clauses import glob
from mamimon.logs.regexes import lucene_regex, outline
from mamimon.problems import Problem


@pytest.mark.feature("L4")
@pytest.mark.parametrize(
    ("regex", "wildcard"),
    [
        ("time.*out", "time*out"),
        ("time.+out", "time?*out"),
        ("err(or)?s", "err*s"),
        ("err(or|s[)])+x", "err**x"),
        (r"req-\d+\.json", "req-?*.json"),
        ("ab?c*d+e{2}f", "a**d**f"),
        ('"a*b"@[^]x]y', "a\\*b*?x]y"),
        (r"a\*[\]]z", "a\\*?z"),
        ("one|two", "*"),
        ("(one|two) three", "* three"),
        ("open(", "*"),
    ],
)
def test_the_outline_of_a_regular_expression(regex: str, wildcard: str) -> None:
    """Literal pieces stay, what may be anything becomes a star, what is not understood is a star alone."""
    assert outline(regex) == wildcard


@pytest.mark.feature("L4")
def test_what_an_expression_fits_its_outline_fits() -> None:
    """Random expressions and texts of few letters: the outline never takes a match away."""
    pick = random.Random(6)
    fits = 0
    for _ in range(3_000):
        regex = "".join(pick.choices('aabbc.*+?()|[]^\\"@{2}d', k=pick.randrange(1, 9)))
        try:
            compiled = lucene_regex(regex)
        except Problem:
            continue
        shape = glob(outline(regex), fold_case=False)
        for _ in range(12):
            text = "".join(pick.choices("aabbc*^d1", k=pick.randrange(5)))
            if compiled.fullmatch(text):
                fits += 1
                assert shape.fullmatch(text), (regex, outline(regex), text)
    assert fits > 500
