"""Issues: grouping, states, counts, search, pages and commands."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from mamimon.errors.grouping import group
from mamimon.errors.normalise import normalise
from mamimon.errors.templates import template
from tests.errors.test_doors import dsn_of, envelope, event, issues, item, post


def send(server: Any, **fields: Any) -> None:
    """Send one event."""
    assert post(server, envelope(item(event(**fields)))).status_code == 200


def stack(
    *frames: tuple[str, str, str], kind: str = "KeyError", value: str = "x", line: int = 1
) -> dict[str, Any]:
    """An exception with a stack of (module, function, code)."""
    made = [
        {"module": m, "function": f, "context_line": c, "lineno": line + i, "in_app": not m.startswith("lib")}
        for i, (m, f, c) in enumerate(frames)
    ]
    return {"values": [{"type": kind, "value": value, "stacktrace": {"frames": made}}]}


def hash_of(**fields: Any) -> str:
    """The grouping hash of an event."""
    return group(normalise(event(**fields), 1, 1e9)).hash


@pytest.mark.feature("E2")
def test_the_same_failure_is_one_issue() -> None:
    """Line numbers, values and library frames do not matter; function, code and type do."""
    base = hash_of(exception=stack(("app", "pay", "x[1]"), ("lib", "get", "..."), value="order 1"))

    other = stack(
        ("app", "main", "pay()"), ("app", "pay", "x[1]"), ("lib", "read", "1"), value="order 2", line=9
    )
    assert hash_of(exception=other) == base
    assert hash_of(exception=stack(("app", "pay", "x[2]"))) != base
    assert hash_of(exception=stack(("app", "refund", "x[1]"))) != base
    assert hash_of(exception=stack(("app", "pay", "x[1]"), kind="TypeError")) != base


@pytest.mark.feature("E2")
def test_recursion_and_builds_do_not_split_an_issue() -> None:
    """The depth of a recursion and a bundle's hash make no new issue."""
    deep = [stack(("app", "main", "go()"), *[("app", "walk", "walk(n)")] * n) for n in (3, 40)]
    bundles = [
        {
            "values": [
                {
                    "type": "TypeError",
                    "stacktrace": {
                        "frames": [
                            {"filename": f"http://x/assets/index-{h}.js", "function": "pay", "lineno": 1}
                        ]
                    },
                }
            ]
        }
        for h in ("4f3a2b1c", "9e8d7c6b")
    ]

    assert hash_of(exception=deep[0]) == hash_of(exception=deep[1])
    assert hash_of(exception=bundles[0], platform="javascript") == hash_of(
        exception=bundles[1], platform="javascript"
    )


@pytest.mark.feature("E2")
def test_a_fingerprint_wins_and_may_hold_the_default() -> None:
    """The client's fingerprint comes first; `{{ default }}` stands for what would have been used."""
    one, other = stack(("app", "a", "1")), stack(("app", "b", "2"))

    assert hash_of(exception=one, fingerprint=["mine"]) == hash_of(exception=other, fingerprint=["mine"])
    assert hash_of(exception=one, fingerprint=["{{ default }}"]) == hash_of(exception=one)
    split = [hash_of(exception=one, fingerprint=["{{ default }}", tenant]) for tenant in ("a", "b")]
    assert len({*split, hash_of(exception=one)}) == 3


@pytest.mark.feature("E2")
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("user 17 not found", "user 4711 not found"),
        ("timeout after 1.5 s on 10.0.0.1:5432", "timeout after 30 s on 10.0.0.9:5432"),
        ("no file /tmp/a/b.txt", "no file /var/lib/c.txt"),
        ("job 5f2a7c9e-1111-4222-8333-abcdefabcdef died", "job 00000000-1111-4222-8333-abcdefabcdee died"),
    ],
)
def test_messages_are_grouped_by_their_template(a: str, b: str) -> None:
    """Numbers, ids, paths and addresses are taken out of messages; words stay."""
    assert template(a) == template(b)
    assert template("no such key 'model'") != template("no such key 'price'")


@pytest.mark.feature("E2")
def test_resolve_regress_and_ignore(server: Any) -> None:
    """A resolved issue comes back as regressed with its next event; an ignored one stays silent."""
    send(server)
    assert server.client.post("/errors/1/status", data={"status": "resolved"}).status_code == 303
    assert issues(server, "is:unresolved") == []
    send(server)
    (found,) = issues(server, "is:unresolved is:regressed")
    assert found["count"] == 2
    server.client.post("/errors/status", data={"id": ["1"], "status": "ignored", "back": "/errors"})
    send(server)

    assert issues(server, "is:unresolved") == []
    assert issues(server, "is:ignored")[0]["count"] == 3
    assert "mamimon_errors_unresolved 0.0" in server.client.get("/metrics").text


@pytest.mark.feature("E2")
def test_counts_are_exact_though_a_noisy_issue_is_sampled(server: Any, clock: Any) -> None:
    """Of 1,300 events each counts, while fewer are kept, the newest among them."""
    for start in range(0, 1300, 50):
        items = [item(event(user={"id": f"u{n % 7}"}, release=f"r{n}")) for n in range(start, start + 50)]
        assert post(server, envelope(*items)).status_code == 200
    clock.advance(1)  # a chart that ends with a full minute ends before what is of that very second
    (found,) = issues(server)
    kept = server.client.get("/api/mamimon/errors/issues/1/events?limit=500").json()
    data = server.client.get("/api/mamimon/errors/histogram?since=1h").json()

    assert (found["count"], found["users"]) == (1300, 7)
    assert sum(data["series"][0]["values"]) == 1300
    assert kept[0]["release"] == "r1299"
    assert sum(found["trend"]) == 1300


@pytest.mark.feature("E5")
def test_search(server: Any) -> None:
    """The search language finds by state, level, tags, numbers, ages and words."""
    send(server, exception=stack(("app", "a", "1"), kind="AlphaError"), level="warning", tags={"plan": "pro"})
    for n in range(3):
        send(
            server, exception=stack(("app", "b", "2"), kind="BetaError"), user={"id": str(n)}, release="web@2"
        )

    def titles(query: str) -> list[str]:
        return sorted(one["title"].split(":")[0] for one in issues(server, query))

    assert titles("alpha") == ["AlphaError"]
    assert titles("!alpha") == ["BetaError"]
    assert titles("level:warning") == ["AlphaError"]
    assert titles("plan:p*") == ["AlphaError"]
    assert titles("times_seen:>2") == ["BetaError"]
    assert titles("users:3 release:web@2") == ["BetaError"]
    assert titles("age:-1h is:unresolved") == ["AlphaError", "BetaError"]
    assert titles("nosuchtag:1") == []
    assert server.client.get("/api/mamimon/errors/issues?query=users:many").status_code == 400
    assert "wants a number" in server.client.get("/errors?query=users:many").text


@pytest.mark.feature("E5")
def test_the_issue_page_walks_through_events(server: Any) -> None:
    """The page leads to the earlier event, shows breadcrumbs, request and why it was grouped, and escapes."""
    crumbs = {"values": [{"category": "query", "message": "SELECT <b>1</b>"}]}
    send(server, breadcrumbs=crumbs)
    send(server, request={"url": "http://shop.example/pay", "method": "POST"}, tags={"request_id": "req-1"})
    page = server.client.get("/errors/1").text
    earlier = page.split('rel="prev" href="')[1].split('"')[0]

    assert "POST http://shop.example/pay" in page
    assert "/logs?" in page
    assert "stack trace" in page
    first = server.client.get(earlier).text
    assert "SELECT &lt;b&gt;1&lt;/b&gt;" in first
    assert 'rel="next"' in first
    assert server.client.get(f"{earlier}.md").text.startswith("# ValueError: bad 17")
    assert server.client.get("/errors/999").status_code == 404


@pytest.mark.feature("E5")
def test_commands(server: Any) -> None:
    """`mamimon errors dsn`, `list` and `show` print what the server has."""
    send(server)

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "mamimon", "errors", *arguments, "--url", server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("dsn").strip() == dsn_of(server)[0]
    assert "ValueError: bad 17" in run("list")
    assert "pay in shop.pay:7" in run("show", "1")
    assert json.loads(run("list", "--json"))[0]["count"] == 1
    assert run("show", "1", "--markdown").startswith("# ValueError: bad 17\n")
    (kept,) = server.client.get("/api/mamimon/errors/issues/1/events").json()
    assert f"Event {kept['id']}" in run("show", "1", "--event", kept["id"])


@pytest.mark.feature("E5")
def test_the_terminal_shows_a_chain_and_no_control_characters(server: Any) -> None:
    """Chain, variables, breadcrumbs and tags; an escape sequence of a title is spelled out."""
    cause = stack(("app", "read", "x[1]"), kind="KeyError", value="gone")["values"][0]
    cause["stacktrace"]["frames"][0]["vars"] = {"x": "[0]"}
    main = stack(("app", "pay", "raise"), kind="PayError", value="\x1b[2Jbad")["values"][0]
    crumbs = {"values": [{"category": "query", "message": "SELECT 1"}]}
    send(server, exception={"values": [cause, main]}, breadcrumbs=crumbs, tags={"plan": "pro"})
    command = [sys.executable, "-m", "mamimon", "errors", "show", "1", "--url", server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    words = (
        "KeyError: gone",
        "x = [0]",
        "which led to",
        "PayError",
        "query  SELECT 1",
        "plan=pro",
        "> pay in app",
    )
    assert [word for word in words if word not in done.stdout] == []
