"""Planned work: checks are in maintenance, alerts tell nobody, uptime leaves it out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from mamimon.cli.root import cli
from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.alerts.conftest import Mailbox
from tests.conftest import Running, settled, wait_until
from tests.health.conftest import Web
from tests.health.test_checks import ran_again, status, watch
from tests.health.test_checks import settled as in_state

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("H1")


def plan(server: Running, **wanted: Any) -> dict[str, Any]:
    body = {"name": "upgrade", "duration_s": 3600, **wanted}
    answer = server.client.post("/api/mamimon/maintenance", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def windows(server: Running) -> list[dict[str, Any]]:
    return list(server.client.get("/api/mamimon/maintenance").json())


def passes(server: Running, clock: ManualClock, seconds: float) -> None:
    """Let time pass with every loop asleep before and after."""
    asleep = settled(clock)
    clock.advance(seconds)
    wait_until(lambda: settled(clock) >= asleep, 60, "every loop at rest")


def test_a_check_in_maintenance_is_neither_up_nor_down(start: Start, clock: ManualClock, web: Web) -> None:
    """From the window's beginning to its end the check is in maintenance, then what was found; uptime
    counts only the time outside."""
    server = watch(start, CheckSettings(name="api", kind="http", target=web.url, retries=0))
    in_state(server, "api", "up")
    made = plan(server, checks=["ap*"], starts=clock.now() + 3600)
    assert (made["open"], made["starts_at"]) == (False, clock.now() + 3600)
    passes(server, clock, 3600)
    began = in_state(server, "api", "maintenance")
    assert began["since"] == clock.now()
    assert windows(server)[0]["open"]
    web.status = 500
    row = ran_again(server, clock, "api", 1800)
    assert (row["state"], row["found"]) == ("maintenance", "down")
    metrics = server.client.get("/metrics").text
    assert 'mamimon_check_up{kind="http",name="api"}' not in metrics
    assert 'mamimon_check_maintenance{kind="http",name="api"} 1.0' in metrics
    assert 'probe_success{kind="http",name="api"} 0.0' in metrics
    page = server.client.get("/checks", headers={"Accept-Language": "tr"}).text
    assert "⚒ bakımda" in page
    assert "100 %" in page
    web.status = 200
    ran_again(server, clock, "api", 900)
    passes(server, clock, 905)
    assert in_state(server, "api", "up")["since"] == clock.now()
    assert windows(server)[0]["starts_at"] is None
    assert "100 %" in server.client.get("/checks").text


def test_alerts_of_a_window_tell_nobody_until_it_ends(
    start: Start, clock: ManualClock, mailbox: Mailbox
) -> None:
    """An alert that its matchers name is shown as muted and told only after the window."""
    server = start(health={"host_checks": False}, alerts={**mailbox.settings, "email_to": "ops@example.com"})
    plan(server, name="move", matchers='job="shop"', duration_s=1800)

    def fire() -> None:
        alerts = [
            {"labels": {"alertname": name, "job": job, "severity": "critical"}}
            for name, job in (("Slow", "shop"), ("Broken", "bank"))
        ]
        assert server.client.post("/alertmanager/api/v2/alerts", json=alerts).status_code == 200

    fire()
    for _ in range(8):
        passes(server, clock, 15)
    wait_until(lambda: mailbox.to("ops@example.com"), 60, "the other alert's mail")
    told = [str(mail["Subject"]) for mail in mailbox.mails]
    assert any("Broken" in one for one in told)
    assert not any("Slow" in one for one in told)
    shown = {
        one["labels"]["alertname"]: one["status"]
        for one in server.client.get("/alertmanager/api/v2/alerts").json()
    }
    assert shown["Slow"]["mutedBy"] == ["move"]
    assert shown["Broken"]["mutedBy"] == []
    for _ in range(7):
        fire()
        passes(server, clock, 290)
    wait_until(
        lambda: any("Slow" in str(mail["Subject"]) for mail in mailbox.mails), 30, "mail after the window"
    )


@pytest.fixture
def berlin_night(clock: ManualClock) -> Iterator[ZoneInfo]:
    """Saturday noon before the night in Berlin that is an hour short."""
    zone = ZoneInfo("Europe/Berlin")
    clock.jump(dt.datetime(2026, 3, 28, 12, 0, tzinfo=zone).timestamp() - clock.now())
    yield zone


def test_a_window_recurs_by_the_local_clock(
    start: Start, clock: ManualClock, web: Web, berlin_night: ZoneInfo
) -> None:
    """Sundays at 04:00 in Berlin for two hours, also in the night that is an hour short."""
    check = CheckSettings(name="api", kind="http", target=web.url, interval_s=3600)
    server = watch(start, check)
    made = plan(server, checks=["api"], schedule="0 4 * * 0", zone="Europe/Berlin", duration_s=7200)
    assert made["starts_at"] == dt.datetime(2026, 3, 29, 4, 0, tzinfo=berlin_night).timestamp()
    assert made["starts_at"] - clock.now() == 15 * 3600
    in_state(server, "api", "up")
    passes(server, clock, 15 * 3600 - 60)
    assert status(server, "api")["state"] == "up"
    passes(server, clock, 65)
    in_state(server, "api", "maintenance")
    server.stop()
    again = watch(start, check)
    in_state(again, "api", "maintenance")
    passes(again, clock, 7200)
    in_state(again, "api", "up")
    coming = windows(again)[0]
    assert coming["starts_at"] == dt.datetime(2026, 4, 5, 4, 0, tzinfo=berlin_night).timestamp()


@pytest.mark.feature("H2")
def test_a_job_that_rests_during_maintenance_gets_its_grace_anew(start: Start, clock: ManualClock) -> None:
    """A job due within the window is not down at its end, but when its grace is over after that."""
    server = start(health={"host_checks": False})
    job = server.client.post(
        "/api/mamimon/heartbeats", json={"name": "backup", "period_s": 600, "grace_s": 300}
    ).json()
    server.client.get(job["ping_url"])
    plan(server, checks=["backup"], duration_s=3600)
    for seconds, state in (
        (6, "maintenance"),
        (1800, "maintenance"),
        (1800, "up"),
        (200, "degraded"),
        (200, "down"),
    ):
        passes(server, clock, seconds)
        wait_until(lambda state=state: status(server, "backup")["state"] == state, 30, state)


def test_the_page_and_the_command_plan_and_end(start: Start, web: Web) -> None:
    """A window made by the form is listed, by the command too, and ends when it is removed."""
    server = watch(start, CheckSettings(name="api", kind="http", target=web.url))
    form = {"name": "<i>move</i>", "checks": "api, db*", "starts": "", "minutes": "90", "zone": ""}
    assert server.client.post("/maintenance", data=form).headers["location"] == "/maintenance"
    page = server.client.get("/maintenance").text
    assert "&lt;i&gt;move" in page
    assert "<code>db*</code>" in page

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, ["maintenance", *arguments, "--url", server.url])
        assert done.exit_code == 0, done.output
        return done.output

    assert "open" in run("list")
    later = run(
        "add", "sunday", "--for", "2h", "--check", "*", "--schedule", "0 3 * * 0", "--zone", "Europe/Istanbul"
    )
    assert "planned" in later
    assert "(0 3 * * 0 Europe/Istanbul)" in later
    for one in windows(server):
        run("remove", one["window"]["id"])
    assert windows(server) == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"name": ""}, "needs a name"),
        ({"duration_s": 5}, "from a minute"),
        ({"checks": []}, "needs checks or matchers"),
        ({"matchers": "job"}, "bad matcher"),
        ({"schedule": "x"}, "not a cron expression"),
        ({"starts": "tomorrow"}, "not a time"),
        ({"starts": "2020-01-01T00:00"}, "over already"),
        ({"starts": "2030-01-01T00:00", "zone": "Nowhere/X"}, "unknown time zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_windows_that_cannot_be_are_refused(server: Running, wanted: dict[str, Any], words: str) -> None:
    """Each mistake is a 400 that says what is wrong."""
    body = {"name": "x", "duration_s": 3600, "checks": ["*"], **wanted}
    answer = server.client.post("/api/mamimon/maintenance", json=body)
    assert answer.status_code == 400
    assert words in answer.text
