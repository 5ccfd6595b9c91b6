"""Rule groups over time and `/api/v1/rules`, as Prometheus has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamimon.clock import ManualClock
from tests.alerts.conftest import step
from tests.conftest import wait_until

RULES = """\
groups:
  - name: chain
    interval: 15s
    rules:
      - {record: one, expr: vector(1)}
      - {record: two, expr: one+one, labels: {kind: sum}}
  - name: late
    query_offset: 1m
    rules:
      - {record: late, expr: vector(time())}
  - name: alerts
    interval: 15s
    limit: 2
    rules:
      - alert: Held
        expr: switch == 1
        for: 30s
        keep_firing_for: 1m
        labels: {severity: page, team: a}
        annotations: {summary: "{{ $value }}"}
      - alert: TooMany
        expr: >
          vector(2) or label_replace(vector(1), "a", "1", "", "")
          or label_replace(vector(1), "a", "2", "", "")
"""


@pytest.fixture
def server(start: Callable[..., Any], tmp_path: Path) -> Any:
    """A server with those rules and an evaluation interval of its own."""
    (tmp_path / "rules.yml").write_text(RULES)
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {evaluation_interval: 20s, rule_query_offset: 5s}\nrule_files: [rules.yml]\n")
    return start(
        metrics={"prometheus_config": str(config), "scrape_self": False}, alerts={"builtin_rules": False}
    )


def groups(server: Any, **params: Any) -> Any:
    """The answer's data."""
    answer = server.client.get("/api/v1/rules", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def query(server: Any, text: str, at: float) -> list[Any]:
    """An instant query's result."""
    params = {"query": text, "time": at}
    return list(server.client.get("/api/v1/query", params=params).json()["data"]["result"])


@pytest.mark.feature("M7")
def test_a_rule_reads_what_one_above_it_recorded(server: Any, clock: ManualClock) -> None:
    """Within one evaluation; labels of the rule are set, and samples have the evaluation's time."""
    step(clock, 16, 1)
    found = wait_until(lambda: query(server, "two", clock.now()), what="the second recording")
    assert found[0]["metric"] == {"__name__": "two", "kind": "sum"}
    assert found[0]["value"][1] == "2"
    stamps = [
        query(server, f"timestamp({name})", clock.now())[0]["value"][1] for name in ("one", 'two{kind="sum"}')
    ]
    assert stamps[0] == stamps[1]


@pytest.mark.feature("M7")
def test_query_offset(server: Any, clock: ManualClock) -> None:
    """An offset group asks about an earlier instant and its samples have that instant's time."""
    step(clock, 21, 1)
    (found,) = wait_until(lambda: query(server, "late", clock.now()), what="the recording")
    (stamp,) = query(server, "timestamp(late)", clock.now())
    assert found["value"][1] == stamp["value"][1]
    evaluated = next(one for one in groups(server)["groups"] if one["name"] == "late")
    assert 60 <= clock.now() - float(stamp["value"][1]) <= 81
    assert evaluated["interval"] == 20, "the file's evaluation_interval"


@pytest.mark.feature("M7")
def test_states_keep_firing_and_limit(server: Any, clock: ManualClock, start: Callable[..., Any]) -> None:
    """Pending, firing, kept firing after the cause is gone, then over; a group beyond its limit fails."""

    def push(value: int) -> None:
        body = f"switch {value}\n"
        assert server.client.put("/metrics/job/test", content=body).status_code == 200

    def held() -> dict[str, Any]:
        found = groups(server, **{"rule_name[]": "Held"})["groups"]
        return dict(found[0]["rules"][0])

    push(1)
    step(clock, 16, 1)
    wait_until(lambda: held()["state"] == "pending", what="pending")
    step(clock, 75, 5)
    wait_until(lambda: held()["state"] == "firing", what="firing")
    rule = held()
    assert (rule["duration"], rule["keepFiringFor"], rule["query"]) == (30, 60, "switch == 1")
    (alert,) = rule["alerts"]
    assert alert["value"] == "1e+00"
    assert alert["labels"] == {"alertname": "Held", "job": "test", "severity": "page", "team": "a"}
    assert "keepFiringSince" not in alert
    push(0)
    step(clock, 30, 5)
    wait_until(lambda: "keepFiringSince" in (held()["alerts"] or [{}])[0], what="kept firing")
    assert held()["state"] == "firing"
    step(clock, 90, 5)
    wait_until(lambda: held()["state"] == "inactive", what="over")
    (failing,) = groups(server, **{"rule_name[]": "TooMany"})["groups"][0]["rules"]
    assert failing["health"] == "err"
    assert failing["lastError"] == "exceeded limit of 2 with 3 alerts"


@pytest.mark.feature("M7")
def test_filters_and_pages(server: Any) -> None:
    """By kind, name, group, file and label; in pages by token; without alerts where they are not wanted."""

    def names(**params: Any) -> list[str]:
        return [rule["name"] for group in groups(server, **params)["groups"] for rule in group["rules"]]

    assert names() == ["Held", "TooMany", "one", "two", "late"], "groups by name, as Prometheus sorts them"
    assert names(type="record") == ["one", "two", "late"]
    assert names(type="alert", **{"match[]": '{team="a"}'}) == ["Held"]
    assert names(**{"rule_name[]": ["one", "Held"]}) == ["Held", "one"]
    assert names(**{"rule_group[]": "late"}) == ["late"]
    assert names(**{"file[]": "/nowhere"}) == []
    assert names(**{"match[]": '{kind=~"s.*"}'}) == ["two"]
    first = groups(server, group_limit=2)
    assert [group["name"] for group in first["groups"]] == ["alerts", "chain"]
    rest = groups(server, group_limit=2, group_next_token=first["groupNextToken"])
    assert [group["name"] for group in rest["groups"]] == ["late"]
    assert "groupNextToken" not in rest
    bare = groups(server, exclude_alerts="true", type="alert")["groups"][0]["rules"]
    assert all(rule["alerts"] is None for rule in bare)
    assert all(rule["alerts"] == [] for rule in groups(server, type="alert")["groups"][0]["rules"])


@pytest.mark.feature("M7")
def test_bad_filters_in_prometheus_words(server: Any) -> None:
    """The sentences that Prometheus 3.14 answers."""
    for params, reason in (
        ({"type": "x"}, 'invalid parameter "type": not supported value "x"'),
        (
            {"exclude_alerts": "x"},
            'invalid parameter "exclude_alerts": error converting exclude_alerts: '
            'strconv.ParseBool: parsing "x": invalid syntax',
        ),
        (
            {"group_limit": "x"},
            'invalid parameter "group_limit": group_limit needs to be a valid number: '
            'strconv.ParseInt: parsing "x": invalid syntax',
        ),
        ({"group_limit": "0"}, 'invalid parameter "group_limit": group_limit needs to be greater than 0'),
        (
            {"group_next_token": "x"},
            'invalid parameter "group_next_token": group_limit needs to be present in order to paginate '
            "over the groups",
        ),
        (
            {"group_next_token": "x", "group_limit": "1"},
            "invalid parameter \"group_next_token\": invalid group_next_token 'x'. were rule groups changed?",
        ),
        ({"match[]": "{"}, "parse error"),
    ):
        answer = server.client.get("/api/v1/rules", params=params)
        assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data"), params
        assert reason in answer.json()["error"], params


@pytest.mark.feature("M7")
def test_a_rule_that_is_taken_out_ends_its_series(server: Any, clock: ManualClock, tmp_path: Path) -> None:
    """After a change of the file on disk: the new rule records, the old one's series has ended."""
    step(clock, 16, 1)
    wait_until(lambda: query(server, "two", clock.now()), what="the recording")
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: chain, interval: 15s, rules: [{record: three, expr: vector(3)}]}]\n"
    )
    step(clock, 60, 5)
    wait_until(lambda: query(server, "three", clock.now()), what="the new rule")
    assert query(server, "two", clock.now()) == []
    assert [group["name"] for group in groups(server)["groups"]] == ["chain"]


@pytest.mark.feature("M7")
def test_rules_are_read_again_when_asked(server: Any, tmp_path: Path) -> None:
    """POST /-/reload reads the rule files as well, at once; a broken one keeps its former rules."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: new, rules: [{record: three, expr: vector(3)}]}]\n")
    assert server.client.post("/-/reload").status_code == 200
    assert [group["name"] for group in groups(server)["groups"]] == ["new"]
    rules.write_text("groups: [{name: broken, rules: [{record: four, expr: 'vector('}]}]\n")
    server.client.post("/-/reload")
    assert [group["name"] for group in groups(server)["groups"]] == ["new"]


@pytest.mark.feature("M7")
def test_native_histograms_are_recorded(
    start: Callable[..., Any], clock: ManualClock, tmp_path: Path
) -> None:
    """A recording rule over a native histogram records one."""
    import cramjam

    from tests.metrics.test_remote_write import M

    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: a, interval: 15s, rules: [{record: all, expr: sum(h)}]}]\n")
    server = start(
        alerts={"builtin_rules": False, "rule_files": [str(rules)]}, metrics={"scrape_self": False}
    )
    request = M["WriteRequest"]()
    series = request.timeseries.add()
    series.labels.add(name="__name__", value="h")
    sample = series.histograms.add(count_int=7, sum=3, zero_threshold=0.001)
    sample.timestamp = round(clock.now() * 1000)
    sample.positive_spans.add(offset=0, length=1)
    sample.positive_deltas.append(7)
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    assert server.client.post("/api/v1/write", content=body).status_code == 204
    step(clock, 16, 1)
    (found,) = wait_until(lambda: query(server, "all", clock.now()), what="the recording")
    assert found["histogram"][1] == {"count": "7", "sum": "3", "buckets": [[0, "0.5", "1", "7"]]}
