"""Patterns: messages sorted as they are stored, known again after a restart, counted, searched, watched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from mamimon.clock import ManualClock
from mamimon.logs.model import LogRecord
from mamimon.logs.patterns.drain import forms_of, shapes_of, words_of
from mamimon.logs.patterns.miner import Miner
from tests.conftest import Process, wait_until

pytestmark = pytest.mark.feature("L8")


def template_of(message: str) -> str:
    """What one message alone is cut down to."""
    return " ".join(words_of(shapes_of(forms_of([message]))[0]))


def records(*messages: str, dataset: str = "app", level: str = "INFO") -> list[LogRecord]:
    """Records of the messages, a second apart."""
    return [
        LogRecord(time=1000.0 + i, level=level, raw=b"{}", dataset=dataset, message=message)
        for i, message in enumerate(messages)
    ]


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("POST /api/chat 200 in 45 ms", "POST /api/chat <*> in <*> ms"),
        ("request 550e8400-e29b-41d4-a716-446655440000 done", "request <*> done"),
        ("from 10.0.0.1:443 at 12:30:59,123", "from <*> at <*>"),
        ("user_id=77 mail=bob@example.com", "user_id=<*> mail=<*>"),
        ("GET /users/u_12/orders", "GET /users/<*>/orders"),
        ("sürüm 4.2.1 başladı", "sürüm <*> başladı"),
        ("first line\nTraceback 7", "first line"),
        ("", ""),
        ("*** \x00 {}", "*** \x00 {}"),
    ],
)
def test_values_are_cut_out_of_a_message(message: str, template: str) -> None:
    """Words with digits and addresses become variables, whatever stands around them stays."""
    assert template_of(message) == template


def test_words_that_vary_become_variables() -> None:
    """Messages that share more than half of their words are one pattern, others are not."""
    miner = Miner(CollectorRegistry(), ManualClock(0.0))
    numbers = miner.sort(
        records("user alice logged in", "user bob logged in", "cache hit", "cache miss", "user eve logged in")
    )
    assert numbers[0] == numbers[1] == numbers[4]
    assert len(set(numbers)) == 3
    assert miner.known()[numbers[0]].template == "user <*> logged in"
    again = miner.sort(records("user zoë logged in", "user alice logged in", dataset="app"))
    assert set(again) == {numbers[0]}
    assert miner.sort(records("user alice logged in", dataset="other"))[0] != numbers[0]
    assert miner.sort(records("user alice logged in", level="ERROR"))[0] != numbers[0]


def test_everything_is_bounded() -> None:
    """A flood of messages that have nothing in common ends at the bound, and what is over it is counted."""
    registry = CollectorRegistry()
    miner = Miner(registry, ManualClock(0.0))
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [letters[n % 26] * (1 + n // 26 % 30) + letters[n // 780 % 26] for n in range(2_000)]
    numbers = miner.sort(records(*words))
    assert numbers.count(0) == registry.get_sample_value("mamimon_log_lines_unsorted_total") > 0
    for _ in range(5):
        miner.sort(records(*words))
    assert len(miner.known()) == 1_000
    assert len(miner.sort(records(*(f"said {word}" for word in words)))) == 2_000
    assert len(miner.known()) == 1_000


def test_a_number_does_not_depend_on_what_came_before() -> None:
    """The same first message makes the same pattern number in another miner, in any order."""
    one, other = Miner(CollectorRegistry(), ManualClock(0.0)), Miner(CollectorRegistry(), ManualClock(0.0))
    a = one.sort(records("disk is full", "job 7 took 9 s"))
    b = other.sort(records("job 12 took 3 s", "something else", "disk is full"))
    assert (a[0], a[1]) == (b[2], b[0])


def put(target: Any, *documents: dict[str, Any], dataset: str = "app") -> None:
    """NDJSON through mamimon's own door."""
    body = "\n".join(json.dumps(one) for one in documents)
    answer = target.post(f"/api/mamimon/logs?dataset={dataset}", content=body)
    assert answer.json()["refused"] == 0, answer.text


def found(target: Any, query: str = "since=1h") -> dict[str, dict[str, Any]]:
    """The patterns of a window by their template."""
    answer = target.get(f"/api/mamimon/logs/patterns?{query}")
    assert answer.status_code == 200, answer.text
    return {one["template"]: one for one in answer.json()["patterns"]}


def test_a_query_finds_the_lines_of_a_pattern(start: Callable[..., Any]) -> None:
    """`pattern:ID` finds exactly the pattern's lines, in blocks and in the tail, alone and with words."""
    server = start(server={"self_log": False}, logs={"block_rows": 16})
    for i in range(25):
        put(server.client, {"message": f"job {i} took {i * 7} ms"}, {"message": f"cache miss for k{i}"})
    put(server.client, {"message": "own field", "pattern": "p00000001"})
    patterns = found(server.client)
    assert patterns["job <*> took <*> ms"]["count"] == 25
    pattern = patterns["job <*> took <*> ms"]["id"]

    def hits(query: str) -> list[dict[str, Any]]:
        params = {"q": query, "size": 200}
        return list(server.client.get("/api/mamimon/logs/search", params=params).json()["hits"])

    assert len(hits(f"pattern:{pattern}")) == 25
    assert {hit["pattern"] for hit in hits(f"pattern:{pattern}")} == {pattern}
    assert len(hits(f"NOT pattern:{pattern}")) == 26
    assert len(hits(f"pattern:{pattern} AND message:7")) == 2
    assert len(hits(f"pattern:{pattern[:6]}*")) == 25
    assert [hit["message"] for hit in hits("pattern:p00000001")] == ["own field"]
    assert len(hits("_exists_:pattern")) == 51
    facet = server.client.get("/api/mamimon/logs/facet?field=pattern").json()["values"]
    assert {"value": pattern, "count": 25} in facet


def test_patterns_survive_a_kill(process: Callable[..., Process]) -> None:
    """After kill -9 and a restart a template has the same id, count, and first line's time."""
    import httpx

    one = process()
    with httpx.Client(base_url=one.url) as client:
        put(client, {"message": "user alice logged in"}, {"message": "user bob logged in"})
        before = found(client, "since=1h&dataset=app")["user <*> logged in"]
        wait_until(lambda: client.get("/readyz").status_code == 200)
        put(client, {"message": "said in the last moment"})
    one.kill()
    two = process()
    with httpx.Client(base_url=two.url) as client:
        after = found(client, "since=1h&dataset=app")
        assert after["user <*> logged in"]["id"] == before["id"]
        assert after["user <*> logged in"]["count"] == 2
        assert after["user <*> logged in"]["first_seen"] == before["first_seen"]
        assert after["said in the last moment"]["count"] == 1
        put(client, {"message": "user carol logged in"})
        again = found(client, "since=1h&dataset=app")
        assert again["user <*> logged in"]["count"] == 3
        assert again["user <*> logged in"]["id"] == before["id"]


def test_what_is_new_and_what_changed(start: Callable[..., Any], clock: Any) -> None:
    """A pattern first seen in the window is new; one that came much more or less often says so."""
    server = start(server={"self_log": False})
    put(
        server.client,
        *({"message": f"steady {i}"} for i in range(20)),
        *({"message": f"going down {i}"} for i in range(40)),
        *({"message": f"going up {i}"} for i in range(5)),
    )
    clock.advance(3600 + 120)
    put(
        server.client,
        *({"message": f"steady {i}"} for i in range(22)),
        *({"message": f"going down {i}"} for i in range(2)),
        *({"message": f"going up {i}"} for i in range(60)),
        {"message": "never seen before"},
    )
    patterns = found(server.client)
    assert {name: one["change"] for name, one in patterns.items()} == {
        "steady <*>": "",
        "going down <*>": "down",
        "going up <*>": "up",
        "never seen before": "",
    }
    assert [name for name, one in patterns.items() if one["new"]] == ["never seen before"]
    assert patterns["going up <*>"]["before"] == 5
    assert set(found(server.client, "since=1h&view=new")) == {"never seen before"}
    assert set(found(server.client, "since=1h&view=changed")) == {"going down <*>", "going up <*>"}
    assert set(found(server.client, "since=1h&q=down")) == {"going down <*>"}


def test_deleted_lines_are_not_counted(start: Callable[..., Any]) -> None:
    """Lines deleted one by one and with their index leave the counts."""
    server = start(server={"self_log": False})
    answer = server.client.post("/es/logs-app/_doc?refresh", json={"message": "hello 7"}).json()
    put(server.client, {"message": "hello 8"}, dataset="logs-app")
    put(server.client, {"message": "other 9"}, dataset="two")
    assert sum(one["count"] for one in found(server.client).values()) == 3
    assert server.client.delete(f"/es/logs-app/_doc/{answer['_id']}").status_code == 200
    assert sum(one["count"] for one in found(server.client).values()) == 2


def test_a_watched_pattern_is_a_metric(start: Callable[..., Any]) -> None:
    """Watching a pattern counts its lines in a metric for alert rules; stopping takes the metric away."""
    server = start(server={"self_log": False})
    put(server.client, {"message": "payment 7 refused", "level": "ERROR"})
    pattern = next(iter(found(server.client).values()))["id"]
    answer = server.client.post(f"/api/mamimon/logs/patterns/{pattern}/watch", json={"watch": True})
    assert answer.status_code == 200, answer.text
    assert f'pattern="{pattern}"' in answer.json()["rule"]
    put(server.client, {"message": "payment 8 refused", "level": "ERROR"}, {"message": "other"})
    line = f'mamimon_log_pattern_lines_total{{dataset="app",level="ERROR",pattern="{pattern}"}} 1.0'
    assert line in server.client.get("/metrics").text
    server.client.post(f"/api/mamimon/logs/patterns/{pattern}/watch", json={"watch": False})
    assert "mamimon_log_pattern_lines_total{" not in server.client.get("/metrics").text
    assert server.client.post("/api/mamimon/logs/patterns/p1/watch", json={}).status_code == 404


def test_an_incident_shows_what_the_logs_say_anew(start: Callable[..., Any], clock: Any) -> None:
    """Around an incident the patterns are named that are new, or came more often than before it."""
    server = start(server={"self_log": False}, alerts={"builtin_rules": False})
    put(server.client, *({"message": f"request {i} served"} for i in range(30)))
    put(server.client, *({"message": f"retry {i} of the model"} for i in range(3)))
    clock.advance(1500)
    put(server.client, *({"message": f"request {i} served"} for i in range(30)))
    put(server.client, *({"message": f"retry {i} of the model", "level": ""} for i in range(80)))
    put(server.client, {"message": "payment 7 refused", "level": "ERROR"})
    alert = [{"labels": {"alertname": "PaymentsFail"}}]
    server.client.post("/alertmanager/api/v2/alerts", json=alert).raise_for_status()

    def page() -> Any:
        clock.advance(1)
        answer = server.client.get("/incidents/1/patterns")
        return answer if answer.status_code == 200 else None

    text = wait_until(page, what="the incident").text
    assert text.index("payment • refused") < text.index("retry • of the model")
    assert "request • served" not in text
    assert "/incidents/1/patterns" in server.client.get("/incidents/1").text
