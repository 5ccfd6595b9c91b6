"""Says at the end of a run how many cases of other people's suites passed."""

from __future__ import annotations

from collections import Counter

import pytest

COUNTS: pytest.StashKey[dict[str, Counter[str]]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line a suite."""
    for suite, tally in sorted(config.stash.get(COUNTS, {}).items()):
        parts = ", ".join(f"{tally[kind]} {kind}" for kind in ("passed", "failed", "declared gaps"))
        terminalreporter.write_line(f"elasticsearch {suite}: {parts}")
