"""The items of an envelope besides events: sessions, check-ins, durations, attachments, reports."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.errors.wire.envelope import parse_envelope
from mamimon.http import decoded, decompress
from mamimon.problems import Problem
from tests.errors.test_doors import ENCODINGS, dsn_of, envelope, event, issues, item, post


def metrics(server: Any) -> str:
    """The exposition."""
    return str(server.client.get("/metrics").text)


def outcome(server: Any, kind: str, became: str) -> float:
    """How many items of a type had an outcome."""
    found = re.search(
        rf'^mamimon_errors_items_total\{{item="{kind}",outcome="{became}"\}} ([\d.]+)', metrics(server), re.M
    )
    return float(found[1]) if found else 0.0


def moment(seconds: float) -> str:
    """An instant as clients write it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")


def session(clock: Any, sid: str, status: str = "ok", **fields: Any) -> tuple[dict[str, Any], bytes]:
    """One update of a session."""
    release = fields.pop("release", "shop@1.0")
    plain = {
        "sid": sid,
        "init": True,
        "started": moment(clock.now() - 60),
        "timestamp": moment(clock.now()),
        "status": status,
        "errors": 0,
        "attrs": {"release": release, "environment": "production"},
    }
    return item({**plain, **fields}, "session")


def releases(server: Any) -> dict[str, dict[str, Any]]:
    """Release health by name."""
    answer = server.client.get("/api/mamimon/errors/releases")
    assert answer.status_code == 200, answer.text
    return {one["release"]: one for one in answer.json()}


@pytest.mark.feature("E1")
def test_sessions_become_release_health(server: Any, clock: Any) -> None:
    """Crash-free sessions and users count each session once, however often it reports."""
    for number in range(8):
        assert (
            post(server, envelope(session(clock, f"s{number}", did=f"user-{number % 4}"))).status_code == 200
        )
    post(server, envelope(session(clock, "s0", "exited", init=False, did="user-0")))
    post(server, envelope(session(clock, "s1", "ok", init=False, errors=2, did="user-1")))
    for _ in range(3):
        post(server, envelope(session(clock, "s1", "crashed", init=False, errors=3, did="user-1")))
    post(server, envelope(session(clock, "s2", "abnormal", init=False, did="user-2")))
    rows = [
        {"started": moment(clock.now() - 30), "exited": 90, "errored": 8, "crashed": 2},
        {"started": moment(clock.now() - 30), "did": "user-9", "exited": 1},
    ]
    aggregates = {"aggregates": rows, "attrs": {"release": "shop@1.1"}}
    post(server, envelope(item(aggregates, "sessions")))
    post(server, envelope(item(event(release="shop@1.1"))))

    first, second = releases(server)["shop@1.0"], releases(server)["shop@1.1"]
    assert (first["sessions"], first["crashed"], first["errored"], first["abnormal"]) == (8, 1, 2, 1)
    assert first["crash_free_sessions"] == pytest.approx(7 / 8)
    assert (first["users"], first["crash_free_users"]) == (4, pytest.approx(3 / 4))
    assert (second["sessions"], second["crashed"], second["errored"]) == (101, 2, 10)
    assert (second["users"], second["new_issues"]) == (1, 1)
    assert first["adoption"] + second["adoption"] == pytest.approx(1)
    page = server.client.get("/errors/releases").text
    assert "shop@1.1" in page
    assert "87.50 %" in page
    assert "user-1" not in page


@pytest.mark.feature("E1")
def test_sessions_that_are_none_are_named(server: Any, clock: Any) -> None:
    """A session without a release, with a strange status or counts is dropped and counted as invalid."""
    for bad in (
        session(clock, "s", release=""),
        session(clock, "s", "levitating"),
        session(clock, ""),
        item({"aggregates": 5, "attrs": {"release": "x"}}, "sessions"),
        item({"aggregates": [7], "attrs": {"release": "x"}}, "sessions"),
    ):
        assert post(server, envelope(bad)).status_code == 400
    assert outcome(server, "session", "invalid") == 3
    assert outcome(server, "sessions", "invalid") == 2
    empty = server.client.get("/errors/releases")
    assert empty.status_code == 200
    assert "release:" in empty.text


@pytest.mark.feature("E1")
def test_check_ins_are_heartbeats(server: Any, clock: Any) -> None:
    """A monitor's check-ins make a heartbeat with its schedule and ping it; the plain URL does too."""
    config = {
        "schedule": {"type": "crontab", "value": "*/10 * * * *"},
        "checkin_margin": 2,
        "timezone": "UTC",
    }
    started = {"monitor_slug": "nightly", "status": "in_progress", "monitor_config": config}
    assert post(server, envelope(item(started, "check_in"))).status_code == 200
    done = {"monitor_slug": "nightly", "status": "ok", "duration": 12.5, "environment": "production"}
    assert post(server, envelope(item(done, "check_in"))).status_code == 200
    page = server.client.get("/checks").text
    assert "nightly" in page
    assert "*/10 * * * *" in page

    key = dsn_of(server)[1]
    failed = server.client.get(f"/api/1/cron/nightly/{key}/?status=error")
    unknown = server.client.post(f"/api/1/cron/nobody/{key}/?status=ok")
    strange = server.client.get(f"/api/1/cron/nightly/{key}/?status=maybe")
    nobody = server.client.get(f"/api/1/cron/nightly/{'0' * 32}/?status=ok")

    assert failed.status_code == 200
    assert [one.status_code for one in (unknown, strange, nobody)] == [400, 400, 403]
    assert "no heartbeat named nobody" in unknown.json()["detail"]
    assert "reported failure" in server.client.get("/checks").text


@pytest.mark.feature("E1")
def test_transactions_and_spans_are_durations(server: Any, clock: Any) -> None:
    """Times of transactions and spans are histograms that rules can be written on; names are bounded."""
    now = clock.now()
    spans = [{"op": "db.query", "start_timestamp": now - 0.2, "timestamp": now - 0.1, "span_id": "1" * 16}]
    transaction = {
        "type": "transaction",
        "transaction": "GET /orders/123456/lines",
        "start_timestamp": now - 0.5,
        "timestamp": moment(now),
        "contexts": {"trace": {"op": "http.server", "trace_id": "a" * 32, "span_id": "b" * 16}},
        "spans": spans,
    }
    second = {"items": [{"start_timestamp": now - 3, "end_timestamp": now, "attributes": {
        "sentry.op": {"type": "string", "value": "cache.get"}}}]}  # fmt: skip
    assert post(server, envelope(item(transaction, "transaction"))).status_code == 200
    assert post(server, envelope(item(second, "span"))).status_code == 200
    assert post(server, envelope(item({"transaction": "x"}, "transaction"))).status_code == 400

    text = metrics(server)
    labels = 'operation="http.server",project="1",transaction="GET /orders/*/lines"'
    assert f"mamimon_transaction_duration_seconds_count{{{labels}}} 1.0" in text
    assert re.search(rf"mamimon_transaction_duration_seconds_sum{{{re.escape(labels)}}} 0\.[45]", text)
    assert 'mamimon_span_duration_seconds_count{operation="db.query",project="1"} 1.0' in text
    assert 'mamimon_span_duration_seconds_count{operation="cache.get",project="1"} 1.0' in text
    assert issues(server) == []


@pytest.mark.feature("E1")
def test_replays_are_refused_where_the_client_sees_it(server: Any) -> None:
    """What is not kept is answered by a limit of its category with a reason, so a client stops sending it."""
    replay = ({"type": "replay_recording", "length": 3_000_000}, b"x" * 3_000_000)
    answer = post(server, envelope(item(event()), replay, item({}, "replay_event"), item({}, "profile")))

    assert answer.status_code == 200
    assert answer.headers["x-sentry-rate-limits"] == "3600:profile;replay:project:not_supported"
    assert outcome(server, "replay_recording", "unsupported") == 1
    assert len(issues(server)) == 1


@pytest.mark.feature("E1")
def test_attachments_are_kept_with_their_event(server: Any) -> None:
    """A text comes back without its secrets, a picture as it was, of a large file the name."""
    one = event()
    picture = bytes(range(256)) * 40
    body = envelope(
        item(one),
        (
            {"type": "attachment", "filename": "notes.txt", "content_type": "text/plain"},
            b"a\npassword=hunter2x\nb",
        ),
        ({"type": "attachment", "filename": "<shot>.png", "content_type": "text/html"}, picture),
        ({"type": "attachment", "filename": "core.dump"}, b"x" * 1_100_000),
        event_id=one["event_id"],
    )
    assert post(server, body).status_code == 200

    (found,) = issues(server)
    page = server.client.get(found["url"]).text
    assert "core.dump" in page
    assert "&lt;shot&gt;.png" in page
    base = f"{found['url']}/events/{one['event_id']}/attachments"
    text = server.client.get(f"{base}/0")
    shot = server.client.get(f"{base}/1")
    assert text.text == "a\npassword=[Filtered]\nb"
    assert shot.content == picture
    assert shot.headers["content-type"] == "application/octet-stream"
    assert shot.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%3Cshot%3E.png")
    assert "sandbox" in shot.headers["content-security-policy"]
    assert server.client.get(f"{base}/2").status_code == 404
    assert outcome(server, "attachment", "too_large") == 1


@pytest.mark.feature("E1")
def test_attachments_that_come_after_their_event_are_kept(server: Any) -> None:
    """An envelope of its own adds files to the event it names, once; not to another project's."""
    one = event()
    post(server, envelope(item(one), ({"type": "attachment", "filename": "a.txt"}, b"first")))
    late = ({"type": "attachment", "filename": "b.txt", "content_type": "text/plain"}, b"token=canary-late-1")
    body = envelope(late, event_id=one["event_id"])
    for _ in range(2):
        answer = post(server, body)
        assert (answer.status_code, answer.json()) == (200, {"id": one["event_id"]})
    told = envelope(
        item({"event_id": one["event_id"], "comments": "see the shot"}, "user_report"),
        ({"type": "attachment", "filename": "shot.png"}, b"\xff\xd8\xff"),
    )
    assert post(server, told).status_code == 200
    other = server.client.post("/api/mamimon/errors/projects", json={"name": "other"}).json()
    key = {"X-Sentry-Auth": f"Sentry sentry_key={other['key']}"}
    assert server.client.post(f"/api/{other['id']}/envelope/", content=body, headers=key).status_code == 200
    assert post(server, envelope(late, event_id="f" * 32)).status_code == 200

    (found,) = issues(server)
    base = f"{found['url']}/events/{one['event_id']}"
    page = server.client.get(base).text
    assert page.count("/attachments/") == 3
    assert server.client.get(f"{base}/attachments/0").text == "first"
    assert server.client.get(f"{base}/attachments/1").text == "token=[Filtered]"
    assert server.client.get(f"{base}/attachments/2").content == b"\xff\xd8\xff"
    assert outcome(server, "attachment", "stored") == 3
    assert outcome(server, "attachment", "without_event") == 3


CSP = {
    "csp-report": {
        "document-uri": "https://shop.example/pay?token=hunter2canary",
        "violated-directive": "script-src-elem",
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://evil.example/x.js",
        "original-policy": "script-src 'self'",
    }
}


@pytest.mark.feature("E1")
def test_browsers_security_reports_are_issues(server: Any) -> None:
    """CSP reports of both kinds and Expect-CT are grouped by what was blocked; their preflight is allowed."""
    key = dsn_of(server)[1]
    door = f"/api/1/security/?sentry_key={key}&sentry_release=web@1"
    body = CSP["csp-report"]
    modern = [{"type": "csp-violation", "url": "https://shop.example/pay", "body": {
        "documentURL": "https://shop.example/other", "blockedURL": "https://evil.example/y.js",
        "effectiveDirective": body["effective-directive"], "disposition": "enforce"}}]  # fmt: skip
    inline = {"csp-report": {"document-uri": "https://shop.example/",
        "effective-directive": "style-src", "blocked-uri": "inline"}}  # fmt: skip
    transparency = {"expect-ct-report": {"hostname": "shop.example", "port": 443}}

    for report, kind in (
        (CSP, "application/csp-report"),
        (modern, "application/reports+json"),
        (inline, "application/csp-report"),
        (transparency, "application/expect-ct-report+json"),
    ):
        answer = server.client.post(door, content=json.dumps(report), headers={"Content-Type": kind})
        assert answer.status_code == 200, answer.text
    refused = [
        server.client.post(door, content=content).status_code
        for content in (b"", b"[]", b"{}", b'{"csp-report":{}}', b'{"csp-report":7}')
    ]

    assert refused == [400] * 5
    assert server.client.options(door).status_code == 204
    found = {one["title"]: one for one in issues(server)}
    assert set(found) == {
        "Blocked 'script' from 'evil.example'",
        "Blocked 'style' that is inline",
        "Expect-CT failed for 'shop.example'",
    }
    assert found["Blocked 'script' from 'evil.example'"]["count"] == 2
    for one in found.values():
        page = server.client.get(one["url"])
        assert page.status_code == 200
        assert "hunter2canary" not in page.text


@pytest.mark.browser
@pytest.mark.feature("E1")
def test_a_browser_reports_what_its_policy_blocked(server: Any, browser: Any) -> None:
    """Chromium's own report of a blocked script reaches the door of another origin."""
    from tests.conftest import wait_until
    from tests.errors.sites import serve

    with serve() as site:
        door = f"{server.url}/api/1/security/?sentry_key={dsn_of(server)[1]}"
        policy = f"script-src 'self'; report-uri {door}"
        site.headers["Content-Security-Policy"] = policy
        site.pages["/"] = "<!doctype html><script src='http://127.0.0.1:9/evil.js'></script>"
        page = browser.new_page()
        page.goto(site.url)
        wait_until(lambda: issues(server), timeout_s=60, what="the report")
        page.close()

    assert issues(server)[0]["title"] == "Blocked 'script' from '127.0.0.1:9'"


@pytest.mark.feature("E1")
def test_minidumps_are_refused_in_words(server: Any) -> None:
    """Crash dumps are answered 400 with the reason where Sentry's clients look for it."""
    for door in ("minidump", "unreal"):
        answer = server.client.post(f"/api/1/{door}/?sentry_key={dsn_of(server)[1]}", content=b"MDMP")
        assert answer.status_code == 400
        assert "minidumps are not supported" in answer.headers["x-sentry-error"]
        assert answer.json()["detail"]


@pytest.mark.feature("E1")
def test_client_reports_are_counted(server: Any) -> None:
    """What clients say they threw away is a series by category and reason, strange words folded."""
    rows = [
        {"reason": "ratelimit_backoff", "category": "error", "quantity": 5},
        {"reason": "made_up", "category": "made_up", "quantity": 2},
        {"reason": "sample_rate", "category": "transaction", "quantity": -1},
        7,
    ]
    assert post(server, envelope(item({"discarded_events": rows}, "client_report"))).status_code == 200

    text = metrics(server)
    assert 'mamimon_errors_client_discarded_total{category="error",reason="ratelimit_backoff"} 5.0' in text
    assert 'mamimon_errors_client_discarded_total{category="other",reason="other"} 2.0' in text
    assert 'reason="sample_rate"' not in text


@pytest.mark.feature("E1")
def test_a_limit_is_of_its_category(start: Callable[..., Any], clock: Any) -> None:
    """Sessions over their limit are named in the answer while errors go on."""
    server = start(errors={"events_per_minute": 3})
    items = [session(clock, f"s{number}") for number in range(5)]

    answer = post(server, envelope(*items, item(event())))

    assert answer.status_code == 200
    assert re.fullmatch(r"\d+:session:key", answer.headers["x-sentry-rate-limits"])
    assert outcome(server, "session", "stored") == 3
    assert outcome(server, "session", "rate_limited") == 2
    assert len(issues(server)) == 1


@pytest.mark.feature("E1")
def test_a_clock_that_is_wrong_is_corrected(server: Any, clock: Any) -> None:
    """An event of a client whose clock is an hour ahead is shown at the time it happened."""
    ahead = clock.now() + 3600
    one = event(timestamp=ahead - 30, breadcrumbs={"values": [{"timestamp": ahead - 40, "message": "click"}]})
    post(server, envelope(item(one), event_id=one["event_id"], sent_at=moment(ahead)))

    (found,) = issues(server)
    detail = server.client.get(f"/api/mamimon/errors/issues/{found['id']}").json()["event"]
    assert detail["time"] == pytest.approx(clock.now() - 30, abs=1)
    assert detail["breadcrumbs"][0]["time"] == pytest.approx(clock.now() - 40, abs=1)


@pytest.mark.feature("E1")
@pytest.mark.parametrize("encoding", ["", "gzip", "br", "zstd", "deflate"])
def test_an_oversize_item_is_dropped_alone(server: Any, encoding: str) -> None:
    """Of an envelope with an item of ten megabytes the others are kept, and the outcome is recorded."""
    one = event()
    big = ({"type": "event"}, b'{"message":"' + b"x" * 10_000_000 + b'"}')
    body = ENCODINGS[encoding](envelope(big, item(one), event_id=one["event_id"]))

    answer = post(server, body, **({"Content-Encoding": encoding} if encoding else {}))

    assert answer.status_code == 200
    assert outcome(server, "event", "too_large") == 1
    assert outcome(server, "event", "stored") == 1


@pytest.mark.feature("E1")
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_costs_what_the_limit_says(encoding: str) -> None:
    """Of 60 megabytes only what the limit allows is made, and an envelope is not held whole."""
    bomb = ENCODINGS[encoding](b"{}\n" + b" " * 60_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="larger than 4000000 bytes"):
            decompress(bomb, encoding, 4_000_000)
        made = 0
        with pytest.raises(Problem, match="larger than 32000000 bytes"):
            for piece in decoded(bomb, encoding, 32_000_000):
                made += len(piece)
        assert made <= 32_000_000
        with pytest.raises(Problem, match="larger than 40000000 bytes"):
            parse_envelope(decoded(bomb, encoding, 40_000_000), lambda _: 1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 20_000_000


@pytest.mark.feature("E1")
def test_blank_lines_and_broken_headers_cost_little() -> None:
    """Millions of newlines or broken item headers are passed over; what is dropped is bounded."""
    blank = parse_envelope(decoded(b"{}\n" + b"\n" * 30_000_000, "", 1 << 30), lambda _: 100)
    broken = parse_envelope(
        decoded(b"{}\n" + b'{"type":1,"length":5}\n12345x\n' * 200_000, "", 1 << 30), lambda _: 9
    )

    assert blank.items == blank.dropped == []
    assert 0 < len(broken.dropped) <= 101


@pytest.mark.feature("E1")
def test_a_body_of_several_members_and_sizes(server: Any) -> None:
    """Gzip in several members, as `zcat a.gz b.gz` reads it, is one body."""
    one = event()
    body = envelope(item(one), event_id=one["event_id"])
    packed = gzip.compress(body[:100]) + gzip.compress(body[100:])

    assert post(server, packed, **{"Content-Encoding": "gzip"}).status_code == 200
    assert len(issues(server)) == 1
