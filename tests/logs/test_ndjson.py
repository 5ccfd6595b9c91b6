"""The NDJSON door: curl, encodings, refusals by line, and bodies that are wrong."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.logs.test_otlp import search

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "300"))
DOOR = "/api/mamimon/logs"


@pytest.mark.feature("L5")
def test_curl_sends_lines_of_json(server: Any) -> None:
    """A file of JSON lines goes in by curl; the answer counts them and names the bad ones by line."""
    body = (
        b'{"message":"one","level":"warn"}\r\n\n{"broken\n[1]\n{"message":"two","@timestamp":"soon"}\n{"a":1}'
    )
    command = ["curl", "-sS", "--data-binary", "@-", f"{server.url}{DOOR}?dataset=shop"]
    done = subprocess.run(command, input=body, capture_output=True, timeout=20, check=True)
    assert b'"accepted":2,"refused":3' in done.stdout
    assert b'{"line":3,' in done.stdout
    assert b"[soon] is not a date" in done.stdout
    lines = search(server, dataset="shop")
    assert [line.get("message") for line in lines] == ["one", None]


@pytest.mark.feature("L5")
def test_an_array_and_a_byte_order_mark_are_read_too(server: Any) -> None:
    """Shippers that send JSON as one array lose nothing; its items are named by their number."""
    body = b'\xef\xbb\xbf {"message":"marked"}\r\n'
    assert server.client.post(DOOR, content=body).json()["accepted"] == 1
    body = b' [\n{"message":"one",\n "deep":[1]}, 7 ,{"message":"two"}]\n'
    answer = server.client.post(DOOR, content=body).json()
    assert (answer["accepted"], answer["refused"]) == (2, 1)
    assert answer["errors"] == [{"line": 2, "error": "the document is not a JSON object"}]
    assert sorted(line["message"] for line in search(server)) == ["marked", "one", "two"]
    assert server.client.post(DOOR, content=b"[]").json() == {"accepted": 0, "refused": 0, "errors": []}
    for wrong in (b'[{"a":1},', b"[" * 100_000):
        assert server.client.post(DOOR, content=wrong).json()["refused"] == 1


@pytest.mark.feature("L5")
def test_a_body_of_which_nothing_is_taken_is_a_mistake(server: Any) -> None:
    """Counts and reasons come with a 400 then, so that `curl -f` and a script's status check see it."""
    body = b'7\n{"@timestamp":"2001-01-01","message":"old"}\n\n'
    answer = server.client.post(DOOR, content=body)
    found = answer.json()
    assert (answer.status_code, found["status"], found["accepted"], found["refused"]) == (400, 400, 0, 2)
    assert [one["line"] for one in found["errors"]] == [1, 2]
    assert found["error"] == "none of 2 lines was taken; line 1: the document is not a JSON object"
    assert "older than the 90 days" in found["errors"][1]["error"]
    command = ["curl", "-sS", "--fail-with-body", "--data-binary", "@-", f"{server.url}{DOOR}"]
    assert subprocess.run(command, input=body, capture_output=True, timeout=30, check=False).returncode == 22
    for nothing in (b"", b"\n \n", b"[]"):
        assert server.client.post(DOOR, content=nothing).status_code == 200


@pytest.mark.feature("L5")
def test_encodings_limits_and_names(start: Callable[..., Any]) -> None:
    """Compressed bodies are bounded, large ones read beside the loop, odd datasets refused."""
    server = start(
        server={"max_decompressed_bytes": 1 << 20, "max_body_bytes": 1 << 20}, logs={"queue_rows": 100}
    )
    lines = b"".join(b'{"message":"line %d of many"}\n' % i for i in range(5000))
    answer = server.client.post(DOOR, content=gzip.compress(lines), headers={"Content-Encoding": "gzip"})
    assert answer.json() == {"accepted": 5000, "refused": 0, "errors": []}
    assert server.client.post(DOOR, content=lines).json()["accepted"] == 5000
    bomb = gzip.compress(b" " * (8 << 20))
    assert server.client.post(DOOR, content=bomb, headers={"Content-Encoding": "gzip"}).status_code == 413
    assert server.client.post(DOOR, content=b"x" * (1 << 21)).status_code == 413
    assert server.client.post(DOOR, content=b"{}", headers={"Content-Encoding": "lzma"}).status_code == 415
    for name in ("Shop", "a/b", "..", "*", "x" * 200):
        assert server.client.post(DOOR, params={"dataset": name}, content=b"{}").status_code == 400


@pytest.mark.feature("L5")
def test_fuzzed_bodies_are_answered(server: Any) -> None:
    """Mutated lines are answered with counts that add up, whatever they are."""
    dice = random.Random(9)
    seed = (
        b'{"@timestamp":"%s","message":"m\\u00e7","level":30,"a":{"b":[1,2.5,null,true]}}\n' % b"2026-11-24"
    )
    for _ in range(FUZZ):
        body = bytearray(seed * 3)
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(body))
            body[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 3))
        answer = server.client.post(DOOR, content=bytes(body))
        found = answer.json()
        assert answer.status_code == (200 if found["accepted"] or not found["refused"] else 400), bytes(body)
        assert found["accepted"] + found["refused"] == sum(bool(part.strip()) for part in body.split(b"\n"))
