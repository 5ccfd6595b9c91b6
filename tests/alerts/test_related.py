"""Alerts that belong together are one incident; a channel that fails is an alert; errors make alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, Mailbox, step
from tests.alerts.test_life import forever, send
from tests.conftest import settled, wait_until
from tests.metrics.test_from_logs import send_error


def incidents(server: Any) -> dict[str, dict[str, Any]]:
    """Incidents by title."""
    found = server.client.get("/api/mamimon/incidents").json()
    return {one["title"]: one for one in found}


def told(server: Any) -> dict[str, int]:
    """To which incident each message belongs, by its title."""
    found = server.client.get("/api/mamimon/alerts/notifications").json()
    return {one["title"]: one["incident"] for one in found if one["kind"] == "firing"}


@pytest.mark.feature("A7")
def test_alerts_of_one_service_and_time_are_one_incident(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """Two names of one service within minutes are one incident until both are over, also over a restart;
    another service, another place and a later time are incidents of their own."""
    settings: dict[str, Any] = {"alerts": {"slack_webhook_url": slack.url, "builtin_rules": False}}
    server = start(**settings)
    settled(clock)
    shop = {"service": "shop", "severity": "warning"}
    send(server, {"alertname": "Slow", **shop}, endsAt=forever(clock))
    step(clock, 20)
    wait_until(lambda: "Slow on shop" in incidents(server), 30, "the first incident")
    send(
        server,
        {"alertname": "Fails", **shop, "severity": "critical"},
        {"alertname": "Full", "service": "bank"},
        {"alertname": "Stuck", **shop, "cluster": "eu"},
        endsAt=forever(clock),
    )
    step(clock, 20)
    wait_until(lambda: len(told(server)) == 4, 30, "four messages")
    assert set(incidents(server)) == {"Slow on shop", "Full on bank", "Stuck on shop"}
    one = incidents(server)["Slow on shop"]
    assert told(server)["Fails on shop"] == one["id"]
    assert one["severity"] == "critical"
    timeline = server.client.get(f"/api/mamimon/incidents/{one['id']}").json()["events"]
    assert any(entry["kind"] == "alert" and "Fails on shop" in entry["text"] for entry in timeline)

    server.stop()
    server = start(**settings)
    settled(clock)
    over = dt.datetime.fromtimestamp(clock.now(), dt.UTC).isoformat()
    send(server, {"alertname": "Slow", **shop}, endsAt=over)
    step(clock, 130)
    assert incidents(server)["Slow on shop"]["state"] == "open", "the other alert still fires"
    step(clock, 600, 30)
    send(server, {"alertname": "Late", **shop}, endsAt=forever(clock))
    step(clock, 20)
    wait_until(lambda: "Late on shop" in incidents(server), 30, "an incident of a later time")
    over = dt.datetime.fromtimestamp(clock.now(), dt.UTC).isoformat()
    send(server, {"alertname": "Fails", **shop, "severity": "critical"}, endsAt=over)

    def resolved() -> bool:
        step(clock, 15)
        return bool(incidents(server)["Slow on shop"]["state"] == "resolved")

    wait_until(resolved, 60, "the end of both")
    assert incidents(server)["Late on shop"]["state"] == "open"


@pytest.mark.feature("A3")
def test_a_channel_that_fails_is_an_alert_itself(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox, slack: Hook
) -> None:
    """Slack refuses for good: a person reads by mail that Slack does not work, and it ends by itself."""
    slack.answers = [(404, {}, b"no_service")] * 50
    server = start(
        alerts={**mailbox.settings, "email_to": "efe@example.com", "slack_webhook_url": slack.url},
        health={"host_checks": False},
    )
    settled(clock)
    send(server, {"alertname": "X"}, endsAt=forever(clock))

    def names() -> set[str]:
        found = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}

    def fires() -> bool:
        step(clock, 15)
        return "NotificationsFail" in names()

    wait_until(fires, 90, "the alert")
    step(clock, 15)
    subject = "Firing: NotificationsFail"
    wait_until(lambda: any(subject in one["Subject"] for one in mailbox.mails), 30, "mail about it")
    mail = next(one for one in mailbox.mails if subject in one["Subject"])
    assert "Messages by slack do not arrive" in mail.get_body(("plain",)).get_content()

    def quiet() -> bool:
        step(clock, 60, 15)
        return "NotificationsFail" not in names()

    wait_until(quiet, 120, "the end of the alert")
    before = sum(subject in one["Subject"] for one in mailbox.mails)
    step(clock, 300, 15)
    assert "NotificationsFail" not in names(), "its own end, refused by Slack, must not raise it again"
    assert sum(subject in one["Subject"] for one in mailbox.mails) == before


@pytest.mark.feature("A8")
def test_a_new_error_and_one_that_came_back_fire(start: Callable[..., Any], clock: ManualClock) -> None:
    """The start "a new error" fires for a new issue, and again when a resolved one regresses."""
    server = start(alerts={"builtin_rules": False}, health={"host_checks": False})
    rule = {"name": "NewError", "expr": "sum by (kind) (increase(mamimon_errors_issues_total[5m])) > 0"}
    assert server.client.post("/api/mamimon/alerts/rules", json=rule).status_code == 201
    settled(clock)
    kinds: set[str] = set()

    def fires(kind: str) -> bool:
        step(clock, 15)
        found = server.client.get("/api/v1/alerts").json()["data"]["alerts"]
        kinds.update(one["labels"]["kind"] for one in found if one["state"] == "firing")
        return kind in kinds

    send_error(server)
    wait_until(lambda: fires("new"), 90, "an alert on the new error")
    assert kinds == {"new"}
    done = server.client.post("/api/mamimon/errors/issues/status", json={"ids": [1], "status": "resolved"})
    assert done.json() == {"changed": 1}, done.text
    step(clock, 30)
    send_error(server)
    wait_until(lambda: fires("regressed"), 90, "an alert on the regression")


@pytest.mark.feature("A7")
def test_a_release_of_sentrys_clients_is_a_deploy(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """Finalized, then deployed as sentry-cli does it, it is one deploy on the incident's page; a bad time
    is refused."""
    server = start(alerts={"slack_webhook_url": slack.url, "builtin_rules": False})
    settled(clock)
    at = dt.datetime.fromtimestamp(clock.now() - 60, dt.UTC).isoformat()
    release = "/api/0/organizations/o/releases/shop@2.1/"
    assert server.client.put(release, json={"dateReleased": at, "projects": []}).status_code == 200
    made = server.client.post(f"{release}deploys/", json={"environment": "production"})
    assert made.status_code == 201, made.text
    bad = server.client.post(f"{release}deploys/", json={"environment": "x", "dateFinished": "soon"})
    assert bad.status_code == 400
    (deploy,) = server.client.get("/api/mamimon/deploys").json()
    assert deploy["version"] == "shop@2.1"
    assert deploy["at"] == pytest.approx(clock.now() - 60, abs=1)
    send(server, {"alertname": "X"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: server.client.get("/api/mamimon/incidents").json(), 30, "the incident")
    assert "shop@2.1" in server.client.get("/incidents/1").text
