"""The dead man's switch: one mamimon is a heartbeat of another and is missed when it is not well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, step
from tests.conftest import wait_until


@pytest.mark.feature("A8")
def test_another_mamimon_misses_us_when_we_stop(
    start: Callable[..., Any], clock: ManualClock, tmp_path: Any
) -> None:
    """While we run, our heartbeat over there is up; stopped, it is down after its grace."""
    from mamimon.config import Settings
    from mamimon.server.run import Server
    from tests.conftest import Running

    settings = Settings()
    settings.server.port = 0
    there = Running(Server(settings, tmp_path / "there", clock))
    try:
        made = there.client.post(
            "/api/mamimon/heartbeats", json={"name": "mamimon", "period_s": 60, "grace_s": 60}
        ).json()

        def state() -> str:
            found = there.client.get("/api/mamimon/checks").json()
            return next(str(one["state"]) for one in found if one["name"] == "mamimon")

        ours = start(alerts={"deadman_url": f"{there.url}/ping/{made['id']}"})
        wait_until(lambda: state() == "up", what="the first ping")
        step(clock, 180)
        assert state() == "up"
        page = ours.client.get("/settings/alerts").text
        assert "✓ HTTP 200" in page
        assert made["id"] not in page + ours.client.get("/api/mamimon/settings").text
        ours.stop()
        step(clock, 180)
        wait_until(lambda: state() == "down", what="the missed pings")
    finally:
        there.stop()


@pytest.mark.feature("A8")
def test_the_switch_is_let_go_when_nothing_can_be_stored(
    start: Callable[..., Any], clock: ManualClock, hook: Hook
) -> None:
    """A server that still runs, but on a full disk, does not say that all is well, and its page says why."""
    server = start(alerts={"deadman_url": hook.url}, storage={"min_free_bytes": 10**15})
    page = wait_until(
        lambda: (text := server.client.get("/settings/alerts").text) and "the disk is full" in text and text,
        what="the page's reason",
    )
    assert "secretpart" not in page
    step(clock, 120)
    assert hook.gets == 0
