"""Jobs that report by themselves, pinged by curl as cron does it."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mamimon.clock import ManualClock
from tests.conftest import Running, settled, wait_until

Start = Callable[..., Running]
pytestmark = pytest.mark.feature("H2")
QUIET: dict[str, Any] = {"host_checks": False}


def make(server: Running, name: str = "backup", period_s: float = 3600, grace_s: float = 600) -> str:
    body = {"name": name, "period_s": period_s, "grace_s": grace_s}
    answer = server.client.post("/api/mamimon/heartbeats", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ping_url"])


def curl(url: str, *arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "-m", "10", "-w", " %{http_code}", *arguments, url], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(server: Running, name: str = "backup") -> dict[str, Any]:
    rows = server.client.get("/api/mamimon/checks").json()
    return next(row for row in rows if row["name"] == name)


def later(server: Running, clock: ManualClock, seconds: float, state: str) -> dict[str, Any]:
    """Let time pass; the loop that looks must be asleep before, or it would miss the time, and after."""
    asleep = settled(clock)
    clock.advance(seconds)
    wait_until(lambda: settled(clock) >= asleep, what="every loop at rest")
    return dict(
        wait_until(
            lambda: (row := status(server))["state"] == state and row, 30, f"{state} after {seconds} s"
        )
    )


def test_silence_is_the_alarm(start: Start, clock: ManualClock) -> None:
    """A job that pinged is up, late it is degraded, after its grace down, and up with the next ping."""
    server = start(health=QUIET)
    url = make(server)
    assert (status(server)["state"], status(server)["message"]) == ("unknown", "waiting for the first ping")
    assert curl(url) == "OK 200"
    assert status(server)["state"] == "up"
    wait_until(lambda: clock.sleepers >= 1)
    clock.advance(3599)
    assert status(server)["state"] == "up"
    assert "late: last heard" in later(server, clock, 10, "degraded")["message"]
    later(server, clock, 601, "down")
    assert 'mamimon_check_up{kind="heartbeat",name="backup"} 0.0' in server.client.get("/metrics").text
    assert curl(url, "-X", "POST", "--data", "done") == "OK 200"
    assert status(server)["state"] == "up"


def test_start_fail_exit_codes_and_bodies(start: Start, clock: ManualClock) -> None:
    """/start measures the run, an exit code other than 0 and /fail are failures, and output is kept."""
    server = start(health=QUIET)
    url = make(server)
    curl(f"{url}/start")
    clock.advance(42)
    assert curl(f"{url}/0") == "OK 200"
    assert (status(server)["state"], status(server)["latency_s"]) == ("up", 42.0)
    assert curl(f"{url}/3", "--data-binary", "disk full\n" * 5000) == "OK 200"
    assert status(server)["message"] == "reported failure with exit code 3"
    curl(f"{url}/log", "--data", "just a note")
    assert status(server)["state"] == "down"
    curl(url)
    curl(f"{url}/fail", "-I")
    assert status(server)["state"] == "down"
    pings = server.client.get(f"/api/mamimon/heartbeats/{url.rsplit('/', 1)[1]}/pings").json()
    assert [ping["kind"] for ping in pings] == ["fail", "success", "log", "fail", "success", "start"]
    assert (pings[3]["exit_code"], len(pings[3]["body"])) == (3, 10_000)
    assert "curl" in pings[0]["source"]
    page = server.client.get(f"/checks/heartbeats/{url.rsplit('/', 1)[1]}", headers={"Accept-Language": "en"})
    assert page.text.count("<pre>disk full") == 1
    assert "fail 3" in page.text
    assert "42.00 s" in page.text
    assert server.client.get("/checks/heartbeats/none").status_code == 404


def test_what_is_not_there_is_told(start: Start) -> None:
    """An unknown id, an ending that is none, a name in use and a bad period are refused."""
    server = start(health=QUIET)
    url = make(server)
    assert curl(url.rsplit("/", 1)[0] + "/00000000-0000-0000-0000-000000000000").endswith(" 404")
    assert curl(f"{url}/256").endswith(" 404")
    assert curl(f"{url}/nonsense").endswith(" 404")
    post = server.client.post
    assert post("/api/mamimon/heartbeats", json={"name": "backup"}).status_code == 409
    assert post("/api/mamimon/heartbeats", json={"name": "x", "period_s": 0}).status_code == 400
    assert status(server)["state"] == "unknown"


def test_sleep_and_restart_forgive_lateness(start: Start, clock: ManualClock) -> None:
    """After nine hours asleep, or stopped, a job gets its grace anew before it is down."""
    server = start(health=QUIET)
    url = make(server)
    curl(url)
    wait_until(lambda: clock.sleepers >= 1)
    clock.jump(9 * 3600)
    later(server, clock, 5, "unknown")
    later(server, clock, 700, "down")
    curl(url)
    server.stop()
    clock.advance(9 * 3600)
    again = start(health=QUIET)
    assert status(again)["state"] == "up"
    wait_until(lambda: clock.sleepers >= 1)
    later(again, clock, 5, "degraded")
    later(again, clock, 700, "down")


def test_forms_of_the_page(start: Start) -> None:
    """The page makes a heartbeat, shows the line for the crontab, and removes it."""
    server = start(health=QUIET)
    form = {"name": "nightly <b>", "period": "60", "grace": "5"}
    made = server.client.post("/checks/heartbeats", data=form)
    one = server.client.get("/api/mamimon/heartbeats").json()[0]
    assert made.headers["location"] == f"/checks#h-{one['id']}"
    assert (one["period_s"], one["grace_s"]) == (3600.0, 300.0)
    page = server.client.get("/checks").text
    assert f"curl -fsS -m 10 --retry 5 {server.url}/ping/{one['id']}/$?" in page
    assert "nightly &lt;b&gt;" in page
    assert server.client.post("/checks/heartbeats/remove", data={"id": one["id"]}).status_code == 303
    assert server.client.get("/api/mamimon/heartbeats").json() == []
    bad = server.client.post("/checks/heartbeats", data={**form, "period": "often"})
    assert bad.status_code == 400


def test_one_click_makes_a_heartbeat(start: Start) -> None:
    """On the checks page one button makes a heartbeat of a day, an hour or a week; the name is optional."""
    server = start(health=QUIET)
    page = server.client.get("/checks").text
    assert page.count('name="every" value="86400"') == 1
    for every, grace_s in (("3600", 300), ("86400", 3600), ("604800", 25200)):
        form = {"name": "", "every": every, "period": "1440", "grace": "60", "schedule": "", "zone": ""}
        assert server.client.post("/checks/heartbeats", data=form).status_code == 303
        made = server.client.get("/api/mamimon/heartbeats").json()[-1]
        assert (made["period_s"], made["grace_s"]) == (float(every), grace_s)
    names = [one["name"] for one in server.client.get("/api/mamimon/heartbeats").json()]
    assert names == ["job 1", "job 2", "job 3"]


def test_a_job_that_starts_and_never_ends_is_down(start: Start, clock: ManualClock) -> None:
    """A run that has not ended a grace after its start is down although the next is not due yet."""
    server = start(health=QUIET)
    url = make(server)
    curl(url)
    curl(f"{url}/start")
    later(server, clock, 590, "up")
    row = later(server, clock, 20, "down")
    assert row["message"] == "started 610 s ago and has not ended"
    curl(f"{url}/0")
    assert status(server)["state"] == "up"


def test_runs_that_overlap_are_told_apart(start: Start, clock: ManualClock) -> None:
    """Each run that names itself by `rid` is measured from its own start."""
    server = start(health=QUIET)
    url = make(server)
    curl(f"{url}/start?rid=a")
    clock.advance(10)
    curl(f"{url}/start?rid=b")
    clock.advance(5)
    curl(f"{url}?rid=a")
    assert status(server)["latency_s"] == 15
    clock.advance(5)
    curl(f"{url}/0?rid=b")
    assert status(server)["latency_s"] == 10
    later(server, clock, 700, "up")


@pytest.mark.feature("H4")
def test_pings_that_could_not_be_stored_make_the_job_unknown(start: Start, clock: ManualClock) -> None:
    """While the disk is full a job's silence is ours: it is unknown, not down, and gets its grace anew."""
    server = start(health=QUIET)
    url = make(server)
    curl(url)
    core = server.server.house.core
    assert core is not None
    writable, core.writable = core.writable, lambda: False
    later(server, clock, 5000, "unknown")
    core.writable = writable
    later(server, clock, 500, "unknown")
    later(server, clock, 200, "down")


def test_a_job_is_expected_when_its_crontab_says(start: Start, clock: ManualClock) -> None:
    """At 03:00 in Berlin, also in the night that is an hour short: not before, and down after its grace."""
    berlin = ZoneInfo("Europe/Berlin")
    clock.jump(dt.datetime(2026, 3, 28, 3, 1, tzinfo=berlin).timestamp() - clock.now())
    server = start(health=QUIET)
    made = server.client.post(
        "/api/mamimon/heartbeats",
        json={"name": "backup", "schedule": "0 3 * * *", "zone": "Europe/Berlin", "grace_s": 600},
    ).json()
    curl(made["ping_url"])
    shown = server.client.get("/api/mamimon/heartbeats").json()[0]
    assert shown["due_at"] == dt.datetime(2026, 3, 29, 3, 0, tzinfo=berlin).timestamp()
    assert shown["due_at"] - clock.now() == 22 * 3600 + 59 * 60

    later(server, clock, 1, "up")
    later(server, clock, 22 * 3600 + 58 * 60 + 20, "up")
    later(server, clock, 60, "degraded")
    later(server, clock, 600, "down")
    page = server.client.get("/checks").text
    assert "0 3 * * *" in page and "(Europe/Berlin)" in page
    for bad in (
        {"schedule": "61 * * * *"},
        {"schedule": "0 0 31 2 *"},
        {"schedule": "0 3 * * *", "zone": "X/Y"},
    ):
        answer = server.client.post("/api/mamimon/heartbeats", json={"name": "x", **bad})
        assert answer.status_code == 400, bad
