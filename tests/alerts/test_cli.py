"""`mamimon alerts` and `mamimon deploy`, and a process that is killed between any two steps."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import App, Mailbox, live, step
from tests.alerts.test_life import forever, send
from tests.conftest import wait_until


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mamimon", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


@pytest.mark.feature("A4")
def test_list_acknowledge_silence_and_deploy(server: Any, clock: Any) -> None:
    """The terminal sees incidents, answers one, silences alerts and marks a deploy."""
    send(server, {"alertname": "Down", "job": "db"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: server.client.get("/api/mamimon/incidents").json())
    url = ("--url", server.url)
    assert "#1     open" in run("alerts", "list", *url).stdout
    done = json.loads(run("alerts", "ack", "1", "--by", "ada", "--note", "on it", "--json", *url).stdout)
    assert (done["state"], done["acknowledged_by"]) == ("acknowledged", "ada")
    assert "hides 1 now" in run("alerts", "silence", 'job="db"', "--for", "2h", *url).stdout
    assert "no incident 99" in run("alerts", "ack", "99", *url, code=1).stderr
    run("alerts", "silence", "x", "--for", "soon", *url, code=2)
    run("deploy", "4.2.1", "--service", "chat", *url)
    assert server.client.get("/api/mamimon/deploys").json()[0]["version"] == "4.2.1"
    assert "deploy of chat: 4.2.1" in server.client.get("/incidents/1").text


@pytest.mark.feature("A1")
def test_check_names_mistakes(tmp_path: Path) -> None:
    """A good file exits 0, a bad one 1 with file and line."""
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("groups: [{name: a, rules: [{alert: X, expr: up == 0}]}]")
    bad.write_text("groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up ==\n")
    run("alerts", "check", str(good))
    assert f"{bad}:5: X: could not parse expression" in run("alerts", "check", str(bad), code=1).stdout


@pytest.mark.feature("A6")
def test_backtest_counts_what_would_have_fired(
    start: Callable[..., Any], clock: ManualClock, app: App, prometheus_yml: str
) -> None:
    """Two long episodes and one too short for `for`, in samples that were really scraped."""
    server = start(metrics={"prometheus_config": prometheus_yml, "scrape_self": False})
    began = clock.now()
    for load, seconds in ((0, 60), (9, 135), (0, 120), (9, 30), (0, 120), (9, 135), (0, 60)):
        app.load = float(load)
        live(clock, app, seconds)
    question = {"expr": "load > 5", "for": "1m", "days": 0.02}
    answer = server.client.post("/api/mamimon/alerts/backtest", json=question).json()
    assert answer["fired"] == 2
    later, earlier = answer["episodes"]
    assert 45 <= later["seconds"] <= 90
    assert began < earlier["start"] < later["start"] < clock.now()
    assert later["labels"]["job"] == "chat"
    out = run("alerts", "backtest", "load > 5", "--for", "1m", "--days", "0.02", "--url", server.url)
    assert "would have fired 2 times" in out.stderr
    refused = server.client.post("/api/mamimon/alerts/backtest", json={"expr": "load >"})
    assert refused.status_code == 400


@pytest.mark.feature("A4")
def test_a_kill_at_any_point_repeats_or_resumes(process: Callable[..., Any], mailbox: Mailbox) -> None:
    """kill -9 after each step of an alert's life: told at least once, a recorded success never again."""
    env = {
        "SMTP_SERVER": "127.0.0.1",
        "SMTP_PORT": str(mailbox.port),
        "MAMIMON_ALERTS__SMTP_SECURITY": "none",
        "ALERT_EMAIL_TO": "efe@example.com,ada@example.com",
        "MAMIMON_ALERTS__UNACKNOWLEDGED_TIMEOUT_S": "4",
        "MAMIMON_ALERTS__REPEAT_LIMIT": "0",
    }

    def rows(one: Any) -> list[Any]:
        found: list[Any] = httpx.get(f"{one.url}/api/mamimon/alerts/notifications").json()
        return found

    one = process(env=env)
    ends = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    body = [{"labels": {"alertname": "Down"}, "endsAt": ends}]
    assert httpx.post(f"{one.url}/alertmanager/api/v2/alerts", json=body).status_code == 200
    one.kill()
    one = process(env=env)
    wait_until(lambda: mailbox.to("efe@example.com"), 20, what="the first mail")
    wait_until(lambda: any(row["status"] == "sent" for row in rows(one)), what="its record")
    one.kill()
    one = process(env=env)
    wait_until(lambda: mailbox.to("ada@example.com"), 20, what="the next person's mail")
    wait_until(lambda: sum(row["status"] == "sent" for row in rows(one)) == 2, what="its record")
    one.kill()
    one = process(env=env)
    assert httpx.post(f"{one.url}/api/mamimon/incidents/1/acknowledge", json={"by": "Ada"}).status_code == 200
    one.kill()
    one = process(env=env)
    incident = httpx.get(f"{one.url}/api/mamimon/incidents/1").json()
    assert (incident["state"], incident["acknowledged_by"]) == ("acknowledged", "Ada")
    assert httpx.post(f"{one.url}/api/mamimon/incidents/1/resolve", json={"by": "Ada"}).status_code == 200
    wait_until(lambda: sum(row["status"] == "sent" for row in rows(one)) == 4, what="the end is told")
    assert len(mailbox.mails) == 4
