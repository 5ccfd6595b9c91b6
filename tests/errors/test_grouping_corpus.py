"""The quality of grouping, measured on events of real clients whose true issue is known."""

from __future__ import annotations

import pytest

from tests.errors.corpus.score import halves


@pytest.mark.feature("E2")
def test_grouping_is_right_on_the_labelled_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    """Pairwise F1 is at least 0.95 in the half that grouping was tuned on and in the one it was not."""
    tuned, held_out = halves()
    with capsys.disabled():
        print(f"\ngrouping, tuned half: {tuned}\ngrouping, hold-out:   {held_out}")

    assert tuned.events + held_out.events >= 300
    assert tuned.labels + held_out.labels >= 60
    assert tuned.f1 >= 0.95
    assert held_out.f1 >= 0.95
