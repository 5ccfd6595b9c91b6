"""A down endpoint becomes an alert: check, metric, scrape, rule, firing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.conftest import Running, wait_until
from tests.health.conftest import Redis


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
        clock.advance(15)
        rows = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {row["state"] for row in rows if row["labels"].get("name") == "cache"}

    wait_until(lambda: cache_state() == "up")
    for _ in range(3):
        assert alert_states() == set()
    redis_server.kill()
    wait_until(lambda: "pending" in alert_states(), 20, "a pending alert")
    pending_at = clock.now()
    wait_until(lambda: "firing" in alert_states(), 30, "a firing alert")
    assert clock.now() - pending_at >= 270
    redis_server.start()
    wait_until(lambda: alert_states() == set(), 20, "no alert")
