"""The doors for product events, driven as PostHog's clients and browsers do."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

pytestmark = pytest.mark.feature("U1")


def _totals(server: Any) -> dict[str, tuple[int, int]]:
    answer = server.client.get("/api/mamimon/events/summary?since=7d").json()
    return {one["type"]: (one["count"], one["users"]) for one in answer["types"]}


def test_one_event_by_capture(server: Any) -> None:
    """A PostHog-style capture call is stored when it is answered."""
    answer = server.client.post(
        "/capture/",
        json={"api_key": "k", "event": "login", "distinct_id": "u1", "properties": {"plan": "pro"}},
    )
    assert answer.status_code == 200
    assert answer.json() == {"status": 1, "accepted": 1, "duplicates": 0, "refused": []}
    assert _totals(server) == {"login": (1, 1)}


@pytest.mark.parametrize("packing", ["json", "gzip header", "gzip-js", "gzip magic", "form"])
def test_a_batch_however_it_is_packed(server: Any, packing: str) -> None:
    """A batch counts by type and person as JSON, gzip in three ways, and base64 in a form."""
    batch = [
        {"event": "message_sent", "distinct_id": f"u{i % 3}", "properties": {"length": i}} for i in range(9)
    ]
    body = json.dumps({"api_key": "k", "batch": batch}).encode()
    headers, path = {"Content-Type": "application/json"}, "/batch/"
    if packing == "gzip header":
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    elif packing == "gzip-js":
        body, path, headers["Content-Type"] = gzip.compress(body), "/batch/?compression=gzip-js", "text/plain"
    elif packing == "gzip magic":
        body = gzip.compress(body)
    elif packing == "form":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = b"data=" + base64.b64encode(body).replace(b"+", b"%2B").replace(b"=", b"%3D")
    answer = server.client.post(path, content=body, headers=headers)
    assert answer.json()["accepted"] == 9, answer.text
    assert _totals(server) == {"message_sent": (9, 3)}


def test_a_malformed_event_fails_alone(server: Any) -> None:
    """The good events of a batch are kept; each bad one is named with its reason."""
    batch = [
        {"event": "login", "distinct_id": "a"},
        {"distinct_id": "a"},
        {"event": 7},
        {"event": "login", "timestamp": "yesterday-ish"},
        {"event": "login", "timestamp": "2999-01-01T00:00:00Z"},
        {"event": "login", "properties": {f"k{i}": "x y " * 475 for i in range(30)}},
        {"event": "login", "distinct_id": "b"},
    ]
    answer = server.client.post("/batch/", json={"batch": batch}).json()
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["refused"]] == [1, 2, 3, 4, 5]
    assert "needs a name" in answer["refused"][0]["error"]
    assert "not a time" in answer["refused"][2]["error"]
    assert "day ahead" in answer["refused"][3]["error"]
    assert "larger than" in answer["refused"][4]["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'"text"', b"[1", b"data=%%%", b"\x1f\x8bbroken"])
def test_a_body_that_is_not_events_is_refused(server: Any, body: bytes) -> None:
    """A body that cannot be read answers 400 in the protocol's dialect and stores nothing."""
    answer = server.client.post("/batch/", content=body)
    assert answer.status_code == 400
    assert answer.json()["status"] == 0
    assert server.client.get("/api/mamimon/events").json() == []


def test_a_decompression_bomb_is_refused(server: Any) -> None:
    """A body that unpacks to more than the limit answers 413."""
    bomb = gzip.compress(b" " * (21 * 1024 * 1024))
    answer = server.client.post("/batch/", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_a_repeated_delivery_counts_once(server: Any) -> None:
    """An event with a uuid that is sent again, as after a lost answer, is not counted again."""
    event = {"event": "login", "distinct_id": "u", "uuid": "0190b2e4-1111-7000-8000-000000000001"}
    assert server.client.post("/capture/", json=event).json()["accepted"] == 1
    assert server.client.post("/capture/", json=event).json()["duplicates"] == 1
    assert _totals(server) == {"login": (1, 1)}


def test_time_and_wrong_clocks(server: Any, clock: Any) -> None:
    """An event keeps its own time; a sender whose clock is an hour behind is corrected by `sent_at`."""
    now = clock.now()
    server.client.post("/capture/", json={"event": "old", "timestamp": now - 7200})
    late = {"batch": [{"event": "skewed", "timestamp": now - 3600 - 5}], "sent_at": now - 3600}
    server.client.post("/batch/", json=late)
    at = {one["type"]: one["at"] for one in server.client.get("/api/mamimon/events").json()}
    assert at == {"old": pytest.approx(now - 7200, abs=0.01), "skewed": pytest.approx(now - 5, abs=0.01)}


@pytest.mark.feature("U2")
def test_browsers_may_post_from_other_sites(server: Any) -> None:
    """The preflight and the answer carry CORS headers, and another site's page may post."""
    origin = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    ask = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    preflight = server.client.options("/batch/", headers=ask)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    answer = server.client.post("/capture", json={"event": "login"}, headers=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.feature("U2")
@pytest.mark.parametrize("name", ["DNT", "Sec-GPC"])
def test_do_not_track_is_respected(server: Any, name: str) -> None:
    """A browser with Do-Not-Track or Global Privacy Control is answered and nothing is kept."""
    answer = server.client.post("/capture/", json={"event": "login", "distinct_id": "u"}, headers={name: "1"})
    assert answer.json()["dropped"] == "do-not-track"
    assert _totals(server) == {}
    assert 'mamimon_events_refused_total{reason="opted_out"} 1.0' in server.client.get("/metrics").text


def test_do_not_track_can_be_set_aside(start: Any) -> None:
    """`events.respect_dnt = false` keeps such events, for sites that ask for consent themselves."""
    server = start(events={"respect_dnt": False})
    server.client.post("/capture/", json={"event": "login"}, headers={"DNT": "1"})
    assert _totals(server) == {"login": (1, 0)}


def test_our_own_door(server: Any) -> None:
    """`POST /api/mamimon/events` takes the mission's names: user_id, event_type, metadata."""
    events = [{"user_id": "user123", "event_type": "message_sent", "metadata": {"chat_id": "chat123"}}]
    assert server.client.post("/api/mamimon/events", json={"events": events}).json()["accepted"] == 1
    [row] = server.client.get("/api/mamimon/events").json()
    assert row["type"] == "message_sent"
    assert row["properties"] == {"chat_id": "chat123"}
    assert row["user"]


def test_counts_charts_and_breakdowns(server: Any, clock: Any) -> None:
    """Counts lie in the right steps and a breakdown counts each value of a property."""
    now = clock.now()
    batch = [
        {
            "event": "image_generated",
            "timestamp": now - 60 * i,
            "properties": {"model": "flux" if i % 3 else "sd"},
        }
        for i in range(1, 13)
    ]
    server.client.post("/batch/", json={"batch": batch})
    chart = server.client.get("/api/mamimon/events/chart?since=1h").json()
    assert [one["name"] for one in chart["series"]] == ["image_generated"]
    assert sum(chart["series"][0]["values"]) == 12
    assert len(chart["times"]) == len(chart["series"][0]["values"])
    rows = server.client.get("/api/mamimon/events/breakdown?type=image_generated&property=model").json()
    assert rows == [{"value": "flux", "count": 8}, {"value": "sd", "count": 4}]
    assert server.client.get("/api/mamimon/events/breakdown?type=x").status_code == 400
    assert server.client.get("/api/mamimon/events/summary?since=oops").status_code == 400
