"""Rule files, the state machine over a back end whose answers the test sets, and templates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mamimon.alerts import rules
from mamimon.alerts.model import duration, show_duration
from mamimon.alerts.templates import Sample, TemplateError, expand
from mamimon.clock import ManualClock
from mamimon.metrics.model import QueryResult
from tests.alerts.conftest import Hook
from tests.conftest import ROOT, settled, wait_until


class Answers:
    """A series back end for the state machine alone; the engine has its own tests."""

    def __init__(self) -> None:
        self.now: dict[str, list[tuple[dict[str, str], float]]] = {}
        self.error: Exception | None = None
        self.asked = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self._sources: dict[str, list[tuple[dict[str, str], float]]] = {}

    @property
    def appended(self) -> list[tuple[dict[str, str], float]]:
        """The newest state of every source."""
        return [sample for samples in self._sources.values() for sample in samples]

    async def instant(self, expr: str, at: float | None = None, *, timeout_s: float | None = None) -> Any:
        self.loop = asyncio.get_running_loop()
        self.asked += 1
        if self.error:
            raise self.error
        found = self.now.get(expr, [])
        values = np.array([[value] for _, value in found], dtype=np.float64).reshape(len(found), 1)
        return QueryResult(
            kind="vector",
            times=np.array([0], dtype=np.int64),
            labels=[labels for labels, _ in found],
            values=values,
            present=np.ones((len(found), 1), dtype=np.bool_),
        )

    async def append(self, source: str, _: float, samples: Sequence[tuple[dict[str, str], float]]) -> None:
        self._sources[source] = list(samples)


RULES = """
groups:
  - name: demo
    interval: 10s
    rules:
      - record: job:x:sum
        expr: sum(x)
      - alert: XHigh
        expr: x > 5
        for: 30s
        keep_firing_for: 20s
        labels: {severity: critical}
        annotations:
          summary: "{{ $labels.job }} is at {{ $value | humanize }}"
"""


@pytest.fixture
def ruled(
    start: Callable[..., Any], clock: ManualClock, slack: Hook, tmp_path: Path
) -> Callable[[Answers], Any]:
    """A server with one rule file over `Answers`; again = a restart."""
    file = tmp_path / "rules.yml"
    file.write_text(RULES)

    def run(answers: Answers) -> Any:
        server = start(
            alerts={"rule_files": [str(file)], "builtin_rules": False, "slack_webhook_url": slack.url},
            # Samples make the engine look early; here only the tests do.
            metrics={"scrape_self": False},
        )
        room = next(room for room in server.server.house.rooms if room.name == "alerts")
        room.service.engine._backend = lambda: answers
        room.service.engine._append = answers.append
        settled(clock)
        return server

    return run


def tick(clock: ManualClock, answers: Answers, seconds: float) -> None:
    """Advance in steps of an interval and wait for the evaluation each brings."""
    for _ in range(int(seconds / 10)):
        asked = answers.asked
        clock.advance(10)
        wait_until(lambda asked=asked: answers.asked > asked, what="an evaluation")
        settled(clock)


def states(server: Any) -> list[str]:
    return [one["state"] for one in server.client.get("/api/v1/alerts").json()["data"]["alerts"]]


@pytest.mark.feature("A1")
def test_samples_that_come_right_after_a_look_are_not_left_for_the_next_turn(
    ruled: Callable[[Answers], Any], clock: ManualClock
) -> None:
    """What is scraped in the short gap after an early look is judged when the gap is over."""
    answers = Answers()
    server = ruled(answers)
    engine = next(room for room in server.server.house.rooms if room.name == "alerts").service.engine
    tick(clock, answers, 10)

    def samples_come() -> None:
        assert answers.loop is not None
        answers.loop.call_soon_threadsafe(engine.samples_came)

    asked = answers.asked
    samples_come()
    wait_until(lambda: answers.asked == asked + 1, what="the early look")
    settled(clock)
    answers.now = {"x > 5": [({"__name__": "x", "job": "chat"}, 9.0)]}
    samples_come()
    settled(clock)
    assert states(server) == [], "looks keep a distance"

    clock.advance(3)

    wait_until(lambda: states(server) == ["pending"], what="the look after the gap")


@pytest.mark.feature("A1")
def test_pending_firing_kept_resolved(
    ruled: Callable[[Answers], Any], clock: ManualClock, slack: Hook
) -> None:
    """A rule waits its `for`, fires with rendered annotations, outlives a dip, and resolves."""
    answers = Answers()
    server = ruled(answers)
    answers.now = {"x > 5": [({"__name__": "x", "job": "chat"}, 12345.0)], "sum(x)": [({}, 7.0)]}
    tick(clock, answers, 10)
    assert states(server) == ["pending"]
    assert ({"__name__": "job:x:sum"}, 7.0) in answers.appended
    tick(clock, answers, 20)
    assert states(server) == ["pending"]
    tick(clock, answers, 10)
    assert states(server) == ["firing"]
    labels = {"alertname": "XHigh", "job": "chat", "severity": "critical"}
    assert ({**labels, "__name__": "ALERTS", "alertstate": "firing"}, 1.0) in answers.appended
    tick(clock, answers, 10)
    wait_until(lambda: slack.posts)
    assert "chat is at 12.35k" in str(slack.posts[0])
    clock.advance(61)
    answers.now = {}
    tick(clock, answers, 10)
    assert states(server) == ["firing"], "keep_firing_for holds it"
    tick(clock, answers, 20)
    assert states(server) == []
    assert answers.appended == []
    tick(clock, answers, 60)
    wait_until(lambda: len(slack.posts) == 2)
    assert slack.posts[1]["text"].startswith("Resolved")


@pytest.mark.feature("A1")
def test_a_failing_query_resolves_nothing(ruled: Callable[[Answers], Any], clock: ManualClock) -> None:
    """While the back end fails the rule's health is err and the alert goes on firing."""
    answers = Answers()
    server = ruled(answers)
    answers.now = {"x > 5": [({"job": "chat"}, 9.0)]}
    tick(clock, answers, 50)
    answers.error = RuntimeError("the store is away")
    tick(clock, answers, 100)
    assert states(server) == ["firing"]
    group = server.client.get("/api/v1/rules?type=alert").json()["data"]["groups"][0]
    assert (group["rules"][0]["health"], group["rules"][0]["lastError"]) == ("err", "the store is away")
    assert group["rules"][0]["state"] == "firing"


@pytest.mark.feature("A1")
def test_states_survive_a_restart_and_a_sleep(ruled: Callable[[Answers], Any], clock: ManualClock) -> None:
    """Pending and firing go on where they were; an empty store after a start or sleep resolves nothing."""
    answers = Answers()
    server = ruled(answers)
    answers.now = {"x > 5": [({"job": "chat"}, 9.0)]}
    tick(clock, answers, 30)
    assert states(server) == ["pending"]
    server.stop()
    answers = Answers()
    answers.now = {"x > 5": [({"job": "chat"}, 9.0)]}
    server = ruled(answers)
    tick(clock, answers, 20)
    assert states(server) == ["firing"]
    server.stop()
    answers = Answers()
    server = ruled(answers)
    tick(clock, answers, 40)
    assert states(server) == ["firing"], "nothing was scraped yet"
    answers.now = {"x > 5": [({"job": "chat"}, 9.0)]}
    tick(clock, answers, 60)
    clock.jump(9 * 3600)
    answers.now = {}
    tick(clock, answers, 40)
    assert states(server) == ["firing"], "the machine has just woken"
    tick(clock, answers, 60)
    assert states(server) == []


def test_a_changed_rule_file_is_read_again(
    ruled: Callable[[Answers], Any], clock: ManualClock, tmp_path: Path
) -> None:
    """A new rule is evaluated without a restart; alerts of a deleted rule end."""
    answers = Answers()
    server = ruled(answers)
    answers.now = {"x > 5": [({"job": "chat"}, 9.0)]}
    tick(clock, answers, 50)
    assert states(server) == ["firing"]
    (tmp_path / "rules.yml").write_text(RULES.replace("XHigh", "Other").replace("x > 5", "x > 6"))
    done = server.client.post("/api/mamimon/alerts/reload").json()
    assert done == {"groups": 1, "errors": []}
    assert states(server) == []
    (tmp_path / "rules.yml").write_text("groups: [")
    done = server.client.post("/api/mamimon/alerts/reload").json()
    assert "rules.yml:2: not valid YAML" in done["errors"][0]
    assert done["groups"] == 1, "the former rules stay in use"


@pytest.mark.feature("A1")
def test_the_missions_file_and_the_built_in_rules_load() -> None:
    """The mission's alert_rules.yml is read as it is; the five built-in conditions exist."""
    document = (ROOT.parent / "shared" / "mission-document.tr.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "alert_rules.yml").read_text(encoding="utf-8")
    assert example.strip() in document
    loaded = rules.load_files([rules.BUILTIN, ROOT / "examples" / "alert_rules.yml"], 15.0, lambda _: None)
    assert loaded.errors == []
    built_in, mission = loaded.groups
    assert [(rule.name, rule.for_s) for rule in mission.rules] == [("HighErrorRate", 300.0)]
    assert mission.rules[0].annotations == {"summary": "Yüksek error rate"}
    text = " ".join(rule.expr for rule in built_in.rules)
    for part in (
        "> 0.05",
        "0.95",
        "> 5",
        "system_disk_usage_percent > 80",
        "system_memory_usage_percent > 90",
    ):
        assert part in text
    assert {rule.name: rule.for_s for rule in built_in.rules}.items() >= {
        "EndpointDown": 300.0,
        "CheckDown": 300.0,
    }.items()
    assert len({rule.name for rule in built_in.rules}) == len(built_in.rules)


@pytest.mark.feature("A1")
async def test_other_peoples_rule_files_load_and_render(material: Path) -> None:
    """Every rule of the collected files is read, and each of its texts renders without an error."""
    files = sorted((material / "alert-rules").rglob("*.yml"))
    loaded = rules.load_files(files, 60.0, lambda _: None)
    assert loaded.errors == []
    assert sum(len(group.rules) for group in loaded.groups) > 150
    for group in loaded.groups:
        for rule in group.rules:
            for text in (*rule.labels.values(), *rule.annotations.values()):
                shown = await expand(text, {"instance": "db:9100", "job": "db"}, 0.93)
                assert "{{" not in shown


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    fr: 5m", 6, "unknown field 'fr'"),
        ("groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    for: 5x", 6, "not a duration"),
        ("groups:\n- name: a\n  rules:\n  - alert: X", 4, "field 'expr' must be set"),
        ("groups:\n- name: a\n  rules:\n  - alert: X\n    record: y\n    expr: up", 4, "only one of"),
        (
            'groups:\n- name: a\n  rules:\n  - alert: X\n    expr: up\n    annotations: {s: "{{ if }}"}',
            6,
            "template of s",
        ),
        ("groups:\n- rules: []", 2, "groupname must not be empty"),
        ("nope: 1", 1, "unknown field 'nope'"),
        ("groups:\n- name: [", 3, "not valid YAML"),
    ],
)
def test_mistakes_have_a_line(text: str, line: int, says: str) -> None:
    """A mistake names its line, and the good rules beside it are used."""
    loaded = rules.load_text(text, "r.yml", 15.0, lambda _: None)
    assert (loaded.errors[0].file, loaded.errors[0].line) == ("r.yml", line)
    assert says in loaded.errors[0].message
    good = "\n  - alert: Good\n    expr: up\n"
    if line >= 4 and "rules:" in text:
        again = rules.load_text(text + good, "r.yml", 15.0, lambda _: None)
        assert [rule.name for rule in again.groups[0].rules] == ["Good"]


async def _query(expr: str) -> Sequence[Sample]:
    return [Sample({"a": "z"}, 3.0), Sample({"a": "b"}, 2.5)]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ $labels }}", "map[instance:h:9100 job:j]"),
        ("{{ $value }}", "1.234567e+06"),
        ('{{ $value | printf "%.2f" }} {{ printf "%.0f" $value }}', "1234567.00 1234567"),
        ("{{ $value | humanize }} {{ humanize1024 $value }}", "1.235M 1.177Mi"),
        ("{{ humanizeDuration $value }} {{ humanizeDuration 0.0123 }}", "14d 6h 56m 7s 12.3ms"),
        ("{{ 0.123456 | humanizePercentage }}", "12.35%"),
        ("{{ humanizeTimestamp $value }}", "1970-01-15 06:56:07 +0000 UTC"),
        ('{{ range query "up" | sortByLabel "a" }}{{ .Labels.a }}={{ .Value }};{{ end }}', "b=2.5;z=3;"),
        ('{{ with query "up" }}{{ . | first | value }}{{ end }}', "3"),
        ("{{ if gt $value 5.0 }}hi{{ else if eq $value 2.0 }}two{{ else }}lo{{ end }}", "hi"),
        ('{{ reReplaceAll "(.*):.*" "$1" $labels.instance }}', "h"),
        ('{{ "a b" | title | toUpper }}{{- /* none */ -}}  !', "A B!"),
        ('{{ if match "^h" $labels.instance }}yes{{ end }}', "yes"),
        ("{{ $externalLabels.region }}{{ $labels.nope }}", "eu"),
        ('{{ printf "%d %s %q %5.1f|%-4s|" 3 "a" "z" 2.25 "x" }}', '3 a "z"   2.2|x   |'),
    ],
)
async def test_templates_print_as_go_does(source: str, text: str) -> None:
    """The subset of Go's templates that rules use prints what Prometheus prints."""
    labels = {"instance": "h:9100", "job": "j"}
    shown = await expand(source, labels, 1234567.0, query=_query, external_labels={"region": "eu"})
    assert shown == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ range 100000000 }}x{{ end }}",
        '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}',
        '{{ printf "%999999999d" 1 }}{{ nope }}',
        "{{ $labels.__class__.__mro__ }}",
        "{{ .Labels.items.x }}",
        "{{ " + "(" * 200 + "1" + ")" * 200 + " }}",
        '{{ range query "a" }}{{ query .Labels.a }}{{ end }}{{ nope }}',
    ],
)
async def test_templates_are_bounded_and_sandboxed(source: str) -> None:
    """Endless, recursive, huge or prying templates end in a `TemplateError`, quickly."""
    began = time.monotonic()
    with pytest.raises(TemplateError):
        await expand(source, {"a": "b"}, 1.0, query=_query)
    assert time.monotonic() - began < 20


def test_durations_as_prometheus_writes_them() -> None:
    """Durations are read and written in Prometheus' form."""
    assert [duration(t) for t in ("1h30m", "15s", "500ms", "0", "1d", "2w")] == [
        5400.0,
        15.0,
        0.5,
        0.0,
        86400.0,
        1209600.0,
    ]
    assert [show_duration(s) for s in (5400, 0.5, 0, 90061)] == ["1h30m", "500ms", "0s", "1d1h1m1s"]
