"""Unit tests of rules: promtool's own files get promtool's verdicts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mamimon.alerts.unit_tests import expand_values, run_file
from mamimon.problems import Problem
from tests.alerts.test_cli import run

PASS = ("at-modifier-test", "negative-offset-test", "long-period", "start-time-test")
FAIL = ("failing", "bad-rules-error-test", "bad-rules-syntax-test", "bad-input-series", "bad-promql")


@pytest.mark.feature("A6")
@pytest.mark.parametrize("name", PASS)
def test_good_files_pass(material: Path, name: str) -> None:
    """Files that promtool passes, pass."""
    assert run_file(material / "promtool-rules" / f"{name}.yml").failures == []


@pytest.mark.feature("A6")
@pytest.mark.parametrize("name", FAIL)
def test_bad_files_fail(material: Path, name: str) -> None:
    """Files that promtool fails, fail with a reason."""
    assert run_file(material / "promtool-rules" / f"{name}.yml").failures


@pytest.mark.feature("A6")
def test_promtools_big_file_passes(material: Path) -> None:
    """Every entry passes, native histograms included."""
    verdict = run_file(material / "promtool-rules" / "unittest.yml")
    assert verdict.failures == []
    assert verdict.tests == 5


@pytest.mark.feature("A6")
def test_the_command_says_what_was_expected(tmp_path: Path) -> None:
    """A failing test names the alert, its time, what was expected and what was found."""
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: a, rules: [{alert: Down, expr: up == 0, for: 2m, labels: {severity: page}}]}]"
    )
    test = (
        "rule_files: [rules.yml]\ntests:\n- input_series: [{series: 'up{job=\"x\"}', values: '1 0x10'}]\n"
        "  alert_rule_test:\n"
        "  - {eval_time: 2m, alertname: Down, exp_alerts: []}\n"
        "  - {eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {job: x, severity: %s}}]}\n"
    )
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(test % "page")
    bad.write_text(test % "info")
    assert "passed (1 tests)" in run("alerts", "test", str(good)).stdout
    said = run("alerts", "test", str(bad), code=1).stdout
    assert "Down at 180s" in said
    assert "info" in said
    assert "page" in said


def test_values_notation_and_its_bounds() -> None:
    """Repeats, steps, gaps and stale markers; a bomb is refused at once."""
    assert expand_values("1 _ 2x2 0+10x3 5-1x2 _x2 1e3")[:12] == [1, None, 2, 2, 2, 0, 10, 20, 30, 5, 4, 3]
    assert expand_values("_x2 1e3") == [None, None, 1000.0]
    began = time.monotonic()
    for bad in ("1x99999999999", "abc", "1+x3", "{{sum:x}}", "{{odd:1}}", "{{sum:1}}x99999999999"):
        with pytest.raises(Problem):
            expand_values(bad)
    assert time.monotonic() - began < 20
