"""A down endpoint becomes an alert: check, metric, scrape, rule, firing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.conftest import Running, settled, wait_until
from tests.health.conftest import Redis, free_port


@pytest.mark.feature("H1")
@pytest.mark.feature("A1")
@pytest.mark.peer("redis-server")
def test_a_redis_that_is_down_for_five_minutes_fires(
    start: Callable[..., Running], clock: ManualClock, redis_server: Redis
) -> None:
    """The built-in rule is pending while a killed Redis is down, and fires after five minutes."""
    check = CheckSettings(name="cache", kind="redis", target=redis_server.url, retries=0)
    server = start(health={"checks": [check], "host_checks": False})

    def cache_state() -> str:
        rows = server.client.get("/api/mamimon/checks").json()
        return str(rows[0]["state"])

    def alert_states() -> set[str]:
        # Moved on before a scrape has come, the samples would be too old to be seen.
        settled(clock)
        clock.advance(15)
        rows = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {row["state"] for row in rows if row["labels"].get("name") == "cache"}

    wait_until(lambda: cache_state() == "up")
    for _ in range(3):
        assert alert_states() == set()
    redis_server.kill()
    wait_until(lambda: "pending" in alert_states(), 60, "a pending alert")
    pending_at = clock.now()
    wait_until(lambda: "firing" in alert_states(), 60, "a firing alert")
    assert clock.now() - pending_at >= 270
    redis_server.start()
    wait_until(lambda: alert_states() == set(), 60, "no alert")


@pytest.mark.feature("H1")
@pytest.mark.feature("A1")
def test_each_check_chooses_which_state_is_told(start: Callable[..., Running], clock: ManualClock) -> None:
    """Degraded for ten minutes is a warning, unless a check asks for less; "nothing" is never told."""
    nobody = f"127.0.0.1:{free_port()}"
    server = start(
        health={
            "host_checks": False,
            "checks": [
                CheckSettings(name="full", kind="disk", target="/", degraded_percent=0.001),
                CheckSettings(name="calm", kind="disk", target="/", degraded_percent=0.001, alert_on="down"),
                CheckSettings(name="gone", kind="tcp", target=nobody, retries=0),
                CheckSettings(name="toy", kind="tcp", target=nobody, retries=0, alert_on="nothing"),
            ],
        }
    )

    def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in server.client.get("/api/mamimon/checks").json()}

    wait_until(
        lambda: states() == {"full": "degraded", "calm": "degraded", "gone": "down", "toy": "down"}, 30
    )
    told: dict[str, tuple[str, str]] = {}

    def firing() -> bool:
        settled(clock)
        clock.advance(30)
        for row in server.client.get("/api/v1/alerts").json()["data"]["alerts"]:
            labels = row["labels"]
            if labels["alertname"].startswith("Check") and row["state"] == "firing":
                told[labels["name"]] = labels["alertname"], labels["severity"]
        return len(told) >= 2

    began = clock.now()
    wait_until(firing, 60, "both alerts")
    assert clock.now() - began >= 600 - 30
    for _ in range(10):
        firing()
    assert told == {"full": ("CheckDegraded", "warning"), "gone": ("CheckDown", "critical")}
