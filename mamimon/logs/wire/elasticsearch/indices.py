"""What is asked of indices beside searching: settings, statistics, analysis, opening and closing.

An index here has no settings of its own. What is asked is answered truthfully; a change that would
have no effect is refused, except for mappings, which writers send as a matter of course and which
would change nothing that can be searched: they are acknowledged with a warning.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.text import fold
from mamimon.logs.wire.elasticsearch import info, search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.definitions import warned
from mamimon.logs.wire.elasticsearch.documents import one_by_id
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.parameters import check_parameters, merged

# What may be asked for because it is so in any case: no replicas, and found at once.
_TRUE_ALREADY = {"number_of_replicas": {"0", "1"}, "refresh_interval": {"1s", "5s", "30s", "-1", "None"}}
_SHARDS = {"total": 1, "successful": 1, "failed": 0}


async def _picked(call: Call) -> list[IndexInfo]:
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    return names.pick(await call.room.catalogue.all())


async def settings(call: Call) -> Answer:
    """`GET _settings`."""
    wanted = [part for part in call.parts.get("name", "").split(",") if part and part != "_all"]
    answer: dict[str, Any] = {}
    for one in await _picked(call):
        flat = {f"index.{key}": value for key, value in info.settings_of(one).items()}
        if wanted:
            flat = {k: v for k, v in flat.items() if any(fnmatch.fnmatchcase(k, part) for part in wanted)}
        nested = {"index": {k.removeprefix("index."): v for k, v in flat.items()}} if flat else {}
        answer[one.index] = {"settings": flat if call.flag("flat_settings") else nested}
    return Answer(answer)


async def put_settings(call: Call) -> Answer:
    """`PUT _settings`: only what is the case already is acknowledged."""
    await _picked(call)
    body = search.object_of(call.body)
    for key, value in _flat(body.get("settings", body), ""):
        name = key.removeprefix("index.")
        if name not in _TRUE_ALREADY or str(value) not in _TRUE_ALREADY[name]:
            raise illegal(
                f"unknown setting [index.{name[:80]}]: an index of a log store has no settings to change"
            )
    return Answer(
        {"acknowledged": True},
        headers=warned(
            "settings are not used: there are no replicas, and what is acknowledged can be searched"
        ),
    )


def _flat(body: Any, path: str) -> list[tuple[str, Any]]:
    if not isinstance(body, dict):
        return [(path, body)]
    return [pair for key, value in body.items() for pair in _flat(value, f"{path}.{key}" if path else key)]


async def stats(call: Call) -> Answer:
    """`_stats`: documents and bytes."""
    found = await _picked(call)
    metric = {part for part in call.parts.get("metric", "").split(",") if part and part != "_all"}
    whole = {"docs": sum(one.docs for one in found), "size": sum(one.size for one in found),
             "deleted": sum(one.deleted for one in found)}  # fmt: skip
    both = _counts(metric, whole["docs"], whole["deleted"], whole["size"], len(found))
    return Answer(
        {
            "_shards": {"total": len(found), "successful": len(found), "failed": 0},
            "_all": {"primaries": both, "total": both},
            "indices": {
                one.index: {
                    "uuid": info.pseudo_uuid(one.index),
                    "health": "green",
                    "status": "open",
                    "primaries": (own := _counts(metric, one.docs, one.deleted, one.size, 1)),
                    "total": own,
                }
                for one in found
            },
        }
    )


def _counts(metric: set[str], docs: int, deleted: int, size: int, segments: int) -> dict[str, Any]:
    every = {
        "docs": {"count": docs, "deleted": deleted, "total_size_in_bytes": size},
        "store": {"size_in_bytes": size, "total_data_set_size_in_bytes": size, "reserved_in_bytes": 0},
        "segments": {"count": segments},
    }
    return {key: value for key, value in every.items() if not metric or key in metric}


async def several(call: Call) -> Answer:
    """`_mget`."""
    check_parameters("several documents", call.path, call.params)
    body = search.object_of(call.body)
    index = call.parts.get("index", "")
    asked = body.get("docs")
    if asked is None and isinstance(body.get("ids"), list):
        asked = [{"_id": one} for one in body["ids"]]
    if not isinstance(asked, list) or not asked:
        raise EsError(
            400, "action_request_validation_exception", "Validation Failed: 1: no documents to get;"
        )
    if len(asked) > 10_000:
        raise illegal("more than 10000 documents")
    answers: list[dict[str, Any]] = []
    asked_of_all = merged({}, call.params)
    for one in asked:
        if not isinstance(one, dict):
            raise parsing("[docs] must be objects")
        own = str(one.get("_index") or index)
        if not own or one.get("_id") is None:
            raise EsError(
                400,
                "action_request_validation_exception",
                f"Validation Failed: 1: {'index' if not own else 'id'} is missing for doc {len(answers)};",
            )
        spec = {**asked_of_all, **{k: one[k] for k in ("_source", "stored_fields") if k in one}}
        try:
            hit = await one_by_id(call, own, str(one["_id"]), spec)
        except EsError as error:
            answers.append({"_index": own, "_id": str(one["_id"]), **error.body()})
            continue
        answers.append(hit or {"_index": own, "_id": str(one["_id"]), "found": False})
    return Answer({"docs": answers})


async def analyze(call: Call) -> Answer:
    """`_analyze`: the words that the text of a line is searched by."""
    body = search.object_of(call.body)
    name = body.get("analyzer", call.params.get("analyzer", "standard"))
    if name not in {"standard", "default"} or any(
        key in body for key in ("tokenizer", "filter", "char_filter")
    ):
        raise illegal(
            f"failed to find global analyzer [{str(name)[:60]}]: lines are cut into words in one way"
        )
    text = body.get("text", call.params.get("text"))
    if text is None:
        raise EsError(400, "action_request_validation_exception", "Validation Failed: 1: text is missing;")
    found: list[dict[str, Any]] = []
    before = 0
    for part in map(str, text if isinstance(text, list) else [text]):
        for word in re.finditer(r"\w+", part):
            one = {"token": fold(word.group()), "start_offset": before + word.start()}
            found.append(
                {**one, "end_offset": before + word.end(), "type": "<ALPHANUM>", "position": len(found)}
            )
        before += len(part) + 1
    return Answer({"tokens": found})


async def put_mapping(call: Call) -> Answer:
    """`PUT _mapping`: acknowledged, for every field of a line can be searched without one."""
    await _picked(call)
    body = search.object_of(call.body)
    if body.get("dynamic") in {"strict", False, "false"}:
        raise illegal(
            f"[dynamic: {str(body['dynamic']).lower()}] is not supported by a log store: every field is kept"
        )
    return Answer(
        {"acknowledged": True},
        headers=warned("mappings are not used: every field can be searched without them"),
    )


async def opened(call: Call) -> Answer:
    """`_open`: an index is never closed."""
    await _picked(call)
    return Answer({"acknowledged": True, "shards_acknowledged": True})


async def refuse(call: Call) -> Answer:
    """What would hold lines back or move them."""
    await _picked(call)
    raise illegal(f"[{call.parts['what']}] is not supported by a log store")


async def cleared(call: Call) -> Answer:
    """`_cache/clear`: there is no cache that could be stale."""
    await _picked(call)
    return Answer({"_shards": _SHARDS})


async def cluster_settings(call: Call) -> Answer:
    """`GET _cluster/settings`: none is set."""
    answer: dict[str, Any] = {"persistent": {}, "transient": {}}
    if call.flag("include_defaults"):
        answer["defaults"] = {}
    return Answer(answer)


async def put_cluster_settings(call: Call) -> Answer:
    """`PUT _cluster/settings`: there is nothing that could be set."""
    body = search.object_of(call.body)
    found = [key for part in ("persistent", "transient") for key, _ in _flat(body.get(part) or {}, "")]
    if found:
        raise illegal(f"{next(iter(body))} setting [{found[0][:80]}], not recognized")
    return Answer({"acknowledged": True, "persistent": {}, "transient": {}})


async def ilm_status(call: Call) -> Answer:
    """`_ilm/status`: policies are kept but not run."""
    return Answer({"operation_mode": "STOPPED"})


_INDEX = r"/(?P<index>[^/_][^/]*|_all)"
_MAYBE = rf"(?:{_INDEX})?"
ROUTES = (
    ("GET", rf"{_MAYBE}/_settings?(?:/(?P<name>[^/]+))?", settings),
    ("PUT", rf"{_MAYBE}/_settings", put_settings),
    ("GET", rf"{_MAYBE}/_stats(?:/(?P<metric>[^/]+))?", stats),
    ("GET|POST", rf"{_MAYBE}/_mget", several),
    ("GET|POST", rf"{_MAYBE}/_analyze", analyze),
    ("PUT|POST", rf"{_INDEX}/_mappings?", put_mapping),
    ("POST", rf"{_INDEX}/_open", opened),
    ("POST|PUT", rf"{_INDEX}/(?P<what>_close|_rollover|_shrink|_split|_clone|_block)(?:/[^/]+)?", refuse),
    ("POST", rf"{_MAYBE}/_cache/clear", cleared),
    ("GET", r"/_cluster/settings", cluster_settings),
    ("PUT", r"/_cluster/settings", put_cluster_settings),
    ("GET", r"/_ilm/status", ilm_status),
)
