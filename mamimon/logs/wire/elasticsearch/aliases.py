"""Aliases: other names for indices. They are kept in the state and known to every call that takes names."""

from __future__ import annotations

import fnmatch
from functools import partial
from typing import Any

import msgspec

from mamimon.logs.store import definitions as store
from mamimon.logs.wire.elasticsearch import search
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal, parsing
from mamimon.logs.wire.elasticsearch.names import Aliases, check_name

KIND = "_alias"
_OPTIONS = {"is_write_index", "is_hidden", "routing", "index_routing", "search_routing"}


async def get(call: Call) -> Answer:
    """`GET` and `HEAD` of `_alias`: the indices with their aliases."""
    wanted = [part for part in call.parts.get("name", "").split(",") if part]
    names = call.names()
    await search.check_names(call.room, names, call.lenient)
    every = not wanted or "_all" in wanted
    answer: dict[str, Any] = {}
    seen: set[str] = set()
    for info in names.pick(await call.room.catalogue.all()):
        own = {alias: options for alias, options in of_index(call.room.aliases, info.index).items()
               if every or any(fnmatch.fnmatchcase(alias, part) for part in wanted)}  # fmt: skip
        seen |= set(own)
        if own or not wanted:
            answer[info.index] = {"aliases": own}
    missing = [part for part in wanted if "*" not in part and part != "_all" and part not in seen]
    if missing:
        reason = f"alias{'es' if len(missing) > 1 else ''} [{','.join(missing)[:200]}] missing"
        return Answer({"error": reason, "status": 404, **answer}, 404)
    return Answer(answer)


def of_index(aliases: Aliases, index: str) -> dict[str, dict[str, Any]]:
    """The aliases of one index with their options."""
    return {alias: options[index] for alias, options in aliases.items() if index in options}


async def put(call: Call) -> Answer:
    """`PUT <index>/_alias/<name>`; both may also be in the body."""
    body = search.object_of(call.body)
    index = call.parts.get("index") or body.pop("index", "")
    name = call.parts.get("name") or body.pop("alias", "")
    body.pop("index", None), body.pop("alias", None)
    if not index or not name:
        missing = "index" if not index else "alias"
        raise EsError(
            400,
            "action_request_validation_exception",
            f"Validation Failed: 1: [{missing}] can't be empty string;",
        )
    await _add(call, [str(index)], [str(name)], body)
    return Answer({"acknowledged": True})


async def delete(call: Call) -> Answer:
    """`DELETE <index>/_alias/<name>`."""
    await _remove(call, [call.parts["index"]], call.parts["name"].split(","))
    return Answer({"acknowledged": True})


async def change(call: Call) -> Answer:
    """`POST /_aliases`: several changes in the order given."""
    actions = search.object_of(call.body).get("actions")
    if not isinstance(actions, list) or not actions:
        raise illegal("No action specified")
    for action in actions:
        if not isinstance(action, dict) or len(action) != 1:
            raise parsing("[aliases] an action is an object with one key")
        kind, spec = next(iter(action.items()))
        if not isinstance(spec, dict):
            raise parsing(f"[{str(kind)[:40]}] must be an object")
        spec = dict(spec)
        indices = _texts(spec.pop("indices", None) or spec.pop("index", None))
        names = _texts(spec.pop("aliases", None) or spec.pop("alias", None))
        if not indices or not names:
            raise illegal("One of [index] or [indices] and of [alias] or [aliases] is required")
        must = spec.pop("must_exist", None)
        if kind == "add":
            await _add(call, indices, names, spec)
        elif kind == "remove":
            await _remove(call, indices, names, lenient=must is False)
        else:
            raise illegal(f"[{str(kind)[:40]}] is not supported by a log store")
    return Answer({"acknowledged": True})


def _texts(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [] if value is None else [value])]


async def add(call: Call, index: str, asked: Any) -> None:
    """The `aliases` of an index that is made."""
    if not isinstance(asked, dict):
        raise parsing("[aliases] must be an object")
    for name, options in asked.items():
        await _add(call, [index], [name], options or {})


def check(asked: dict[str, Any]) -> None:
    """Refuse what an alias here cannot have."""
    for name, options in asked.items():
        check_name(name)
        for key in options or {}:
            if key == "filter":
                raise illegal(
                    f"alias [{name[:80]}]: an alias with a [filter] is not supported by a log store"
                )
            if key not in _OPTIONS:
                raise parsing(f"[alias] unknown field [{str(key)[:60]}]")


async def _add(call: Call, indices: list[str], names: list[str], options: dict[str, Any]) -> None:
    check(dict.fromkeys(names, options))
    known = {info.index for info in await call.room.catalogue.all()}
    for text in indices:
        meant = call.names(text)
        await search.check_names(call.room, meant)
        found = [info.index for info in meant.pick(await call.room.catalogue.all())]
        for name in names:
            if name in known:
                raise EsError(
                    400,
                    "invalid_alias_name_exception",
                    f"Invalid alias name [{name}]: an index or data stream exists with the same name"
                    " as the alias",
                    index=name,
                )
            of = {**call.room.aliases.get(name, {}), **dict.fromkeys(found, options)}
            await _keep(call, name, of)


async def _remove(call: Call, indices: list[str], names: list[str], *, lenient: bool = False) -> None:
    for text in indices:
        meant = call.names(text)
        await search.check_names(call.room, meant)
        found = {info.index for info in meant.pick(await call.room.catalogue.all())}
        for name in names:
            pattern = "*" if name == "_all" else name
            hit = [
                a
                for a, of in call.room.aliases.items()
                if fnmatch.fnmatchcase(a, pattern) and found & set(of)
            ]
            if not hit and not lenient:
                raise EsError(404, "aliases_not_found_exception", f"aliases [{name[:80]}] missing")
            for alias in hit:
                left = {i: o for i, o in call.room.aliases[alias].items() if i not in found}
                await _keep(call, alias, left)


async def forget(call: Call, indices: set[str]) -> None:
    """The aliases of indices that are deleted."""
    for alias, of in list(call.room.aliases.items()):
        if indices & set(of):
            await _keep(call, alias, {i: o for i, o in of.items() if i not in indices})


async def _keep(call: Call, name: str, of: dict[str, dict[str, Any]]) -> None:
    state = call.core.state
    if of:
        body = msgspec.json.encode(of)
        await state.write(partial(store.put, kind=KIND, name=name, body=body, now=call.now))
        call.room.aliases[name] = of
    else:
        await state.write(partial(store.delete, kind=KIND, names=[name]))
        call.room.aliases.pop(name, None)


_INDEX = r"/(?P<index>[^/_][^/]*|_all)"
_NAME = r"/(?P<name>[^/]+)"
ROUTES = (
    ("GET|HEAD", rf"(?:{_INDEX})?/_alias(?:es)?(?:{_NAME})?", get),
    ("PUT|POST", rf"(?:{_INDEX})?/_alias(?:es)?{_NAME}", put),
    ("PUT", rf"(?:{_INDEX})?/_alias(?:es)?", put),
    ("POST", rf"{_INDEX}/_alias(?:es)?", put),
    ("POST", r"/_aliases", change),
    ("DELETE", rf"{_INDEX}/_alias(?:es)?{_NAME}", delete),
)
