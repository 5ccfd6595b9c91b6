"""The status page and who hears of outages: real mail, a real feed, real links."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from mamimon.clock import ManualClock
from mamimon.config_checks import CheckSettings
from mamimon.health.model import Change, history, outages, runs, uptime
from tests.alerts.conftest import Mailbox, step
from tests.conftest import Running, settled, wait_until
from tests.health.conftest import Web
from tests.health.test_checks import ran_again, watch
from tests.health.test_checks import settled as in_state

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("H3")
ATOM = {"a": "http://www.w3.org/2005/Atom"}
DAY = 86_400.0


def passes(clock: ManualClock, seconds: float) -> None:
    """Let time pass in steps of a status mail look, every loop asleep after each and for sure at the end."""
    asleep = settled(clock)
    step(clock, seconds, 15)
    wait_until(lambda: settled(clock) >= asleep, 60, "every loop at rest")


def subscribe(server: Running, email: str, language: str = "en") -> Any:
    return server.client.post(
        "/status/subscribe", data={"email": email}, headers={"Accept-Language": language}
    )


def link(mail: Any, what: str) -> str:
    found = re.search(rf"/status/{what}/[\w-]{{32}}", mail.get_content())
    assert found, mail.get_content()
    return found.group(0)


def test_a_person_subscribes_hears_of_an_outage_and_leaves(
    start: Start, clock: ManualClock, web: Web, mailbox: Mailbox
) -> None:
    """No mail before the link is confirmed by a button; then one for down, one for up, in the reader's
    language; one click of the mail program ends it."""
    check = CheckSettings(name="shop", kind="http", target=web.url, retries=0)
    server = start(
        health={"checks": [check], "host_checks": False},
        alerts={**mailbox.settings, "builtin_rules": False},
    )
    in_state(server, "shop", "up")
    for email, language in (
        ("ada@example.com", "en"),
        ("yilmaz@example.com", "tr"),
        ("no@example.com", "en"),
    ):
        assert subscribe(server, email, language).headers["location"] == "/status?asked=1#subscribe"
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 3, 60, "three mails to confirm")
    turkish = mailbox.to("yilmaz@example.com")[0]
    assert turkish["Subject"] == "Aboneliğinizi onaylayın"
    for email in ("ada@example.com", "yilmaz@example.com"):
        path = link(mailbox.to(email)[0], "confirm")
        page = server.client.get(path)
        assert page.status_code == 200
        assert f'action="{path}"' in page.text
        assert "You will get mail" in server.client.post(path, headers={"Accept-Language": "en"}).text
    mailbox.mails.clear()
    web.status = 500
    ran_again(server, clock, "shop")
    in_state(server, "shop", "down")
    passes(clock, 90)
    wait_until(lambda: len(mailbox.mails) == 2, 60, "mail about the outage")
    assert mailbox.to("ada@example.com")[0]["Subject"] == "shop is down"
    assert mailbox.to("yilmaz@example.com")[0]["Subject"] == "shop çalışmıyor"
    web.status = 200
    ran_again(server, clock, "shop")
    in_state(server, "shop", "up")
    passes(clock, 90)
    assert len(mailbox.mails) == 2, "at most one mail in ten minutes"
    passes(clock, 600)
    wait_until(lambda: len(mailbox.mails) == 4, 60, "mail about the end")
    last = mailbox.to("ada@example.com")[1]
    assert last["Subject"] == "shop is up again"
    assert last["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    leave = link(last, "unsubscribe")
    assert last["List-Unsubscribe"] == f"<{server.url}{leave}>"
    assert server.client.get(leave).status_code == 200
    one_click = server.client.post(leave, data={"List-Unsubscribe": "One-Click"})
    assert one_click.status_code == 200
    assert "no longer valid" in server.client.get(leave, headers={"Accept-Language": "en"}).text
    web.status = 500
    ran_again(server, clock, "shop")
    passes(clock, 720)
    wait_until(lambda: len(mailbox.mails) == 5, 60, "mail to the one who stayed")
    assert mailbox.mails[-1]["X-Envelope-To"] == "yilmaz@example.com"


def test_subscribing_is_bounded(start: Start, clock: ManualClock, mailbox: Mailbox) -> None:
    """One mail to an address in ten minutes, five askings of a client in an hour, no header smuggled in,
    and an answer that does not tell who has subscribed."""
    server = start(health={"host_checks": False}, alerts={**mailbox.settings, "builtin_rules": False})
    for bad in ("nobody", "a@b\r\nBcc: c@d.e", "a b@c.d", "@x.y", "x" * 250 + "@d.e", "a@b,c@d"):
        assert subscribe(server, bad).status_code == 400, bad
    first, second = subscribe(server, "ada@example.com"), subscribe(server, "ada@EXAMPLE.com")
    assert (first.status_code, first.text) == (second.status_code, second.text)
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 1, 60, "one mail")
    for number in range(3):
        assert subscribe(server, f"{number}@example.com").status_code == 303
    refused = subscribe(server, "more@example.com")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    passes(clock, 30)
    assert len(mailbox.mails) == 4
    unknown = "/status/confirm/" + "x" * 32
    assert server.client.post(unknown).status_code == 404
    assert "no longer valid" in server.client.get(unknown, headers={"Accept-Language": "en"}).text


def test_mail_waits_for_a_server_that_is_away(start: Start, clock: ManualClock, mailbox: Mailbox) -> None:
    """A refused mail is tried again later; the next start goes on with it."""
    mailbox.refuse.add("ada@example.com")
    alerts = {**mailbox.settings, "builtin_rules": False}
    server = start(health={"host_checks": False}, alerts=alerts)
    subscribe(server, "ada@example.com")
    subscribe(server, "bob@example.com")
    passes(clock, 15)
    wait_until(lambda: len(mailbox.mails) == 1, 60, "the other's mail")
    server.stop()
    mailbox.refuse.clear()
    start(health={"host_checks": False}, alerts=alerts)
    passes(clock, 90)
    wait_until(lambda: mailbox.to("ada@example.com"), 60, "the mail that waited")


def test_without_mail_there_is_the_feed(start: Start, clock: ManualClock, web: Web) -> None:
    """The Atom feed has an entry an outage, whose id stays when it ends; the page leads to it."""
    web.status = 500
    server = watch(start, CheckSettings(name="shop & co", kind="http", target=web.url, retries=0))
    down = in_state(server, "shop & co", "down")
    page = server.client.get("/status", headers={"Accept-Language": "en"}).text
    assert 'href="/status/feed.atom"' in page
    assert 'name="email"' not in page
    assert subscribe(server, "ada@example.com").status_code == 503

    def entries() -> list[ET.Element]:
        answer = server.client.get("/status/feed.atom", headers={"Accept-Language": "en"})
        assert answer.headers["content-type"].startswith("application/atom+xml")
        return ET.fromstring(answer.content).findall("a:entry", ATOM)

    one = entries()[0]
    assert one.findtext("a:title", "", ATOM) == "shop & co is down"
    began = dt.datetime.fromtimestamp(down["since"], dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert one.findtext("a:published", "", ATOM) == began
    web.status = 200
    ran_again(server, clock, "shop & co")
    (same,) = entries()
    assert same.findtext("a:title", "", ATOM) == "shop & co was down"
    assert same.findtext("a:id", "", ATOM) == one.findtext("a:id", "", ATOM)
    assert "down for 30 s" in server.client.get("/status", headers={"Accept-Language": "en"}).text


def test_a_private_page_shows_nothing_and_a_public_one_only_itself(start: Start, mailbox: Mailbox) -> None:
    """With accounts the page, its feed and subscriptions need a sign-in unless it is public."""
    for public in (False, True):
        server = start(
            health={"host_checks": False, "public_status_page": public},
            alerts={**mailbox.settings, "builtin_rules": False},
        )
        if not public:
            made = server.client.post(
                "/api/mamimon/users", json={"name": "ada", "password": "correct horse", "role": "admin"}
            )
            assert made.status_code == 201, made.text
        server.client.cookies.clear()
        expected = 200 if public else 401
        assert server.client.get("/status").status_code == expected
        assert server.client.get("/status/feed.atom").status_code == expected
        assert subscribe(server, "bob@example.com").status_code == (303 if public else 401)
        assert server.client.get("/status/confirm/" + "x" * 32).status_code == 200
        assert server.client.get("/checks").status_code == 401
        server.stop()


def test_the_whole_page_is_small(start: Start, clock: ManualClock, web: Web) -> None:
    """Forty parts with ninety days and all that the page loads are under 50 kB."""
    checks = [
        CheckSettings(
            name=f"part {number}", kind="tcp", target=web.url.removeprefix("http://"), interval_s=3600
        )
        for number in range(40)
    ]
    server = watch(start, *checks)
    in_state(server, "part 39", "up")
    page = server.client.get("/status")
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(loaded) >= 5
    sizes = {path: len(server.client.get(path).content) for path in loaded}
    assert len(page.content) + sum(sizes.values()) < 50_000, (len(page.content), sizes)


def test_days_outages_and_uptime() -> None:
    """A day counts by its worst known state; uptime is by known time, without unknown and maintenance."""
    changes = [
        Change(0.0, "up"),
        Change(1 * DAY, "down"),
        Change(1.5 * DAY, "unknown"),
        Change(1.75 * DAY, "down"),
        Change(2 * DAY, "up"),
        Change(3 * DAY, "maintenance"),
        Change(4 * DAY, "up"),
        Change(4.5 * DAY, "unknown"),
    ]
    cut = history(changes, 0.0, 5 * DAY, 5)
    assert [slot.state for slot in cut] == ["up", "down", "up", "maintenance", "up"]
    assert [slot.up for slot in cut] == [1.0, 0.0, 1.0, None, 1.0]
    assert uptime(cut) == pytest.approx((1 + 1 + 0.5) / (1 + 0.75 + 1 + 0.5))
    assert [(run.place, run.length) for run in runs(cut)] == [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]
    (one,) = outages("x", changes)
    assert (one.start, one.end) == (DAY, 2 * DAY)
