"""`mamimon config show` and the settings page show no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.config import load

TOML = """
[forward]
elasticsearch_url = "https://ada:c4nary-1@es.example/?token=c4nary-2"
elasticsearch_password = "c4nary-3"

[[health.checks]]
name = "db"
kind = "postgres"
target = "postgres://app:c4nary-4@db.example/app?sslpassword=c4nary-5"

[[health.checks]]
name = "api"
kind = "http"
target = "https://api.example/health"
headers = { Authorization = "Bearer c4nary-6" }
"""


@pytest.mark.feature("S3")
def test_no_secret_is_shown(tmp_path: Path, start: Callable[..., Any]) -> None:
    """Passwords, passwords inside URLs and a check's headers are hidden; the rest is readable."""
    (tmp_path / "mamimon.toml").write_text(TOML)
    for arguments in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "mamimon", "config", "show", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert "c4nary" not in done.stdout
        assert "db.example/app" in done.stdout
    assert json.loads(done.stdout)["health"]["checks"][1]["headers"] == {"Authorization": "(set)"}
    checks = load(tmp_path / "mamimon.toml", environ={}).health.checks
    server = start(health={"checks": checks, "host_checks": False, "interval_s": 3600.0})
    for path in ("/settings", "/checks", "/api/mamimon/checks", "/status"):
        text = server.client.get(path).text
        assert "c4nary" not in text, path
