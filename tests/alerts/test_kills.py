"""The whole life of an alert, with the server killed (SIGKILL) between any two of its steps."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.alerts.conftest import App, Mailbox
from tests.conftest import wait_until

RULES = """
groups:
  - name: g
    rules:
      - alert: Loaded
        expr: load > 5
        for: 1m
        annotations: {summary: "load is {{ $value }}"}
"""


class Clocked:
    """The killable server; time goes on where it stopped."""

    def __init__(self, data_dir: Path, settings: dict[str, Any], now: float, zone: str) -> None:
        self._data_dir, self._settings, self._zone = data_dir, settings, zone
        self.now = now
        self.kills = -1
        self.start()

    def start(self) -> None:
        """Start it at the present of its own clock."""
        self.kills += 1
        self.popen = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("clocked.py")),
                str(self._data_dir),
                json.dumps(self._settings),
                str(self.now),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TZ": self._zone},
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().split()
        assert line[:1] == ["ready"], "the server did not start"
        self.url = line[1]
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def kill(self) -> None:
        """SIGKILL, and a start at the same instant."""
        self.client.close()
        self.popen.kill()
        self.popen.wait(20)
        self.start()

    def advance(self, seconds: float, size: float = 5.0) -> None:
        """Let time pass."""
        while seconds > 0:
            self._tell("advance", min(size, seconds))
            seconds -= size

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone."""
        self._tell("jump", seconds)

    def _tell(self, word: str, seconds: float) -> None:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(f"{word} {seconds}\n")
        self.popen.stdin.flush()
        self.now = float(self.popen.stdout.readline().split()[1])

    def states(self) -> list[str]:
        """States of the rules' alerts."""
        found = self.client.get("/api/v1/alerts").json()["data"]["alerts"]
        return [str(one["state"]) for one in found]

    def incidents(self) -> list[str]:
        """States of the incidents."""
        return [str(one["state"]) for one in self.client.get("/api/mamimon/incidents").json()]


@pytest.fixture
def clocked(tmp_path: Path, app: App, mailbox: Mailbox) -> Iterator[Callable[..., Clocked]]:
    """Start a killable server that scrapes `app`, watches its load and mails to `mailbox`."""
    running: list[Clocked] = []
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 15s, evaluation_interval: 15s}\n"
        "rule_files: [rules.yml]\n"
        "scrape_configs:\n- job_name: chat\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{app.server.server_port}']}}]\n"
    )
    settings = {
        "metrics": {"prometheus_config": str(tmp_path / "prometheus.yml"), "scrape_self": False},
        "alerts": {
            **mailbox.settings,
            "email_to": "efe@example.com, ada@example.com",
            "builtin_rules": False,
            "unacknowledged_timeout_s": 300.0,
        },
    }

    def run(now: float | None = None, zone: str = "UTC") -> Clocked:
        at = float(int(time.time())) if now is None else now
        running.append(Clocked(tmp_path / f"data-{len(running)}", settings, at, zone))
        return running[-1]

    yield run
    for one in running:
        one.client.close()
        one.popen.kill()
        one.popen.wait(20)


def life(server: Clocked, app: App, mailbox: Mailbox, between: Callable[[str], None]) -> None:
    """pending → firing → mail → nobody answers → the next is told → acknowledged by the link → resolved."""
    server.advance(30)
    between("before anything")
    app.load = 9.0
    for _ in range(4):
        server.advance(15)
        if server.states():
            break
    assert server.states() == ["pending"]
    between("pending")
    # An hour at most: a clock that was set back has to pass its newest samples.
    while server.states() == ["pending"]:
        server.advance(5)
    assert server.states() == ["firing"]
    between("firing")
    server.advance(30)
    wait_until(lambda: mailbox.to("efe@example.com"), what="mail to the first")
    between("the first was told")
    assert not mailbox.to("ada@example.com")
    for _ in range(23):
        if mailbox.to("ada@example.com"):
            break
        server.advance(15)
        wait_until(lambda: pending(server) == 0, what="deliveries at rest")
    assert mailbox.to("ada@example.com"), "345 s and the second person was not told"
    between("the second was told")
    text = mailbox.to("ada@example.com")[0].get_body(("plain",)).get_content()
    found = re.search(r"http://[\d.:]+(/ack/\S+)", text)
    assert found is not None
    assert server.client.post(found[1]).status_code == 200
    assert server.incidents() == ["acknowledged"]
    between("acknowledged")
    server.advance(700)
    assert server.incidents() == ["acknowledged"]
    app.load = 1.0
    for _ in range(400):
        server.advance(15)
        if server.incidents() == ["resolved"]:
            break
    assert server.incidents() == ["resolved"]
    between("resolved")
    server.advance(90)
    wait_until(lambda: len(mailbox.mails) >= 4, what="both hear the end")


def told(mailbox: Mailbox) -> Counter[tuple[str, str]]:
    """How often each address got each kind of message."""
    return Counter((mail["X-Envelope-To"], mail["X-Mamimon"]) for mail in mailbox.mails)


EVERYTHING_ONCE = {
    ("efe@example.com", "firing"): 1,
    ("ada@example.com", "escalation"): 1,
    ("efe@example.com", "resolved"): 1,
    ("ada@example.com", "resolved"): 1,
}


@pytest.mark.feature("A4")
def test_a_kill_between_any_two_steps_neither_loses_nor_repeats_a_message(
    clocked: Callable[..., Clocked], app: App, mailbox: Mailbox
) -> None:
    """Killed and started again after each of the seven steps, everybody is told each thing exactly once."""
    server = clocked()

    def between(step: str) -> None:
        # What was sent is recorded before the kill: a kill between the two is the test after this one.
        wait_until(lambda: pending(server) == 0, what=f"deliveries at rest: {step}")
        server.kill()

    life(server, app, mailbox, between)
    wait_until(lambda: pending(server) == 0, what="deliveries at rest")
    assert server.kills == 7
    assert told(mailbox) == EVERYTHING_ONCE


@pytest.mark.feature("A4")
def test_a_kill_in_the_middle_of_sending_sends_again(
    clocked: Callable[..., Clocked], app: App, mailbox: Mailbox
) -> None:
    """Killed before the mail server's answer is known, the message is sent again after the start."""
    server = clocked()
    app.load = 9.0
    mailbox.slow_s = 1.0
    while server.states() != ["firing"]:
        server.advance(5)
    server.advance(5)
    server.advance(5)
    wait_until(lambda: mailbox.begun, what="a mail on its way")
    server.kill()
    mailbox.slow_s = 0.0
    server.advance(10)
    wait_until(lambda: ("efe@example.com", "firing") in told(mailbox), what="the mail")
    wait_until(lambda: pending(server) == 0, what="deliveries at rest")
    server.advance(60)
    assert 1 <= told(mailbox)[("efe@example.com", "firing")] <= 2


def pending(server: Clocked) -> int:
    """Notifications that are not sent yet."""
    found = server.client.get("/api/mamimon/alerts/notifications").json()
    return sum(1 for one in found if one["status"] == "pending")


@pytest.mark.slow
@pytest.mark.feature("A4")
@pytest.mark.parametrize("at", ["pending", "firing", "the first was told", "acknowledged"])
@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_a_clock_that_jumps_an_hour_neither_misses_nor_doubles_a_step(
    clocked: Callable[..., Clocked], app: App, mailbox: Mailbox, at: str, seconds: float
) -> None:
    """After the wall clock is set an hour forward or back, each step comes in its time and once."""
    server = clocked()

    def between(step: str) -> None:
        if step == at:
            server.jump(seconds)

    life(server, app, mailbox, between)
    wait_until(lambda: pending(server) == 0, what="deliveries at rest")
    assert told(mailbox) == EVERYTHING_ONCE, server.client.get("/api/mamimon/alerts/notifications").text


@pytest.mark.feature("H4")
def test_nine_hours_asleep_wake_the_next_person_once_and_late(
    clocked: Callable[..., Clocked], app: App, mailbox: Mailbox
) -> None:
    """A laptop that slept after the first mail tells the second person once, and says how late it is."""
    server = clocked()

    def between(step: str) -> None:
        if step == "the first was told":
            server.jump(9 * 3600)

    life(server, app, mailbox, between)
    # The first person is reminded as well: `repeat_interval`, four hours, is over.
    assert told(mailbox) == {**EVERYTHING_ONCE, ("efe@example.com", "firing"): 2}
    (mail,) = (one for one in mailbox.to("ada@example.com") if one["X-Mamimon"] == "escalation")
    assert "minutes late" in mail.get_body(("plain",)).get_content()


@pytest.mark.slow
@pytest.mark.feature("A4")
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00:00+00:00"),
        ("Europe/Berlin", "2026-10-25T01:00:00+00:00"),
        # The last time that Istanbul's clocks went back, two weeks after the rest of Europe.
        ("Europe/Istanbul", "2015-11-08T01:00:00+00:00"),
    ],
)
def test_a_night_when_clocks_are_changed_neither_misses_nor_doubles_a_step(
    clocked: Callable[..., Clocked], app: App, mailbox: Mailbox, zone: str, change: str
) -> None:
    """On a machine of that zone the change falls between the first mail and the second person's."""
    changes_at = dt.datetime.fromisoformat(change).timestamp()
    server = clocked(changes_at - 240, zone)
    seen: dict[str, float] = {}
    life(server, app, mailbox, lambda step: seen.update({step: server.now}))
    wait_until(lambda: pending(server) == 0, what="deliveries at rest")
    assert seen["the first was told"] < changes_at < seen["the second was told"], seen
    assert told(mailbox) == EVERYTHING_ONCE
