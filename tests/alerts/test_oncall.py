"""The rota: turns, stand-ins, quiet hours, the page and the calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mamimon.alerts.oncall import rota as turns
from mamimon.alerts.oncall.model import Override, Quiet, Rota
from mamimon.clock import ManualClock
from mamimon.problems import Problem
from tests.alerts.conftest import Mailbox, step
from tests.alerts.test_life import forever, send
from tests.conftest import settled, wait_until

ADA, EFE = "ada@example.com", "efe@example.com"


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.feature("A4")
def test_turns_are_handed_over_by_the_clock_on_the_wall() -> None:
    """Weekly at 09:00 in Berlin, also in the weeks when the clock changes, and before the first day."""
    rota = Rota(people=[ADA, EFE], zone="Europe/Berlin", first_day="2026-03-23", handover="09:00")
    for moment, person in (
        ("2026-03-23T09:00", ADA),
        ("2026-03-30T08:59", ADA),  # the clock went forward on the 29th
        ("2026-03-30T09:00", EFE),
        ("2026-10-26T08:59", ADA),  # and back on the 25th
        ("2026-10-26T09:00", EFE),
        ("2026-03-23T08:59", EFE),
    ):
        assert turns.on_call(rota, [], at(moment)) == person, moment
    days = [round((turns.turn_start(rota, n + 1) - turns.turn_start(rota, n)) / 3600) for n in range(32)]
    assert sorted(set(days)) == [167, 168, 169]


@pytest.mark.feature("A4")
def test_a_stand_in_takes_a_part_of_a_turn() -> None:
    """The schedule has no gap and no overlap; of two stand-ins the later made wins."""
    rota = Rota(people=[ADA, EFE], zone="Europe/Istanbul", first_day="2026-11-23", period_days=7)
    start, end = (at(text, "Europe/Istanbul") for text in ("2026-11-25T18:00", "2026-11-26T09:00"))
    over = [Override(id=1, person=EFE, starts_at=start, ends_at=end)]
    found = turns.schedule(rota, over, at("2026-11-24T00:00"), at("2026-12-10T00:00"))
    assert [(one.person, one.override) for one in found] == [
        (ADA, False), (EFE, True), (ADA, False), (EFE, False), (ADA, False),
    ]  # fmt: skip
    assert all(a.ends_at == b.starts_at for a, b in pairwise(found))
    over.append(Override(id=2, person="boss@example.com", starts_at=start, ends_at=start + 3600))
    assert turns.on_call(rota, over, start + 60) == "boss@example.com"
    assert turns.order(rota, over, start + 60) == ["boss@example.com", ADA, EFE]


@pytest.mark.feature("A4")
@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-11-24T21:59", None),
        ("2026-11-24T22:00", "2026-11-25T07:30"),
        ("2026-11-25T07:29", "2026-11-25T07:30"),
        ("2026-11-25T07:30", None),
        ("2026-10-24T23:00", "2026-10-25T07:30"),  # that night has an hour more
        ("2026-03-29T02:30", "2026-03-29T07:30"),  # and this has no 02:30
    ],
)
def test_quiet_hours_over_midnight_and_changes_of_the_clock(moment: str, until: str | None) -> None:
    """Whoever sleeps is told in the morning, of critical things at once."""
    rota = Rota(
        people=[ADA], zone="Europe/Berlin", first_day="2026-01-05", quiet={ADA: Quiet("22:00", "07:30")}
    )
    expected = at(until) if until else None
    assert turns.quiet_until(rota, ADA, "warning", at(moment)) == expected
    assert turns.quiet_until(rota, ADA, "critical", at(moment)) is None
    assert turns.quiet_until(rota, EFE, "warning", at(moment)) is None


@pytest.mark.feature("A4")
def test_whose_turn_it_is_hears_first(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox
) -> None:
    """In Ada's week Ada is told, then Efe; after the handover it is Efe, over a restart too."""
    clock.jump(at("2026-11-25T12:00", "Europe/Istanbul") - clock.now())
    settings = {**mailbox.settings, "email_to": f"{EFE}, {ADA}", "builtin_rules": False}
    server = start(alerts=settings)
    rota = {"people": [ADA, EFE], "zone": "Europe/Istanbul", "first_day": "2026-11-23"}
    made = server.client.put("/api/mamimon/oncall", json=rota).json()
    assert made["now"]["person"] == ADA
    send(server, {"alertname": "A"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: mailbox.mails, what="the first mail")
    assert [one["X-Envelope-To"] for one in mailbox.mails] == [ADA]
    step(clock, 310)
    wait_until(lambda: len(mailbox.mails) == 2, what="the next person")
    assert mailbox.mails[1]["X-Envelope-To"] == EFE
    server.stop()
    clock.jump(at("2026-11-30T09:01", "Europe/Istanbul") - clock.now())
    server = start(alerts=settings)
    assert server.client.get("/api/mamimon/oncall").json()["now"]["person"] == EFE
    before = len(mailbox.mails)
    send(server, {"alertname": "B"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: [m for m in mailbox.mails[before:] if "B" in m["Subject"]], what="the second mail")
    (mail,) = (m for m in mailbox.mails[before:] if "B" in m["Subject"])
    assert mail["X-Envelope-To"] == EFE


@pytest.mark.feature("A4")
def test_who_sleeps_is_told_in_the_morning_and_of_critical_things_at_once(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox
) -> None:
    """A warning waits for 08:00, one that is over by then is never told, a critical alert rings."""
    clock.jump(at("2026-11-25T23:00", "Europe/Istanbul") - clock.now())
    server = start(alerts={**mailbox.settings, "email_to": ADA, "builtin_rules": False})
    rota = {
        "people": [ADA],
        "zone": "Europe/Istanbul",
        "first_day": "2026-11-23",
        "quiet": {ADA: {"start": "22:00", "end": "08:00"}},
    }
    assert server.client.put("/api/mamimon/oncall", json=rota).status_code == 200
    send(server, {"alertname": "Warm", "severity": "warning"}, endsAt=forever(clock))
    send(server, {"alertname": "Brief", "severity": "warning"}, endsAt=forever(clock))
    step(clock, 60)
    wait_until(lambda: len(server.client.get("/api/mamimon/incidents").json()) == 2, what="two incidents")

    def held(incident: int) -> bool:
        events = server.client.get(f"/api/mamimon/incidents/{incident}").json()["events"]
        return ("held", f"{ADA} has quiet hours") in [(one["kind"], one["text"]) for one in events]

    wait_until(lambda: held(1) and held(2), what="both held")
    assert not mailbox.mails
    send(server, {"alertname": "Burning", "severity": "critical"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: mailbox.mails, what="the critical mail")
    assert mailbox.mails[0]["Subject"].startswith("Firing: Burning")
    ended = dt.datetime.fromtimestamp(clock.now(), dt.UTC).isoformat()
    send(server, {"alertname": "Brief", "severity": "warning"}, endsAt=ended)
    step(clock, 120)
    clock.jump(at("2026-11-26T08:00", "Europe/Istanbul") - clock.now())
    step(clock, 60)
    wait_until(lambda: [m for m in mailbox.mails if "Warm" in m["Subject"]], what="the morning's mail")
    assert not [mail for mail in mailbox.mails if "Brief" in mail["Subject"]]


@pytest.mark.feature("A4")
def test_the_rota_is_made_on_its_page_and_read_by_a_calendar(
    start: Callable[..., Any], clock: ManualClock, browser: Any, mailbox: Mailbox
) -> None:
    """Clicked in Chromium: a rota, quiet hours, a stand-in; the calendar's address needs no session."""
    clock.jump(at("2026-11-25T12:00", "Europe/Istanbul") - clock.now())
    server = start(alerts={**mailbox.settings, "email_to": f"{EFE}, {ADA}"})
    page = browser.new_page()
    page.goto(f"{server.url}/settings/alerts")
    page.click("text=On call")
    page.fill("#o-people", f"{ADA}\n{EFE}")
    page.fill("#o-first", "2026-11-23")
    page.fill("#o-zone", "Europe/Istanbul")
    page.click("text=Save")
    page.wait_for_selector(f".pill.ok:has-text('{ADA}')")
    page.fill(f'[aria-label="Quiet from: {EFE}"]', "22:00")
    page.fill(f'[aria-label="Quiet until: {EFE}"]', "07:00")
    page.locator("form.quiet", has_text=EFE).locator("button").click()
    page.wait_for_load_state()
    page.fill("#s-person", EFE)
    page.click("text=Stand in >> nth=-1")
    page.wait_for_selector(f".pill.ok:has-text('{EFE}')")
    found = server.client.get("/api/mamimon/oncall").json()
    assert found["rota"]["quiet"] == {EFE: {"start": "22:00", "end": "07:00"}}
    assert found["now"]["override"]
    answer = server.client.get(found["calendar"].removeprefix(server.url))
    assert answer.headers["content-type"].startswith("text/calendar")
    lines = answer.text.split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR" and lines[-2] == "END:VCALENDAR"
    assert answer.text.count("BEGIN:VEVENT") == answer.text.count("END:VEVENT") > 10
    assert "DTSTART:20261130T060000Z" in lines
    assert server.client.get("/oncall/0123456789abcdef0123456789abcdef.ics").status_code == 404
    page.click("text=Take back")
    page.wait_for_selector(f".pill.ok:has-text('{ADA}')")
    page.close()


def test_a_rota_that_cannot_be_is_refused(server: Any) -> None:
    """An unknown zone, a day that is none, a doubled person and a stand-in in the past are 400."""
    good = {"people": [ADA], "first_day": "2026-11-23"}
    for bad in ({"zone": "Mars/Base"}, {"first_day": "2026-13-40"}, {"people": [ADA, ADA]}, {"people": []}):
        assert server.client.put("/api/mamimon/oncall", json={**good, **bad}).status_code == 400, bad
    body = {"person": ADA, "starts_at": 1.0, "ends_at": 2.0}
    assert server.client.post("/api/mamimon/oncall/overrides", json=body).status_code == 400
    assert server.client.put("/api/mamimon/oncall", json=good).status_code == 200
    assert server.client.post("/api/mamimon/oncall/overrides", json=body).status_code == 400
    with pytest.raises(Problem):
        turns.schedule(Rota(**good), [], 0, 500 * 86_400)  # type: ignore[arg-type]


@pytest.mark.feature("A3", "A4")
@pytest.mark.browser
def test_who_wants_to_hear_of_critical_alerts_only(
    start: Callable[..., Any], clock: ManualClock, browser: Any, mailbox: Mailbox
) -> None:
    """Set beside the quiet hours: a warning goes to the next person at once, a critical one does not."""
    server = start(alerts={**mailbox.settings, "email_to": f"{ADA}, {EFE}", "builtin_rules": False})
    rota = {"people": [ADA, EFE], "first_day": f"{dt.datetime.fromtimestamp(clock.now(), dt.UTC):%Y-%m-%d}"}
    clock.jump(86_400)
    assert server.client.put("/api/mamimon/oncall", json=rota).status_code == 200
    page = browser.new_page()
    page.goto(f"{server.url}/settings/oncall")
    page.select_option(f'[aria-label="Hears of: {ADA}"]', "critical")
    page.locator("form.quiet", has_text=ADA).locator("button").click()
    page.wait_for_load_state()
    assert page.input_value(f'[aria-label="Hears of: {ADA}"]') == "critical"
    page.close()
    settled(clock)
    send(server, {"alertname": "Warm", "severity": "warning"}, endsAt=forever(clock))
    step(clock, 20)
    wait_until(lambda: mailbox.to(EFE), what="the warning at the next person")
    assert not mailbox.to(ADA)
    incident = server.client.get("/api/mamimon/incidents").json()[0]["id"]
    events = server.client.get(f"/api/mamimon/incidents/{incident}").json()["events"]
    assert f"{ADA}: not told of warning" in [one["text"] for one in events]
    send(server, {"alertname": "Burning", "severity": "critical"}, endsAt=forever(clock))
    step(clock, 20)
    wait_until(lambda: mailbox.to(ADA), what="the critical mail")
    assert "Burning" in mailbox.to(ADA)[0]["Subject"]
    bad = server.client.post("/settings/oncall/quiet", data={"person": ADA, "least": "bad"})
    assert bad.status_code == 400


@pytest.mark.feature("A7", "D6")
def test_a_timeline_speaks_the_readers_language(
    start: Callable[..., Any], clock: ManualClock, mailbox: Mailbox
) -> None:
    """What was stored while nobody read it is Turkish on a Turkish page, and English for programs."""
    server = start(alerts={**mailbox.settings, "email_to": f"{ADA}, {EFE}", "builtin_rules": False})
    settled(clock)
    send(server, {"alertname": "Burning", "severity": "critical"}, endsAt=forever(clock))
    step(clock, 10)
    wait_until(lambda: mailbox.to(ADA), what="the first mail")
    step(clock, 320)
    wait_until(lambda: mailbox.to(EFE), what="the second mail")
    url = "/api/mamimon/incidents/1"
    for action, body in (
        ("acknowledge", {"by": "Ada", "note": "bakıyorum"}),
        ("assign", {"by": "Ada", "to": "Efe"}),
        ("resolve", {"by": "Efe"}),
    ):
        assert server.client.post(f"{url}/{action}", json=body).status_code == 200
    step(clock, 10)
    wait_until(lambda: len(mailbox.to(EFE)) == 2, what="the end by mail")
    over = f"{EFE} bittiğinden haberdar edildi"

    def page() -> str:
        text = server.client.get("/incidents/1", headers={"Accept-Language": "tr"}).text
        return text if over in text else ""

    turkish = wait_until(page, what="the last entry")
    for said in (
        f"{ADA} haberdar edildi",
        f"yanıt yok: {EFE} haberdar ediliyor",
        "API ile üstlendi: “bakıyorum”",
        "şuna verdi: Efe",
        "elle kapattı",
    ):
        assert said in turkish, said
    texts = [one["text"] for one in server.client.get(url).json()["events"]]
    assert "assigned to Efe" in texts
    assert f"no answer: escalated to {EFE}" in texts
