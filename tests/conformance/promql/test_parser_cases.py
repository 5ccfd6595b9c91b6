"""Prometheus' parser tables: what must parse, what must not, and what is printed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from mamimon.metrics.promql import ParseError, parse, pretty, render


@pytest.mark.feature("M3")
def test_expressions(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each expression of parse_test.go parses or fails as there, with the same first error."""
    cases = json.loads((material / "promql-parser" / "expressions.json").read_text())["cases"]
    wrong = []
    for case in cases:
        text = case["input"]
        if isinstance(text, dict):
            text = base64.b64decode(text["b64"]).decode("utf-8", "surrogateescape")
        try:
            parse(text)
        except ParseError as error:
            if not case["fail"] or error.flaws[0].text != case["errors"][0]:
                wrong.append((text, str(error)))
        else:
            if case["fail"]:
                wrong.append((text, "parses"))
    with capsys.disabled():
        print(f"\nparser: {len(cases) - len(wrong)} of {len(cases)} expressions")

    assert len(cases) > 300
    assert not wrong


@pytest.mark.feature("M3")
def test_printing(material: Path) -> None:
    """Printing gives Prometheus' normal form, and what is printed reads back as the same."""
    cases = json.loads((material / "promql-parser" / "printer.json").read_text())["cases"]
    wrong = []
    for case in cases:
        printed = render(parse(case["in"]))
        if printed != (case["out"] or case["in"]) or render(parse(printed)) != printed:
            wrong.append((case["in"], printed))

    assert len(cases) > 50
    assert not wrong


@pytest.mark.feature("M3")
def test_spreading_over_lines(material: Path) -> None:
    """The pretty printer breaks lines where Prometheus' does (at ten characters, as in its tests)."""
    cases = json.loads((material / "promql-parser" / "prettier.json").read_text())["cases"]
    wrong = [case["in"] for case in cases if pretty(parse(case["in"]), width=10) != case["out"]]

    assert len(cases) > 50
    assert wrong == []
