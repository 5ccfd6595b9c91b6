"""Aliases: other names for indices, for writing, searching and deleting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def bulk(server: Any, index: str, text: str, params: str = "") -> Any:
    """One document by `_bulk`; the item of the answer."""
    body = f'{{"index":{{"_index":"{index}"}}}}\n{{"message":"{text}"}}\n'
    answer = server.client.post(f"/es/_bulk{params}", content=body.encode()).json()
    return answer["items"][0]["index"]


def total(server: Any, index: str) -> int:
    """How many documents a name means."""
    return int(server.client.get(f"/es/{index}/_count").json()["count"])


@pytest.mark.feature("L3")
def test_an_alias_is_a_name_for_searching_and_writing(start: Callable[..., Any]) -> None:
    """Searches, wildcards and writes through an alias reach its indices, before and after a restart."""
    server = start()
    es = server.client
    for index in ("app-1", "app-2", "other"):
        assert bulk(server, index, "one")["status"] == 201
    actions = [
        {"add": {"index": "app-1", "alias": "current", "is_write_index": False}},
        {"add": {"index": "app-2", "alias": "current", "is_write_index": True}},
        {"add": {"indices": ["app-*"], "aliases": ["both", "again"]}},
        {"remove": {"index": "app-1", "alias": "again"}},
    ]
    assert es.post("/es/_aliases", json={"actions": actions}).json() == {"acknowledged": True}
    server.stop()
    server = start()
    es = server.client
    assert total(server, "current") == 2 and total(server, "cur*") == 2 and total(server, "again") == 1
    assert total(server, "other,current") == 3 and total(server, "*,-current") == total(server, "*")
    stored = bulk(server, "current", "two", "?require_alias=true")
    assert (stored["status"], stored["_index"]) == (201, "app-2")
    refused = bulk(server, "both", "three")
    assert (
        refused["status"] == 400
        and "no write index is defined for alias [both]" in refused["error"]["reason"]
    )
    assert bulk(server, "other", "four", "?require_alias=true")["status"] == 404
    assert es.get("/es/app-2/_alias").json() == {
        "app-2": {"aliases": {"again": {}, "both": {}, "current": {"is_write_index": True}}}
    }
    assert es.head("/es/_alias/current").status_code == 200
    assert es.get("/es/_cat/aliases?h=alias,index&s=alias,index").text.split() == [
        "again", "app-2", "both", "app-1", "both", "app-2", "current", "app-1", "current", "app-2",
    ]  # fmt: skip
    assert es.get("/es/_resolve/index/app-1").json()["aliases"][0]["name"] == "both"


@pytest.mark.feature("L3")
def test_an_alias_ends_with_its_indices(server: Any) -> None:
    """An alias cannot be deleted as an index; deleted indices leave it, and it ends with the last."""
    es = server.client
    assert es.put("/es/app-1", json={"aliases": {"current": {}}}).status_code == 200
    assert es.delete("/es/current").status_code == 400
    assert es.put("/es/current").json()["error"]["type"] == "invalid_index_name_exception"
    assert es.put("/es/app-1/_alias/app-1").json()["error"]["type"] == "invalid_alias_name_exception"
    filtered = es.put("/es/app-1/_alias/some", json={"filter": {"term": {"a": 1}}})
    assert filtered.status_code == 400 and "[filter]" in filtered.json()["error"]["reason"]
    assert es.delete("/es/app-1").status_code == 200
    assert es.get("/es/_alias/current").status_code == 404
    assert es.delete("/es/none/_alias/x").status_code == 404
