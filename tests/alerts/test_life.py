"""The life of an alert, from outside: alerts in by API v2, real mail and a real webhook out."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import Hook, Mailbox, step
from tests.conftest import wait_until

PEOPLE = {"email_to": "efe@example.com, ada@example.com", "escalate_email_to": "boss@example.com"}


def send(
    server: Any, *alerts: dict[str, str], annotations: dict[str, str] | None = None, **more: Any
) -> None:
    body = [{"labels": one, "annotations": annotations or {}, **more} for one in alerts]
    answer = server.client.post("/alertmanager/api/v2/alerts", json=body)
    assert answer.status_code == 200, answer.text


def forever(clock: ManualClock) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(clock.now() + 86_400, dt.UTC).isoformat()


@pytest.mark.feature("A3")
def test_an_alert_reaches_mail_and_slack(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox, slack: Hook
) -> None:
    """The first person gets HTML and text mail with an acknowledge link, Slack gets colour and buttons."""
    server = start(alerts={**mailbox.settings, **PEOPLE, "slack_webhook_url": slack.url})
    send(
        server,
        {"alertname": "HighErrorRate", "job": "chat", "severity": "critical"},
        annotations={"summary": "7.8 % of <requests> fail"},
        endsAt=forever(clock),
    )
    step(clock, 10)
    wait_until(lambda: mailbox.mails and slack.posts, what="mail and Slack message")
    (mail,) = mailbox.to("efe@example.com")
    assert mail["Subject"] == "Firing: HighErrorRate on chat"
    assert "7.8 % of &lt;requests&gt; fail" in mail.get_body(("html",)).get_content()
    text = mail.get_body(("plain",)).get_content()
    assert re.search(rf"{server.url}/ack/\S+", text)
    attachment = slack.posts[0]["attachments"][0]
    assert attachment["color"] == "#b83227"
    buttons = attachment["blocks"][-1]["elements"]
    assert {one["text"]["text"] for one in buttons} == {"Acknowledge", "Open the incident"}
    assert "7.8 % of &lt;requests&gt; fail" in attachment["blocks"][1]["text"]["text"]
    assert slack.paths == ["/services/T000/B000/secretpart"]
    assert not mailbox.to("ada@example.com")


@pytest.mark.feature("A4")
def test_the_next_person_is_told_until_somebody_answers_also_after_restarts(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox
) -> None:
    """Second person, then the last resort, over restarts; the link stops it and all hear the end."""
    settings = {**mailbox.settings, **PEOPLE, "unacknowledged_timeout_s": 300.0}
    server = start(alerts=settings)
    send(server, {"alertname": "Down", "instance": "db:5432"}, endsAt=forever(clock))
    server.stop()
    server = start(alerts=settings)
    step(clock, 10)
    wait_until(lambda: mailbox.to("efe@example.com"), what="mail to the first person")
    server.stop()
    step(clock, 200)
    server = start(alerts=settings)
    assert not mailbox.to("ada@example.com")
    step(clock, 120)
    wait_until(lambda: mailbox.to("ada@example.com"), what="mail to the second person")
    server.stop()
    clock.advance(3600)
    server = start(alerts=settings)
    wait_until(lambda: mailbox.to("boss@example.com"), what="mail to the last resort")
    (mail,) = mailbox.to("boss@example.com")
    assert mail["Subject"].startswith("Nobody has answered")
    text = mail.get_body(("plain",)).get_content()
    assert "minutes late" in text
    link = re.search(rf"{re.escape(server.url)}(/ack/\S+)", text)
    assert link is not None
    page = server.client.get(link[1])
    assert "Acknowledge (boss@example.com)" in page.text
    assert server.client.get("/api/mamimon/incidents").json()[0]["state"] == "open"
    assert "Nobody else will be woken" in server.client.post(link[1], data={"note": "on it"}).text
    incident = server.client.get("/api/mamimon/incidents").json()[0]
    assert (incident["state"], incident["acknowledged_by"]) == ("acknowledged", "boss@example.com")
    step(clock, 1200, 60)
    assert len(mailbox.mails) == 3
    import datetime as dt

    ended = dt.datetime.fromtimestamp(clock.now(), dt.UTC).isoformat()
    send(server, {"alertname": "Down", "instance": "db:5432"}, endsAt=ended)
    step(clock, 70)
    wait_until(lambda: len(mailbox.mails) == 6, what="everybody who was told hears the end")
    assert all(mail["Subject"].startswith("Resolved") for mail in mailbox.mails[3:])
    expected = ["firing", "sent", "escalated", "sent", "escalated", "sent", "acknowledged", "resolved"]

    def kinds() -> list[str]:
        return [e["kind"] for e in server.client.get("/api/mamimon/incidents/1").json()["events"]]

    wait_until(lambda: kinds() == [*expected, "sent", "sent", "sent"], what="the whole timeline")


@pytest.mark.feature("A3")
def test_three_hundred_different_alerts_are_a_few_messages(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox, slack: Hook
) -> None:
    """Of 300 incidents people get eight messages at most, the worst first and one that counts the rest."""
    server = start(alerts={**mailbox.settings, "email_to": "efe@example.com", "slack_webhook_url": slack.url})
    names = [
        {"alertname": f"Lost{n:03}", "severity": "critical" if n == 250 else "warning"} for n in range(300)
    ]
    send(server, *names, endsAt=forever(clock))
    step(clock, 10)
    notifications = "/api/mamimon/alerts/notifications"

    began = clock.now()

    def sent() -> list[dict[str, Any]]:
        return server.client.get(notifications, params={"limit": 1000}).json()

    def at_rest() -> bool:
        if len(found := sent()) >= 300 and not [one for one in found if one["status"] == "pending"]:
            return True
        # Over a minute, for what waits for the next one; less than the five after which steps escalate.
        clock.advance(1.0 if clock.now() < began + 90 else 0.0)
        return False

    wait_until(at_rest, timeout_s=60, what="every notification's end")
    assert len(server.client.get("/api/mamimon/incidents", params={"limit": 500}).json()) == 300
    for posts in (mailbox.mails, slack.posts):
        assert 2 <= len(posts) <= 16, len(posts)
    digests = [mail for mail in mailbox.mails if re.search(r"\d+ incidents?", mail["Subject"])]
    told = sum(int(re.search(r"(\d+) incidents?", one["Subject"])[1]) for one in digests)
    assert told + len(mailbox.mails) - len(digests) == 300
    assert any("Lost250" in mail["Subject"] for mail in mailbox.mails)
    assert f"{server.url}/incidents" in digests[0].get_body(("plain",)).get_content()
    for target in ("email", "slack"):
        times = [
            one["attempts"][-1]["at"] for one in sent() if one["status"] == "sent" and target in one["target"]
        ]
        assert times
        assert all(sum(at - 60 < other <= at for other in times) <= 8 for at in times), times
    ended = dt.datetime.fromtimestamp(clock.now(), dt.UTC).isoformat()
    before = len(mailbox.mails)
    send(server, *names, endsAt=ended)
    step(clock, 200)
    wait_until(at_rest, timeout_s=60, what="every notification's end")
    over = mailbox.mails[before:]
    assert 1 <= len(over) <= 16, [mail["Subject"] for mail in over]
    counted = [int(found[1]) for mail in over if (found := re.search(r"(\d+) incidents?", mail["Subject"]))]
    assert sum(counted) + len(over) - len(counted) == 300


@pytest.mark.feature("A2")
def test_five_hundred_alerts_are_one_message(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """A storm of one alert name is one message that counts them."""
    server = start(alerts={"slack_webhook_url": slack.url})
    send(
        server,
        *({"alertname": "Storm", "instance": f"host-{number}"} for number in range(500)),
        endsAt=forever(clock),
    )
    step(clock, 130)
    wait_until(lambda: slack.posts, what="the message")
    assert len(slack.posts) == 1
    assert slack.posts[0]["text"] == "Firing: Storm (500)"
    assert "and 490 more" in str(slack.posts[0])


@pytest.mark.feature("A2")
def test_a_silence_hides_and_its_end_tells(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """A silenced alert is told to nobody until the silence ends."""
    server = start(alerts={"slack_webhook_url": slack.url})
    made = server.client.post(
        "/api/mamimon/silences",
        json={"matchers": 'job=~"batch.*"', "duration_s": 600, "by": "Ada", "comment": "known"},
    ).json()
    send(server, {"alertname": "Late", "job": "batch-7"}, endsAt=forever(clock))
    step(clock, 120)
    assert slack.posts == []
    (alert,) = server.client.get("/alertmanager/api/v2/alerts").json()
    assert alert["status"]["state"] == "suppressed"
    assert alert["status"]["silencedBy"] == [made["id"]]
    assert server.client.delete(f"/alertmanager/api/v2/silence/{made['id']}").status_code == 200
    step(clock, 70)
    wait_until(lambda: slack.posts, what="the message after the silence")


@pytest.mark.feature("A3")
def test_a_failing_receiver_is_tried_again_and_every_attempt_is_kept(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """429 with Retry-After, then 500, then success: three recorded attempts, one delivery, no more."""
    slack.answers = [(429, {"Retry-After": "30"}, b"slow down"), (500, {}, b"oops")]
    server = start(alerts={"slack_webhook_url": slack.url})
    send(server, {"alertname": "X"}, endsAt=forever(clock))

    def tries() -> list[Any]:
        found = server.client.get("/api/mamimon/alerts/notifications").json()
        return list(found[0]["attempts"]) if found else []

    def tried(times: int) -> None:
        """Let time pass until so many attempts are recorded; only then is the next one's time known."""

        def enough() -> bool:
            step(clock, 5)
            return len(tries()) >= times

        wait_until(enough, 60, f"attempt {times}")
        assert len(tries()) == len(slack.posts) == times

    tried(1)
    step(clock, 20)
    assert len(slack.posts) == 1, "not before the 30 s that were asked for"
    tried(2)
    tried(3)
    (row,) = wait_until(
        lambda: [
            r for r in server.client.get("/api/mamimon/alerts/notifications").json() if r["status"] == "sent"
        ]
    )
    assert [a["answer"] for a in row["attempts"]] == ["HTTP 429 slow down", "HTTP 500 oops", "HTTP 200 ok"]
    step(clock, 200, 20)
    assert len(slack.posts) == 3
    assert "secretpart" not in server.client.get("/api/mamimon/alerts/notifications").text


@pytest.mark.feature("A3")
def test_a_refused_first_person_is_passed_over(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """A receiver that can never work does not make people wait for the timeout."""
    slack.answers = [(404, {}, b"no_service")]
    server = start(alerts={"slack_webhook_url": slack.url, "unacknowledged_timeout_s": 3600.0})
    send(server, {"alertname": "X"}, endsAt=forever(clock))
    step(clock, 20)
    wait_until(lambda: len(slack.posts) == 2, what="the next step at once")
    events = server.client.get("/api/mamimon/incidents/1").json()["events"]
    assert "Slack was not told: HTTP 404 no_service" in [e["text"] for e in events]


@pytest.mark.feature("A5")
def test_test_send_shows_the_servers_real_answer(
    start: Callable[..., Any], mailbox: Mailbox, slack: Hook
) -> None:
    """The button shows what the SMTP server and Slack really said."""
    slack.answers = [(403, {}, b"invalid_token")]
    mailbox.refuse = {"nobody@example.com"}
    server = start(
        alerts={**mailbox.settings, "email_to": "nobody@example.com", "slack_webhook_url": slack.url}
    )
    answers = server.client.post("/api/mamimon/alerts/test", json={}).json()
    by_target = {one["target"]: one for one in answers}
    assert by_target["settings/slack"] == {
        "target": "settings/slack",
        "ok": False,
        "answer": "HTTP 403 invalid_token",
    }
    assert "no such user here" in by_target["settings/email/nobody@example.com"]["answer"]
    page = server.client.post("/settings/alerts/test", data={"target": "settings/slack"})
    assert "✓ HTTP 200 ok" in page.text
    assert "secretpart" not in page.text


@pytest.mark.feature("A4")
def test_forged_and_expired_links_do_nothing(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox
) -> None:
    """A changed signature and a link older than a week are refused with 403."""
    server = start(alerts={**mailbox.settings, "email_to": "efe@example.com"})
    later = dt.datetime.fromtimestamp(clock.now() + 30 * 86_400, dt.UTC).isoformat()
    send(server, {"alertname": "X"}, endsAt=later)
    step(clock, 10)
    wait_until(lambda: mailbox.mails)
    found = re.search(r"(/ack/\S+)", mailbox.mails[0].get_body(("plain",)).get_content())
    assert found is not None
    link = found[1]
    # Not only the last character: of that base64 has bits nobody reads.
    forged = link[:-4] + ("AAAA" if link[-4:] != "AAAA" else "BBBB")
    assert server.client.post(forged).status_code == 403
    clock.jump(8 * 86_400)
    assert server.client.post(link).status_code == 403
    assert server.client.get("/api/mamimon/incidents").json()[0]["state"] == "open"
