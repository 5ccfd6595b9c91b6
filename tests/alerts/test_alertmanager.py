"""Alertmanager's configuration and API v2, asked as amtool and Prometheus ask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.alerts import configuration
from mamimon.alerts.intervals import read
from mamimon.alerts.matchers import all_match, parse
from mamimon.alerts.model import Alert
from mamimon.alerts.silences import inhibitors
from mamimon.clock import ManualClock
from mamimon.config import AlertSettings, ConfigError
from mamimon.problems import Problem
from tests.alerts.conftest import Hook, step
from tests.alerts.test_life import forever, send
from tests.conftest import wait_until

API = "/alertmanager/api/v2"
CONFIG = """
route:
  receiver: everybody
  group_by: [alertname, cluster]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
  routes:
    - matchers: ['team="db"']
      receiver: db
      continue: true
    - match_re: {{service: "^(api|web)$"}}
      receiver: web
      mute_time_intervals: [nights]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [alertname, cluster]
time_intervals:
  - name: nights
    time_intervals:
      - times: [{{start_time: "22:00", end_time: "24:00"}}]
        location: Europe/Istanbul
receivers:
  - name: everybody
    webhook_configs: [{{url: "{url}/everybody"}}]
  - name: db
    webhook_configs: [{{url: "{url}/db"}}]
  - name: web
    webhook_configs: [{{url: "{url}/web"}}]
"""


def iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


@pytest.fixture
def routed(start: Callable[..., Any], clock: ManualClock, hook: Hook, tmp_path: Path) -> Any:
    """A server with an alertmanager.yml whose receivers post to `hook`; it is noon in Istanbul."""
    clock.jump(clock.now() // 86_400 * 86_400 + 9 * 3600 - clock.now())
    file = tmp_path / "alertmanager.yml"
    file.write_text(CONFIG.format(url=hook.url))
    return start(alerts={"alertmanager_config": str(file), "builtin_rules": False})


@pytest.mark.feature("A2")
def test_routes_groups_and_the_webhooks_json(routed: Any, clock: ManualClock, hook: Hook) -> None:
    """`continue` reaches two receivers; the body is Alertmanager's webhook, version 4."""
    send(
        routed,
        {"alertname": "Slow", "team": "db", "service": "api", "cluster": "a"},
        {"alertname": "Slow", "team": "db", "service": "api", "cluster": "a", "pod": "2"},
        endsAt=forever(clock),
    )
    step(clock, 15)
    wait_until(lambda: len(hook.posts) >= 2, what="both receivers")
    by_path = {path.rsplit("/", 1)[1]: post for path, post in zip(hook.paths, hook.posts, strict=True)}
    assert set(by_path) <= {"db", "web"}
    body = by_path["db"]
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "db")
    assert body["groupLabels"] == {"alertname": "Slow", "cluster": "a"}
    assert len(body["alerts"]) == 2
    assert body["commonLabels"] == {"alertname": "Slow", "team": "db", "service": "api", "cluster": "a"}
    groups = routed.client.get(f"{API}/alerts/groups", params={"receiver": "db"}).json()
    assert [len(group["alerts"]) for group in groups] == [2]


@pytest.mark.feature("A2")
@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-03-28T01:30:00+00:00", True),
        ("2026-03-29T00:30:00+00:00", False),
        ("2026-03-29T00:59:59+00:00", False),
        ("2026-03-29T01:00:00+00:00", False),  # 03:00 summer time: that night has no 02:30
        ("2026-03-30T00:30:00+00:00", True),
        ("2026-10-25T00:30:00+00:00", True),  # 02:30 summer time
        ("2026-10-25T01:30:00+00:00", True),  # 02:30 again
        ("2026-10-25T02:00:00+00:00", False),
    ],
)
def test_mute_times_follow_the_zones_clock_through_its_changes(at: str, inside: bool) -> None:
    """02:00 to 03:00 in Berlin is no time in spring's night of change and two hours in autumn's."""
    night = read({"times": [{"start_time": "02:00", "end_time": "03:00"}], "location": "Europe/Berlin"})
    assert night.contains(dt.datetime.fromisoformat(at).timestamp()) is inside


@pytest.mark.feature("A2")
def test_a_route_is_silent_in_its_mute_time(routed: Any, clock: ManualClock, hook: Hook) -> None:
    """At 23:00 in Istanbul the route with `mute_time_intervals: [nights]` tells nobody, the others do."""
    clock.jump(11 * 3600)
    send(
        routed,
        {"alertname": "Slow", "service": "web"},
        {"alertname": "Slow", "team": "db"},
        endsAt=forever(clock),
    )
    step(clock, 15)
    wait_until(lambda: hook.posts, what="the other receiver")
    assert {path.rsplit("/", 1)[1] for path in hook.paths} == {"db"}
    groups = routed.client.get(f"{API}/alerts/groups", params={"receiver": "web"}).json()
    assert [one["status"]["mutedBy"] for group in groups for one in group["alerts"]] == [["nights"]]


@pytest.mark.feature("A2")
def test_a_critical_alert_inhibits_the_warning(routed: Any, clock: ManualClock, hook: Hook) -> None:
    """The warning of the same name and cluster is not told and says which alert hides it."""
    send(
        routed,
        {"alertname": "Full", "cluster": "a", "severity": "critical"},
        {"alertname": "Full", "cluster": "a", "severity": "warning"},
        {"alertname": "Full", "cluster": "b", "severity": "warning"},
        endsAt=forever(clock),
    )
    step(clock, 15)
    wait_until(lambda: len(hook.posts) == 2)
    told = {(a["labels"]["cluster"], a["labels"]["severity"]) for post in hook.posts for a in post["alerts"]}
    assert told == {("a", "critical"), ("b", "warning")}
    hidden = routed.client.get(f"{API}/alerts", params={"active": "false"}).json()
    assert [one["labels"]["severity"] for one in hidden] == ["warning"]
    assert hidden[0]["status"]["state"] == "suppressed"
    assert len(hidden[0]["status"]["inhibitedBy"]) == 1


@pytest.mark.feature("A2")
def test_repeats_and_resolve_of_an_outside_alert(routed: Any, clock: ManualClock, hook: Hook) -> None:
    """A still firing alert is told again after repeat_interval; one that is not sent again resolves."""
    send(routed, {"alertname": "Old"}, endsAt=forever(clock))
    send(routed, {"alertname": "Gone"})
    step(clock, 15)
    wait_until(lambda: len(hook.posts) == 2)
    step(clock, 420, 20)
    wait_until(lambda: len(hook.posts) == 3, what="the end of what was not sent again")
    assert (hook.posts[2]["status"], hook.posts[2]["alerts"][0]["labels"]["alertname"]) == (
        "resolved",
        "Gone",
    )
    step(clock, 3300, 60)
    wait_until(lambda: len(hook.posts) == 4, what="the repeat")
    assert hook.posts[3]["alerts"][0]["labels"]["alertname"] == "Old"
    step(clock, 600, 60)
    assert len(hook.posts) == 4


@pytest.mark.feature("A2")
def test_silences_as_amtool_uses_them(routed: Any, clock: ManualClock) -> None:
    """Add, query by filter, update, expire; mistakes are JSON strings with 400 and 404."""
    body = {
        "matchers": [{"name": "alertname", "value": "X.*", "isRegex": True, "isEqual": True}],
        "startsAt": iso(clock.now()),
        "endsAt": iso(clock.now() + 3600),
        "createdBy": "ada",
        "comment": "known",
    }
    made = routed.client.post(f"{API}/silences", json=body).json()["silenceID"]
    assert routed.client.get(f"{API}/silence/{made}").json()["status"] == {"state": "active"}
    longer = {**body, "id": made, "endsAt": iso(clock.now() + 7200)}
    assert routed.client.post(f"{API}/silences", json=longer).json()["silenceID"] == made
    other = {**longer, "matchers": [{"name": "a", "value": "b", "isRegex": False}]}
    second = routed.client.post(f"{API}/silences", json=other).json()["silenceID"]
    assert second != made
    shown = routed.client.get(f"{API}/silences", params={"expired": "false"}).json()
    assert [one["id"] for one in shown] == [second]
    found = routed.client.get(f"{API}/silences", params={"filter": 'a="b"'}).json()
    assert [one["id"] for one in found] == [second]
    assert routed.client.delete(f"{API}/silence/{second}").status_code == 200
    assert routed.client.get(f"{API}/silence/{second}").json()["status"] == {"state": "expired"}
    for bad in (
        {**body, "matchers": []},
        {**body, "matchers": [{"name": "a", "value": ".*", "isRegex": True}]},
        {**body, "matchers": [{"name": "a", "value": "(", "isRegex": True}]},
        {**body, "endsAt": iso(clock.now() - 5)},
        {"nonsense": 1},
    ):
        answer = routed.client.post(f"{API}/silences", json=bad)
        assert (answer.status_code, type(answer.json())) == (400, str)
    assert routed.client.get(f"{API}/silence/nope").status_code == 404


@pytest.mark.feature("A2")
def test_alert_filters_status_and_receivers(routed: Any, clock: ManualClock) -> None:
    """`filter`, `receiver` and the state switches narrow; a bad alert in a batch fails alone."""
    send(routed, {"alertname": "A", "x": "1"}, {"alertname": "B", "team": "db"}, endsAt=forever(clock))
    names = lambda **params: [  # noqa: E731 - one line reads best here
        a["labels"]["alertname"] for a in routed.client.get(f"{API}/alerts", params=params).json()
    ]
    assert sorted(names()) == ["A", "B"]
    assert names(filter='alertname=~"A|C"') == ["A"]
    assert names(receiver="d.") == ["B"]
    assert names(active="false") == []
    status = routed.client.get(f"{API}/status").json()
    assert status["cluster"]["status"] == "disabled"
    assert "receiver: everybody" in status["config"]["original"]
    assert "secretpart" not in status["config"]["original"]
    receivers = routed.client.get(f"{API}/receivers").json()
    assert [one["name"] for one in receivers] == ["everybody", "db", "web"]
    answer = routed.client.post(
        f"{API}/alerts", json=[{"labels": {}}, {"labels": {"alertname": "C"}, "endsAt": forever(clock)}]
    )
    assert (answer.status_code, answer.json()) == (400, "at least one label pair required")
    assert "C" in names()
    assert routed.client.post(f"{API}/alerts", content=b"{").status_code == 400
    assert routed.client.get("/alertmanager/-/healthy").text == "OK"


@pytest.mark.feature("A2")
def test_other_peoples_configurations(material: Path) -> None:
    """Alertmanager's own examples load; broken ones name their line."""
    for name in ("conf.good.yml", "conf.group-by-all.yml", "conf.empty-fields.yml"):
        configuration.load(material / "alertmanager/config/testdata" / name, AlertSettings())
    routing = configuration.load(material / "alertmanager/doc/examples/simple.yml", AlertSettings())
    for labels, receivers in (
        ({"service": "foo1"}, ["team-X-mails"]),
        ({"service": "foo2", "severity": "critical"}, ["team-X-pager"]),
        ({"service": "files"}, ["team-Y-mails"]),
        ({"service": "database", "owner": "team-Y"}, ["team-Y-pager"]),
        ({"service": "database", "owner": "nobody"}, ["team-DB-pager"]),
        ({}, ["team-X-mails"]),
    ):
        assert [route.receiver for route in routing.route.match(labels)] == receivers
    with pytest.raises(ConfigError, match=r"conf.opsgenie-no-apikey.yml:\d+: no global OpsGenie"):
        configuration.load(
            material / "alertmanager/config/testdata/conf.opsgenie-no-apikey.yml", AlertSettings()
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("receivers: []", "no routes provided"),
        ("route: {receiver: x}\nreceivers: []", "undefined receiver 'x'"),
        ("route: {receiver: x, group_wait: 5x}\nreceivers: [{name: x}]", "not a duration"),
        ("route: {receiver: x, nope: 1}\nreceivers: [{name: x}]", "unknown field 'nope'"),
        ("route: {receiver: x}\nreceivers: [{name: x}, {name: x}]", "not unique"),
        ("route: {receiver: x, routes: [{matchers: ['a=~\"(\"']}]}\nreceivers: [{name: x}]", "bad regular"),
        ("route: {receiver: x, mute_time_intervals: [n]}\nreceivers: [{name: x}]", "undefined time interval"),
        ("[", "not valid YAML"),
    ],
)
def test_a_broken_configuration_says_where(text: str, says: str) -> None:
    """Mistakes in alertmanager.yml stop the start with file, line and reason."""
    with pytest.raises(ConfigError, match=r"alertmanager.yml:\d+: ") as caught:
        configuration.read(text, AlertSettings())
    assert says in str(caught.value)


def test_matchers_as_alertmanager_writes_them() -> None:
    """Quotes, escapes, braces, regexes on the whole value, absent labels as empty."""
    assert [str(one) for one in parse(r'{a="x,\"y", b!~"c|d" , e=f}')] == [
        r'a="x,\"y"',
        'b!~"c|d"',
        'e="f"',
    ]
    assert all_match(parse('a=~"b.", c=""'), {"a": "bx"})
    assert not all_match(parse('a=~"b"'), {"a": "bx"})
    assert not all_match(parse('a!=""'), {})
    for bad in ("", "a", 'a=~"("', 'a="b" c="d"', "=x"):
        with pytest.raises(Problem):
            parse(bad)


def test_time_intervals_know_zones_weekdays_and_month_ends() -> None:
    """22:00–24:00 in Istanbul, weekends, the last three days of a month."""
    at = lambda text: dt.datetime.fromisoformat(text).timestamp()  # noqa: E731
    night = read({"times": [{"start_time": "22:00", "end_time": "24:00"}], "location": "Europe/Istanbul"})
    assert night.contains(at("2026-11-24T19:30:00+00:00"))
    assert not night.contains(at("2026-11-24T21:30:00+00:00"))
    weekend = read({"weekdays": ["saturday:sunday"]})
    assert weekend.contains(at("2026-11-28T12:00:00+00:00"))
    assert not weekend.contains(at("2026-11-27T12:00:00+00:00"))
    end = read({"days_of_month": ["-3:-1"], "months": ["february"]})
    assert end.contains(at("2026-02-26T12:00:00+00:00"))
    assert not end.contains(at("2026-02-25T12:00:00+00:00"))
    for bad in ({"weekdays": ["someday"]}, {"location": "Mars/Base"}, {"months": [13]}, {"nope": 1}):
        with pytest.raises(Problem):
            read(bad)


def test_an_alert_does_not_inhibit_itself() -> None:
    """An alert that is source and target at once stays visible."""
    routing = configuration.read(CONFIG.format(url="http://localhost/x"), AlertSettings())
    rule = routing.inhibitions[0]
    both = type(rule)(parse('alertname="A"'), parse('alertname="A"'), ())  # type: ignore[arg-type]
    alert = Alert(
        fingerprint="1", labels={"alertname": "A"}, annotations={}, starts_at=0, ends_at=None, updated_at=0
    )
    assert inhibitors(alert, [both], [alert]) == []
