"""People are out of an event before it is written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mamimon.events.anonymise import pseudonym_of, scrub, scrub_text

pytestmark = pytest.mark.feature("U2")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("write to ada.lovelace+x@example.co.uk now", "write to [email] now"),
        ("ada%40example.com", "[email]"),
        ("IBAN TR33 0006 1005 1978 6457 8413 26 and more", "IBAN [iban] and more"),
        ("DE89370400440532013000", "[iban]"),
        ("card 4111 1111 1111 1111 12/28", "card [card] 12/28"),
        ("3 5500-0000-0000-0004", "3 [card]"),
        ("+90 532 123 45 67", "[phone]"),
        ("0532 123 45 67", "[phone]"),
        ("05321234567", "[phone]"),
        ("(212) 555-1234", "[phone]"),
        ("TC 10000000146", "TC [id]"),
        ("from 192.168.1.20:8080", "from [ip]:8080"),
        ("from 2001:db8::ff00:42:8329", "from [ip]"),
        ("https://u:p@shop.example/a/b?token=1#x end", "https://shop.example/a/b end"),
        ("with Bearer abcdefgh12345678", "with Bearer [token]"),
        ("sk_live_1234567890", "[token]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "[token]"),
        ("password=hunter2, rest", "password=[token], rest"),
    ],
)
def test_what_names_a_person_is_removed(text: str, cleaned: str) -> None:
    """Each detector replaces what it finds, also in the middle of a sentence."""
    assert scrub_text(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "1767225600000",
        "2026-11-24T13:45:05Z",
        "12:30:45",
        "1024x1024",
        "order 123456789012",
        "4111 1111 1111 1112",
        "550e8400-e29b-41d4-a716-446655440000",
        "gpt-4",
        "/api/chat/12",
        "TR00 0006 1005 1978 6457 8413 26",
        "3.14159265358979",
    ],
)
def test_ordinary_values_stay(text: str) -> None:
    """Times, sizes, order numbers, ids and failed checksums are left alone."""
    assert scrub_text(text) == text


def test_properties_by_name_and_by_value() -> None:
    """Names that hold people's data are removed by name, identities become pseudonyms, at every depth."""
    pseudonym = pseudonym_of(b"key")
    cleaned = scrub(
        {
            "email": "not even an address",
            "$set": {"email": "ada@example.com"},
            "$ip": "10.0.0.1",
            "userId": "ada",
            "max_tokens": 100,
            "card": 4111111111111111,
            "nested": [{"Phone Number": "1"}, "mail ada@example.com"],
            "ada@example.com": True,
        },
        pseudonym,
    )
    assert cleaned == {
        "email": "[removed]",
        "userId": pseudonym("ada").hex()[:16],
        "max_tokens": 100,
        "card": "[card]",
        "nested": [{"Phone Number": "[removed]"}, "mail [email]"],
        "[email]": True,
    }


CANARIES = (
    "ada.canary@example.com",
    "+905329998877",
    "4111111111111111",
    "TR330006100519786457841326",
    "203.0.113.77",
    "sk_live_canary1234567890",
    "canary-user-77",
    "Canary Lovelace",
    "canary-browser-agent",
)


def test_no_planted_person_reaches_the_disk(process: Callable[..., Any]) -> None:
    """After events full of a person's data, no file of the data directory holds any of it."""
    import httpx

    one = process()
    email, phone, card, iban, ip, token, user, name, agent = CANARIES
    batch = [
        {
            "event": f"login {email}",
            "distinct_id": user,
            "uuid": user,
            "properties": {
                "email": email,
                "$ip": ip,
                "note": f"{phone} {card} {iban} {ip} {token} {email}",
                "full_name": name,
                "$set": {"name": name},
                "distinct_id": user,
                "user_id": user,
                "$current_url": f"https://app.example/p?mail={email}&u={user}",
                "deep": {"deeper": [{"card": card, "mail": email}]},
            },
        },
        {"distinct_id": user, "properties": {"email": email}},
    ]
    with httpx.Client(base_url=one.url, headers={"User-Agent": agent, "X-Forwarded-For": ip}) as client:
        for _ in range(3):
            assert client.post("/batch/", json={"batch": batch}).json()["refused"][0]["index"] == 1
        client.post("/capture/", content=f'{{"event": "{email}"'.encode())
        assert client.get("/events").status_code == 200
    one.kill()
    for canary in CANARIES:
        found = subprocess.run(["grep", "-rlaF", canary, str(one.data_dir)], capture_output=True, text=True)
        assert found.stdout == "", f"{canary} was written to {found.stdout}"
    leaks = [line for line in one.lines if any(canary in line for canary in CANARIES)]
    assert leaks == []


def test_a_person_keeps_a_pseudonym_until_the_key_rotates(start: Callable[..., Any], clock: Any) -> None:
    """Within a key's days one person is one pseudonym, also over a restart; the next key makes another."""
    server = start(events={"pseudonym_days": 30})
    event = {"event": "login", "distinct_id": "ada"}
    server.client.post("/capture/", json=event)
    server.stop()
    server = start(events={"pseudonym_days": 30})
    clock.advance(86_400)
    server.client.post("/capture/", json=event)
    clock.advance(30 * 86_400)
    server.client.post("/capture/", json=event)
    users = [row["user"] for row in server.client.get("/api/mamimon/events?since=60d").json()]
    assert users[1] == users[2]
    assert users[0] != users[1]
    assert server.client.get("/api/mamimon/events/summary?since=60d").json()["users"] == 2


def test_a_dropped_key_is_gone_from_the_disk(server: Any, clock: Any) -> None:
    """Dropping keys keeps the events, removes the secret, and gives the same person a new pseudonym."""
    event = {"event": "login", "distinct_id": "ada"}
    server.client.post("/capture/", json=event)
    before = server.client.get("/api/mamimon/events/keys").json()
    assert [one["dropped_at"] for one in before] == [None]
    clock.advance(10)
    assert server.client.delete("/api/mamimon/events/keys?before=now").json() == {"dropped": 1}
    server.client.post("/capture/", json=event)
    after = server.client.get("/api/mamimon/events/keys").json()
    assert [one["dropped_at"] is None for one in after] == [True, False]
    assert "secret" not in after[0]
    users = {row["user"] for row in server.client.get("/api/mamimon/events").json()}
    assert len(users) == 2


@pytest.mark.feature("U1")
def test_events_in_the_terminal(server: Any) -> None:
    """`mamimon events` sends one, counts them and lists them; data on stdout, words on stderr."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mamimon", "events", *arguments, "--url", server.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert run("send", "login", "--user", "ada", "--property", "plan=pro").returncode == 0
    assert json.loads(run("counts", "--json").stdout)["types"] == [{"type": "login", "count": 1, "users": 1}]
    row = json.loads(run("list", "--json").stdout)
    assert (row["type"], row["properties"]) == ("login", {"plan": "pro"})
    assert run("send", "login", "--property", "broken").returncode == 2
    assert run("counts", "--since", "often").returncode == 1
