"""`[[health.checks]]` in mamimon.toml: mistakes are told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mamimon.config import ConfigError, load

GOOD = """[health]
interval_s = 10

[[health.checks]]
name = "cache"
kind = "redis"
target = "redis://localhost"

[[health.checks]]
name = "api"
kind = "http"
target = "http://localhost:8000/health"
"""


@pytest.mark.feature("H1")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'target = "http',
            'targt = "http',
            "toml:12: health.checks: unknown setting targt; did you mean target?",
        ),
        ('"http"', '"htp"', "toml:11: health.checks: Invalid enum value 'htp'"),
        (
            '"redis://localhost"',
            '"localhost"',
            "toml:4: health.checks: check 'cache': target must start with redis://",
        ),
        (
            'target = "http://localhost:8000/health"\n',
            "",
            "toml:9: health.checks: check 'api' of kind http needs a target",
        ),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A mistake in a check stops the start and says where it is."""
    path = tmp_path / "mamimon.toml"
    path.write_text(GOOD)
    assert [check.name for check in load(path, environ={}).health.checks] == ["cache", "api"]
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert message in str(caught.value)
