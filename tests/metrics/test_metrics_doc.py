"""docs/metrics.md is true: its blocks run, with only the address changed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, peer

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (?P<kind>[\w.]+) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)


def blocks(kind: str) -> list[str]:
    """The page's blocks of a kind."""
    return [found["text"] for found in BLOCK.finditer(PAGE) if found["kind"] == kind]


@pytest.mark.peer("promtool")
@pytest.mark.feature("M2")
def test_every_block(process: Callable[..., Any], tmp_path: Path) -> None:
    """Commands and programs push what they say; files pass promtool's checks."""
    one = process()
    for text in blocks("sh"):
        command = text.replace("http://localhost:7007", one.url)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("http://localhost:7007", one.url)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for kind, check in (("prometheus.yml", "config"), ("rules.yml", "rules")):
        (text,) = blocks(kind)
        (tmp_path / kind).write_text(text)
        done = subprocess.run(
            [peer("promtool"), "check", check, str(tmp_path / kind)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for query in ('backup_duration_seconds{job="backup",instance="db1"}', "job_last_success_unixtime"):
        answer = httpx.get(f"{one.url}/api/v1/query", params={"query": query}).json()
        assert answer["data"]["result"], query


@pytest.mark.feature("M2")
def test_every_setting_that_is_named_exists() -> None:
    """`metrics.x` in the page is a setting."""
    from mamimon.config import MetricSettings

    named = set(re.findall(r"`metrics\.(\w+)`", PAGE))
    assert named >= {"statsd", "admin_api", "otlp_convert_deltas", "out_of_order_s"}
    assert named <= set(MetricSettings.__struct_fields__)
