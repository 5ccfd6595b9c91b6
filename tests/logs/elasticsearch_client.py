"""What an application does with its Elasticsearch client; run with the client to use on the path.

    python elasticsearch_client.py URL elasticsearch|opensearchpy

Prints what it saw as one JSON object.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

# Lines without a time are of today, so that is the index that has them.
INDEX = time.strftime("logs-shop-%Y.%m.%d", time.gmtime())


def main(url: str, library: str) -> None:
    """Write, search, page, count, delete and fail, each by the client's own means."""
    module = importlib.import_module(library)
    helpers = importlib.import_module(f"{library}.helpers")
    es = (module.Elasticsearch if library == "elasticsearch" else module.OpenSearch)(url)
    seen: dict[str, Any] = {
        "version": list(module.__version__),
        "tagline": es.info()["tagline"],
        "ping": es.ping(),
    }
    lines = [
        {"_op_type": "create", "_index": INDEX, "_id": f"n{n}",
         "_source": {"level": "ERROR" if n % 10 == 0 else "INFO", "message": f"ödeme {n}", "took": n}}
        for n in range(250)
    ]  # fmt: skip
    seen["bulk"] = helpers.bulk(es, lines)[0]
    again = list(helpers.streaming_bulk(es, lines[:2], raise_on_error=False))
    seen["again"] = [item["create"]["status"] for _, item in again]
    body = {
        "query": {"bool": {"filter": [{"match": {"level": "ERROR"}}, {"range": {"took": {"gte": 100}}}]}},
        "sort": [{"took": "desc"}],
        "size": 3,
        "aggs": {"levels": {"terms": {"field": "level.keyword"}}},
        "highlight": {"fields": {"level": {}}},
    }
    found = es.search(index="logs-shop-*", body=body)
    seen["total"] = found["hits"]["total"]["value"]
    seen["first"] = [hit["_source"]["took"] for hit in found["hits"]["hits"]]
    seen["levels"] = [(b["key"], b["doc_count"]) for b in found["aggregations"]["levels"]["buckets"]]
    seen["highlight"] = found["hits"]["hits"][0]["highlight"]
    seen["scan"] = len({hit["_id"] for hit in helpers.scan(es, index="logs-shop-*", size=60)})
    seen["count"] = es.count(index="logs-shop-*", body={"query": {"query_string": {"query": "level:ERROR"}}})[
        "count"
    ]
    seen["get"] = es.get(index=INDEX, id="n7")["_source"]["took"]
    seen["mget"] = [d["found"] for d in es.mget(index=INDEX, body={"ids": ["n1", "none"]})["docs"]]
    seen["exists"] = [bool(es.indices.exists(index=name)) for name in (INDEX, "nothing")]
    seen["health"] = es.cluster.health()["status"]
    seen["fields"] = sorted(es.field_caps(index="logs-shop-*", fields="le*")["fields"])
    seen["deleted"] = es.delete_by_query(index="logs-shop-*", body={"query": {"match": {"level": "ERROR"}}})[
        "deleted"
    ]
    try:
        es.search(index="logs-shop-*", body={"query": {"nonsense": {}}})
    except module.exceptions.RequestError as error:
        seen["refused"] = error.status_code if library == "opensearchpy" else error.meta.status
    try:
        es.search(index="nothing-here")
    except module.NotFoundError as error:
        seen["missing"] = error.status_code if library == "opensearchpy" else error.meta.status
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
