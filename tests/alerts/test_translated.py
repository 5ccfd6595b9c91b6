"""What built-in rules say is shown in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from mamimon.alerts.translated import translated
from mamimon.clock import ManualClock
from mamimon.i18n import current_locale
from tests.alerts.conftest import Hook, Mailbox, step
from tests.alerts.test_life import forever, send
from tests.conftest import ROOT, wait_until

pytestmark = pytest.mark.feature("D6")


@pytest.fixture
def turkish() -> Iterator[None]:
    """A request in Turkish."""
    token = current_locale.set("tr")
    yield
    current_locale.reset(token)


def texts() -> list[str]:
    """Every annotation of the built-in rules, with a value in each hole."""
    rules = yaml.safe_load((ROOT / "mamimon/alerts/builtin_rules.yml").read_text(encoding="utf-8"))
    found = [
        text
        for group in rules["groups"]
        for rule in group["rules"]
        for text in rule.get("annotations", {}).values()
    ]
    return [re.sub(r"\{\{.*?\}\}", "web-1:9100", one) for one in found]


@pytest.mark.usefixtures("turkish")
def test_every_sentence_of_the_builtin_rules_is_known() -> None:
    """No built-in annotation stays English, and each keeps its values."""
    assert len(texts()) >= 12
    for text in texts():
        shown = translated(text)
        assert shown != text, text
        assert shown.count("web-1:9100") == text.count("web-1:9100")
        assert translated(f"{text} (+3)") == f"{shown} (+3)"


@pytest.mark.usefixtures("turkish")
def test_what_people_wrote_stays() -> None:
    """A sentence of somebody's own rule is shown as it was written."""
    assert translated("The queue of shop is long") == "The queue of shop is long"
    assert translated("The disk of a is 91 % full, or so") == "The disk of a is 91 % full, or so"


def test_english_is_untouched() -> None:
    """Without a language nothing is looked up."""
    assert translated("The disk of a is 91 % full") == "The disk of a is 91 % full"


def test_pages_say_it_in_turkish(server: Any) -> None:
    """The alerts page shows a built-in rule's summary in the browser's language; the API has the text."""
    alert = {
        "labels": {"alertname": "DiskAlmostFull", "instance": "web-1"},
        "annotations": {"summary": "The disk of web-1 is 91 % full"},
    }
    assert server.client.post("/alertmanager/api/v2/alerts", json=[alert]).status_code == 200
    assert "web-1 diski %91 dolu" in server.client.get("/alerts", headers={"Accept-Language": "tr"}).text
    assert "The disk of web-1" in server.client.get("/alerts", headers={"Accept-Language": "en"}).text
    (given,) = server.client.get("/alertmanager/api/v2/alerts").json()
    assert given["annotations"]["summary"] == "The disk of web-1 is 91 % full"


def test_a_timeline_says_who_was_told_in_turkish(
    start: Callable[..., Any], clock: ManualClock, slack: Hook
) -> None:
    """What the delivery worker writes down is stored as facts and shown in the reader's language."""
    slack.answers = [(500, {}, b"oops")]
    server = start(alerts={"slack_webhook_url": slack.url, "builtin_rules": False})
    send(server, {"alertname": "X"}, endsAt=forever(clock))

    def kinds() -> list[str]:
        return [one["kind"] for one in timeline()]

    def timeline() -> Any:
        found = server.client.get("/api/mamimon/incidents/1")
        return found.json()["events"] if found.status_code == 200 else []

    step(clock, 20)
    wait_until(lambda: "failed" in kinds(), timeout_s=30, what="the refusal in the timeline")
    step(clock, 20)
    wait_until(lambda: "sent" in kinds(), timeout_s=30, what="the delivery in the timeline")
    facts = {one["kind"]: one["facts"] for one in timeline()}
    assert facts["failed"] == {"to": "Slack", "why": "HTTP 500 oops"}
    assert facts["sent"] == {"to": "Slack", "what": "told"}
    page = server.client.get("/incidents/1", headers={"Accept-Language": "tr"}).text
    assert "Slack haberdar edildi" in page
    assert "Slack haber alamadı: HTTP 500 oops" in page
    assert "was not told" not in page


def test_mail_and_slack_speak_the_servers_language(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox, slack: Hook
) -> None:
    """What a built-in rule says, that somebody asks and that somebody closed it, and a test: in Turkish
    where `server.locale` says so; a webhook's JSON stays as the rule wrote it."""
    server = start(
        server={"locale": "tr"},
        alerts={
            **mailbox.settings,
            "email_to": "efe@example.com, ada@example.com",
            "slack_webhook_url": slack.url,
            "builtin_rules": False,
        },
    )
    alert = {"alertname": "DiskAlmostFull", "instance": "web-1"}
    summary = {"summary": "The disk of web-1 is 91 % full"}
    send(server, alert, annotations=summary, endsAt=forever(clock))

    def mails(words: str) -> bool:
        step(clock, 5)
        return any(words in one.get_body(("plain",)).get_content() for one in mailbox.mails)

    wait_until(lambda: mails("web-1 diski %91 dolu"), what="the mail")
    html = mailbox.mails[0].get_body(("html",)).get_content()
    assert "web-1 diski %91 dolu" in html
    wait_until(lambda: slack.posts, what="the Slack message")
    assert "web-1 diski %91 dolu" in str(slack.posts[0])
    for action in ("escalate", "resolve"):
        done = server.client.post(f"/api/mamimon/incidents/1/{action}", json={"by": "Can"})
        assert done.status_code == 200, done.text
    wait_until(lambda: mails("Can bakmanızı istiyor."), what="the mail to the next person")
    wait_until(lambda: mails("Can kapattı."), what="the end")
    assert server.client.post("/api/mamimon/alerts/test", json={"target": "settings/slack"}).json()[0]["ok"]
    assert "Bu bir denemedir." in str(slack.posts[-1])
