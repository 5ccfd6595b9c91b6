"""What keeps an alert quiet is said with who did it and until when: on pages, by the API, by the command."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mamimon.cli.root import cli
from mamimon.clock import ManualClock
from tests.alerts.test_life import forever, send
from tests.conftest import settled, wait_until

pytestmark = pytest.mark.feature("A2", "A5")
ENGLISH = {"Accept-Language": "en"}
CONFIG = """\
route:
  receiver: all
  routes:
    - {receiver: all, matchers: [job="night"], mute_time_intervals: [office]}
receivers: [{name: all}]
inhibit_rules:
  - {source_matchers: [alertname="Down"], target_matchers: [alertname="Slow"], equal: [job]}
time_intervals:
  - {name: office, time_intervals: [
      {times: [{start_time: "08:00", end_time: "18:30"}], location: Europe/Istanbul}]}
"""
NOON = dt.datetime(2026, 3, 4, 12, 0, tzinfo=dt.timezone(dt.timedelta(hours=3)))


def text(page: str) -> str:
    """A page's words without its markup."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page).split()))


@pytest.fixture
def server(start: Callable[..., Any], clock: ManualClock, tmp_path: Path) -> Any:
    """A server at noon in Istanbul with that configuration and a rule that is always true."""
    clock.jump(NOON.timestamp() - clock.now())
    (tmp_path / "alertmanager.yml").write_text(CONFIG)
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, interval: 5s, rules: [{alert: Always, expr: vector(1), labels: {job: shop}}]}]\n"
    )
    one = start(
        alerts={
            "alertmanager_config": str(tmp_path / "alertmanager.yml"),
            "rule_files": [str(tmp_path / "rules.yml")],
            "builtin_rules": False,
        },
        health={"host_checks": False},
    )
    settled(clock)
    clock.advance(6)
    wait_until(lambda: one.client.get("/api/mamimon/alerts").json(), 30, "the rule's alert")
    return one


def seen(server: Any, labels: str = "") -> str:
    """The words of the alerts page, or of "where would this alert go?"."""
    if labels:
        return text(server.client.get("/settings/alerts", params={"labels": labels}, headers=ENGLISH).text)
    return text(server.client.get("/alerts", headers=ENGLISH).text)


def minute(at: float) -> str:
    """An instant as pages write it before the browser knows the zone."""
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")


def test_maintenance_and_silence_name_who_and_until_when(server: Any, clock: ManualClock) -> None:
    """A window's name and end, and a silence's author, reason and end, beside a rule's alert."""
    made = server.client.post(
        "/api/mamimon/maintenance", json={"name": "move", "duration_s": 3600, "matchers": 'job="shop"'}
    ).json()
    silenced = server.client.post(
        "/api/mamimon/silences",
        json={"matchers": 'job="shop"', "duration_s": 600, "by": "Ada", "comment": "known"},
    ).json()
    (alert,) = server.client.get("/api/mamimon/alerts").json()
    by = made["window"]["made_by"]
    assert alert["quiet"] == [
        {"kind": "silence", "name": "known", "by": "Ada", "until": silenced["ends_at"]},
        {"kind": "maintenance", "name": "move", "by": by, "until": made["ends_at"]},
    ]
    assert made["ends_at"] == pytest.approx(clock.now() + 3600, abs=60)
    window = f"Muted by the maintenance “move”{f' of {by}' if by else ''}, until {minute(made['ends_at'])}"
    for page in (seen(server), seen(server, 'alertname="Always", job="shop"')):
        assert window in page, page
        assert f"Silenced by Ada (“known”), until {minute(silenced['ends_at'])}" in page
    done = CliRunner().invoke(cli, ["alerts", "list", "--url", server.url])
    assert done.exit_code == 0, done.output
    assert re.search(r"Always .*silenced by Ada until \S+.*muted by maintenance move until \S+", done.output)


def test_another_alert_and_a_time_of_day_are_named(server: Any, clock: ManualClock) -> None:
    """An inhibited alert names the one that hides it; a muted time says when it is over in its zone."""
    send(
        server,
        {"alertname": "Down", "job": "db"},
        {"alertname": "Slow", "job": "db"},
        {"alertname": "Backup", "job": "night"},
        endsAt=forever(clock),
    )
    page = seen(server)
    assert "Hidden while Down fires" in page
    end = NOON.replace(hour=18, minute=30).timestamp()
    assert f"Muted by the time interval office, until {minute(end)}" in page
    clock.jump(end - clock.now())
    send(server, {"alertname": "Backup", "job": "night"}, endsAt=forever(clock))
    page = seen(server)
    assert "time interval" not in page
    assert "Backup" in page
