"""Notices of the status page: written by people, shown, in the feed, and mailed to subscribers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from tests.alerts.conftest import Mailbox
from tests.conftest import Running, wait_until
from tests.health.conftest import Web
from tests.health.test_checks import settled as in_state
from tests.health.test_status_page import ATOM, link, passes, subscribe

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("H3")
NOTICES = "/api/mamimon/notices"
ENGLISH = {"Accept-Language": "en"}


def entries(server: Running) -> list[tuple[str, str, str]]:
    """Id, title and summary of the feed's entries."""
    answer = server.client.get("/status/feed.atom", headers=ENGLISH)
    return [
        tuple(one.findtext(f"a:{part}", "", ATOM) for part in ("id", "title", "summary"))
        for one in ET.fromstring(answer.content).findall("a:entry", ATOM)
    ]  # type: ignore[misc]


def test_an_incident_is_told_from_its_beginning_to_its_end(
    start: Start, clock: ManualClock, web: Web, mailbox: Mailbox
) -> None:
    """By the form: each update is on the page, in one entry of the feed, and one mail in the reader's
    language, also over a restart; a resolved notice is among the past ones."""
    settings: dict[str, Any] = {
        "health": {
            "checks": [CheckSettings(name="shop", kind="http", target=web.url)],
            "host_checks": False,
        },
        "alerts": {**mailbox.settings, "builtin_rules": False},
    }
    server = start(**settings)
    in_state(server, "shop", "up")
    for email, language in (("ada@example.com", "en"), ("yilmaz@example.com", "tr")):
        subscribe(server, email, language)
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 2, 30, "mails to confirm")
    for email in ("ada@example.com", "yilmaz@example.com"):
        assert server.client.post(link(mailbox.to(email)[0], "confirm")).status_code == 200
    mailbox.mails.clear()
    assert "Everything is up" in server.client.get("/status", headers=ENGLISH).text
    form = {
        "title": "Payments <hang>",
        "text": "Cards of one bank.\nOthers work.",
        "state": "investigating",
        "parts": "shop",
        "mail": "1",
    }
    assert server.client.post("/notices", data=form).status_code == 303
    page = server.client.get("/status", headers=ENGLISH).text
    assert "Payments &lt;hang&gt;" in page
    assert "Others work." in page
    assert "An incident is under way" in page
    assert "Everything is up" not in page
    server.stop()
    server = start(**settings)
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 2, 30, "a mail to each")
    (mail,) = mailbox.to("ada@example.com")
    assert mail["Subject"] == "Payments <hang>: Investigating"
    assert "Cards of one bank." in mail.get_content()
    assert "It is about: shop" in mail.get_content()
    assert link(mail, "unsubscribe")
    assert mailbox.to("yilmaz@example.com")[0]["Subject"] == "Payments <hang>: İnceleniyor"
    ((first, title, _),) = entries(server)
    assert title == "Payments <hang>: Investigating"

    update = {"id": "1", "text": "The bank is back.", "state": "resolved", "mail": "1"}
    assert server.client.post("/notices/update", data=update).status_code == 303
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 4, 30, "mail about the end")
    ((same, title, said),) = entries(server)
    assert (same, title) == (first, "Payments <hang>: Resolved")
    assert said.index("The bank is back.") < said.index("Cards of one bank.")
    page = server.client.get("/status", headers=ENGLISH).text
    assert "Past incidents" in page
    assert "Everything is up" in page
    assert "Geçmiş olaylar" in server.client.get("/status", headers={"Accept-Language": "tr"}).text
    clock.jump(15 * 86_400)
    assert "Past incidents" not in server.client.get("/status", headers=ENGLISH).text
    actions = [one["action"] for one in server.client.get("/api/mamimon/settings/audit").json()]
    assert actions[:2] == ["notice.update", "notice.add"]


def test_the_api_is_bounded_and_says_what_is_wrong(
    start: Start, mailbox: Mailbox, clock: ManualClock
) -> None:
    """Titles, texts, states, parts and numbers are checked; without `mail` nobody is written to."""
    server = start(
        health={"host_checks": False, "checks": [CheckSettings(name="mem", kind="memory")]},
        alerts={**mailbox.settings, "builtin_rules": False},
    )
    subscribe(server, "ada@example.com")
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 1, 30, "the mail to confirm")
    server.client.post(link(mailbox.mails[0], "confirm"))
    good = {"title": "Slow", "text": "We look.", "mail": False}
    for change, said in (
        ({"title": " "}, "title"),
        ({"title": "x" * 121}, "120"),
        ({"text": "x" * 1001}, "1000"),
        ({"state": "bad"}, "investigating, identified, watching, resolved"),
        ({"parts": ["nope"]}, "nope"),
    ):
        refused = server.client.post(NOTICES, json=good | change)
        assert refused.status_code == 400, change
        assert said in refused.text, refused.text
    made = server.client.post(NOTICES, json=good | {"parts": ["mem"]}).json()
    assert made["updates"][0]["state"] == "investigating"
    added = server.client.post(
        f"{NOTICES}/{made['id']}/updates", json={"text": "Found.", "state": "identified", "mail": False}
    )
    assert [one["text"] for one in added.json()["updates"]] == ["Found.", "We look."]
    assert server.client.post(f"{NOTICES}/99/updates", json={"text": "x"}).status_code == 404
    for number in range(19):
        assert server.client.post(NOTICES, json=good | {"title": f"n{number}"}).status_code == 201
    assert "20 open notices" in server.client.post(NOTICES, json=good).text
    assert server.client.delete(f"{NOTICES}/{made['id']}").status_code == 204
    assert len(server.client.get(NOTICES).json()) == 19
    passes(clock, 30)
    assert len(mailbox.mails) == 1


def test_a_page_full_of_notices_is_small(start: Start) -> None:
    """The longest notices there can be leave the page and all that it loads under 50 kB."""
    checks = [CheckSettings(name=f"part {number}", kind="memory") for number in range(40)]
    server = start(health={"host_checks": False, "checks": checks}, alerts={"builtin_rules": False})
    for number in range(12):
        body = {"title": f"{number} " + "t" * 110, "text": "ö" * 1000, "parts": ["part 1", "part 2"]}
        made = server.client.post(NOTICES, json=body).json()["id"]
        for _ in range(3):
            state = "resolved" if number % 2 else "watching"
            server.client.post(f"{NOTICES}/{made}/updates", json={"text": "ü" * 1000, "state": state})
    page = server.client.get("/status")
    assert all(page.text.count(f"{number} ttt") for number in range(2, 12)), "five open, five past ones"
    assert "ü" * 1000 in page.text
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    raw = {path: len(server.client.get(path).content) for path in loaded}
    assert len(page.content) + sum(raw.values()) < 50_000, (len(page.content), raw)
