"""Secrets are taken out of lines without breaking the JSON that holds them."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from mamimon.logs.mask import mask
from tests.logs.test_otlp import search

FUZZ = int(os.environ.get("MAMIMON_FUZZ", "3000"))
SECRET = "hunter2hunter2"


def masked(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        mask(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
    )
    return found


@pytest.mark.feature("S3")
def test_values_of_secret_keys_are_masked_whatever_they_are() -> None:
    """Strings, numbers and lists are masked; null, true and objects stay what they are."""
    found = masked(
        {
            "password": SECRET, "api_key": 123456, "Cookie": [SECRET, "b[]"], "token": None, "secret": True,
            "credentials": {"user": "ada", "password": SECRET}, "pwd": [], "Set-Cookie": ["a\\"],
            "message": f'login password={SECRET} token: {SECRET}, {{"authorization":["{SECRET}"],"x":1}}',
        }
    )  # fmt: skip
    assert SECRET not in json.dumps(found)
    assert found["Cookie"] == found["Set-Cookie"] == ["***"]
    assert (found["token"], found["secret"]) == (None, True)
    assert found["credentials"] == {"user": "ada", "password": "***"}
    assert found["message"].startswith("login password=*** token: ***,")


@pytest.mark.feature("S3")
def test_a_secret_in_a_body_is_masked_however_it_is_spelled(server: Any) -> None:
    """Escapes, line ends and broken neighbours in a `_bulk` body hide no secret."""
    action = b'{"create":{"_index":"logs-spelled"}}\n'
    documents = [
        b'{"n":1,"\\u0070assword":"hunter2hunter2"}',
        b'{"n":2,"password"\r:\r"hunter2hunter2"}\r',
        b'{"n":3,"password":"never closed',
        b'{"n":4,"password":"hunter2hunter2"}',
        b'{"n":5,"message":"password=hunter2hunter2 \\/"}',
        b'{"n":6,"message":"' + b"\\\\" * 3_000 + b'","\\u0070assword":"hunter2hunter2"}',
        '{"n":7,"şifre":"açık","token":"hunter2hunter2"}'.encode(),
    ]
    for body in (
        b"".join(action + one + b"\n" for one in documents),
        *(action + d + b"\n" for d in documents),
    ):
        answer = server.client.post("/es/_bulk", content=body).json()
        assert sum("error" in item["create"] for item in answer["items"]) == (b'"n":3' in body)
    found = server.client.get("/es/logs-spelled/_search", params={"size": 50}).json()["hits"]["hits"]

    assert sorted(hit["_source"]["n"] for hit in found) == sorted([1, 2, 4, 5, 6, 7] * 2)
    assert SECRET not in json.dumps(found)


@pytest.mark.feature("S3")
def test_random_documents_stay_documents() -> None:
    """Valid JSON stays valid JSON with the same keys, whatever the keys and values are."""
    dice = random.Random(11)
    names = ["password", "token", "Cookie", "session_key", "msg", "x", "authorization", "pwd"]
    texts = [
        SECRET,
        "Bearer abcdefghijkl",
        'a "quoted" password="x"',
        "pwd:",
        "\\",
        "https://u:p@h/",
        "ş",
        "",
        "[{",
    ]

    def value(depth: int) -> Any:
        kinds = [None, True, 1.5, -3, dice.choice(texts), dice.choice(texts) + dice.choice(texts)]
        if depth < 3:
            kinds += [[value(depth + 1) for _ in range(dice.randint(0, 3))], document(depth + 1)]
        return dice.choice(kinds)

    def document(depth: int = 0) -> dict[str, Any]:
        return {dice.choice(names): value(depth) for _ in range(dice.randint(0, 4))}

    def keys(one: Any) -> Any:
        if isinstance(one, dict):
            return {name: keys(inner) for name, inner in one.items()}
        return None

    for _ in range(FUZZ):
        one = document()
        assert list(keys(masked(one))) == list(keys(one)), one


@pytest.mark.feature("S3")
def test_a_line_with_a_list_of_cookies_is_stored(server: Any) -> None:
    """Caddy's access log, whose headers are lists, is stored and its cookies are not."""
    line = {"msg": "handled request", "request": {"headers": {"Cookie": [f"id={SECRET}"], "Accept": ["*/*"]}}}
    assert server.client.post("/api/mamimon/logs?dataset=caddy", json=line).json()["accepted"] == 1
    found = search(server, dataset="caddy")[0]
    assert found["request"]["headers"] == {"Cookie": ["***"], "Accept": ["*/*"]}
