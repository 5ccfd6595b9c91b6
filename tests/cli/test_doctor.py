"""`mamimon doctor`: each planted fault is named with what to do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from mamimon.clock import ManualClock
from tests.conftest import wait_until


def _doctor(folder: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAMIMON_")}
    done = subprocess.run(
        [sys.executable, "-m", "mamimon", "doctor", "--json", *arguments],
        cwd=folder,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return done.returncode, {one["name"]: one for one in json.loads(done.stdout)}, done.stdout + done.stderr


@pytest.mark.feature("O4")
def test_a_missing_server_is_named(tmp_path: Path) -> None:
    """Without a server the first finding says how to start it, and the exit code is 1."""
    code, found, _ = _doctor(tmp_path, "--url", "http://127.0.0.1:9")

    assert code == 1
    assert found["server"]["state"] == "failing"
    assert "mamimon serve" in found["server"]["hint"]


@pytest.mark.feature("O4")
def test_the_examples_values_are_found(tmp_path: Path) -> None:
    """Values copied from .env.example are named by variable, and no secret is printed."""
    code, found, printed = _doctor(
        tmp_path,
        VITE_SENTRY_DSN="https://your-sentry-dsn@sentry.io/project-id",
        SLACK_WEBHOOK_URL="https://hooks.slack.com/services/YOUR/WEBHOOK/URL",
        SMTP_SERVER="smtp.gmail.com",
        SMTP_PASSWORD="your-app-password",
        ALERT_EMAIL_TO="admin@example.com",
    )

    assert code == 1
    assert found["VITE_SENTRY_DSN"]["state"] == "failing"
    assert found["SLACK_WEBHOOK_URL"]["detail"] == "still holds the example's value"
    assert found["SMTP_SERVER"]["state"] == "failing"
    assert "your-app-password" not in printed


@pytest.mark.feature("O4")
def test_a_refused_mail_sign_in_is_found(tmp_path: Path) -> None:
    """A real SMTP server that refuses the password is reported with its code, without the password."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    refuse = Controller(
        handler=object(),
        hostname="127.0.0.1",
        port=port,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
        auth_require_tls=False,
    )
    refuse.start()
    try:
        _, found, printed = _doctor(
            tmp_path,
            SMTP_SERVER="127.0.0.1",
            SMTP_PORT=str(port),
            SMTP_USERNAME="ada",
            SMTP_PASSWORD="hunter2-secret",
            ALERT_EMAIL_TO="ada@example.com",
        )
    finally:
        refuse.stop()

    assert found["SMTP_SERVER"]["state"] == "failing"
    assert "refuses the sign-in (535)" in found["SMTP_SERVER"]["detail"]
    assert "hunter2-secret" not in printed


@pytest.mark.feature("O4")
def test_a_webhook_nobody_listens_on_is_found(tmp_path: Path) -> None:
    """A Slack address that cannot be reached is failing."""
    _, found, _ = _doctor(tmp_path, SLACK_WEBHOOK_URL="http://127.0.0.1:9/services/A/B/C")

    assert found["SLACK_WEBHOOK_URL"]["state"] == "failing"
    assert "cannot be reached" in found["SLACK_WEBHOOK_URL"]["detail"]


@pytest.mark.feature("O4")
def test_a_running_server_is_examined(server: Any, tmp_path: Path) -> None:
    """Against a healthy server the finding is ok; a bad setting in mamimon.toml exits 2."""
    _, found, _ = _doctor(tmp_path, "--url", server.url)
    assert found["server"]["state"] == "ok"

    (tmp_path / "mamimon.toml").write_text("[alerts]\nsmtp_prt = 25\n")
    done = subprocess.run(
        [sys.executable, "-m", "mamimon", "doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "did you mean smtp_port?" in done.stderr


@pytest.mark.feature("O4")
@pytest.mark.feature("F2")
def test_a_receiver_of_samples_that_is_away_is_found(
    start: Callable[..., Any], clock: ManualClock, tmp_path: Path
) -> None:
    """A remote write receiver that takes nothing is named with its reason and what waits."""
    server = start(forward={"remote_write_url": "http://127.0.0.1:9/api/v1/write"})

    def away() -> bool:
        clock.advance(1)
        found = server.client.get("/api/mamimon/forward").json()["metrics"]
        return bool(found and found[0]["state"] == "away")

    wait_until(away, 60, "the receiver is missed")
    _, found, _ = _doctor(tmp_path, "--url", server.url)
    assert found["remote_write"]["state"] == "failing"
    assert "takes no samples" in found["remote_write"]["detail"]
