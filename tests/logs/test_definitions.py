"""What clients install at the Elasticsearch door is told back truthfully, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from elasticsearch import BadRequestError, Elasticsearch, ElasticsearchWarning, NotFoundError

from mamimon.storage.days import day_of


def client(server: Any) -> Elasticsearch:
    """elasticsearch-py as people make it."""
    return Elasticsearch(f"{server.url}/es", request_timeout=30)


@pytest.mark.feature("L2")
def test_templates_and_policies_come_back_after_a_restart(start: Callable[..., Any]) -> None:
    """What was installed is given back as sent, after a restart too, and a warning says it does nothing."""
    server = start()
    template = {"index_patterns": ["logs-x-*"], "template": {"settings": {"number_of_shards": 1}}}
    policy = {"phases": {"delete": {"min_age": "7d", "actions": {"delete": {}}}}}
    with client(server) as es:
        with pytest.warns(ElasticsearchWarning, match="change nothing"):
            es.indices.put_index_template(name="x", **template)
        with pytest.warns(ElasticsearchWarning, match=r"logs\.retention_days"):
            es.ilm.put_lifecycle(name="week", policy=policy)
        with pytest.warns(ElasticsearchWarning, match="change nothing"):
            es.cluster.put_component_template(name="part", template={"mappings": {}})
    server.stop()
    with client(start()) as es:
        assert es.indices.get_index_template(name="x")["index_templates"] == [
            {"name": "x", "index_template": template}
        ]
        assert es.ilm.get_lifecycle(name="week")["week"]["policy"] == policy
        assert es.cluster.get_component_template(name="p*")["component_templates"][0]["name"] == "part"
        assert es.indices.exists_index_template(name="x")
        es.indices.delete_index_template(name="x")
        assert not es.indices.exists_index_template(name="x")
        with pytest.raises(NotFoundError, match="index_template_missing_exception"):
            es.indices.delete_index_template(name="x")
        with pytest.raises(NotFoundError, match="not found"):
            es.ilm.get_lifecycle(name="other")


@pytest.mark.feature("L2")
def test_a_pipeline_that_would_change_lines_is_refused(server: Any) -> None:
    """A pipeline with a processor is refused, and so is a write through one that is not there."""
    with client(server) as es:
        with pytest.raises(BadRequestError, match="No processor type exists with name \\[set\\]"):
            es.ingest.put_pipeline(id="stamp", processors=[{"set": {"field": "a", "value": 1}}])
        with pytest.raises(BadRequestError, match="pipeline with id \\[stamp\\] does not exist"):
            es.index(index="logs-a", document={"message": "x"}, pipeline="stamp")
        answer = es.bulk(
            operations=[
                {"create": {"_index": "logs-a", "pipeline": "stamp"}}, {"message": "1"},
                {"create": {"_index": "logs-a", "pipeline": "_none"}}, {"message": "2"},
            ]
        )  # fmt: skip
        assert [item["create"]["status"] for item in answer["items"]] == [400, 201]
        es.ingest.put_pipeline(id="nothing", processors=[])
        assert es.index(index="logs-a", document={"message": "3"}, pipeline="nothing")["result"] == "created"
        assert es.count(index="logs-a")["count"] == 2


@pytest.mark.feature("L2")
def test_an_index_can_be_made_empty(server: Any) -> None:
    """PUT lists an index without lines; a second one, filtered aliases and days without lines are refused."""
    today = day_of(server.server.clock.now()).replace("-", ".")
    with client(server) as es:
        for name in (f"logs-new-{today}", "plain"):
            assert not es.indices.exists(index=name)
            made = es.indices.create(index=name)
            assert made["acknowledged"] and made["index"] == name
            assert es.count(index=name)["count"] == 0
            assert es.cat.indices(index=name, format="json")[0]["docs.count"] == "0"
            with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
                es.indices.create(index=name)
            es.index(index=name, document={"message": "first"})
            assert es.count(index=name)["count"] == 1
        with pytest.raises(BadRequestError, match="filter"):
            es.indices.create(index="other", aliases={"a": {"filter": {"term": {"a": 1}}}})
        with pytest.raises(BadRequestError, match="no line is taken for"):
            es.indices.create(index="logs-new-1999.01.01")
        with pytest.raises(BadRequestError, match="no matching index template"):
            es.indices.create_data_stream(name="stream")


@pytest.mark.feature("L2")
def test_security_is_not_pretended(server: Any) -> None:
    """Users and roles of Elasticsearch are refused as by one without its security."""
    answer = httpx.put(f"{server.url}/es/_security/user/eve", json={"password": "secret-1", "roles": []})
    assert answer.status_code == 400
    assert "no handler found" in answer.json()["error"]
