"""The Elasticsearch door: one ASGI app under `/es`, and at the root of the drop-in port 9200."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from litestar import asgi

from mamimon.http import Receive, Scope, Send, answer, decompress, header, query, read_body, unless_gone
from mamimon.logs.wire.elasticsearch import (
    aliases,
    cat,
    definitions,
    documents,
    indices,
    info,
    searching,
    streams,
)
from mamimon.logs.wire.elasticsearch.call import Answer, Call
from mamimon.logs.wire.elasticsearch.errors import EsError, bare, no_handler, of_problem
from mamimon.problems import Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.logs")
_PRODUCT = ("x-elastic-product", "Elasticsearch")
# Of what changes something nothing is left half done.
_GIVEN_UP = {searching.find, searching.count, searching.several}
_ROUTES = [
    (frozenset(methods.split("|")), re.compile(pattern + r"/?$"), handler)
    for methods, pattern, handler in (
        *documents.ROUTES,
        *searching.ROUTES,
        *definitions.ROUTES,
        *aliases.ROUTES,
        *cat.ROUTES,
        *indices.ROUTES,
        *streams.ROUTES,
        *info.ROUTES,
    )
]


def elasticsearch_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The mounted app."""

    @asgi("/es", is_mount=True, copy_scope=False)
    async def elasticsearch(scope: Scope, receive: Receive, send: Send) -> None:
        await _serve(room, core, scope, receive, send)

    return [elasticsearch]


async def _serve(room: LogRoom, core: Core, scope: Scope, receive: Receive, send: Send) -> None:
    method = str(scope["method"])
    # Litestar may or may not take the mount's prefix away; and %2F in a name is not a folder.
    path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    path = path.removeprefix("/es").partition("?")[0] or "/"
    params = query(scope)
    try:
        limits = core.settings.server
        body = await read_body(receive, limits.max_body_bytes)
        encoding = header(scope, "content-encoding")
        if encoding:
            body = decompress(body, encoding, limits.max_decompressed_bytes)
        if params.get("format", "json") not in {"json", "yaml", "text", "txt"}:
            raise EsError(
                406,
                "media_type_header_exception",
                f"Invalid media-type value on parameter [format]: [{params['format'][:40]}]",
            )
        reply = await _route(Call(room, core, method, path, params, body), receive)
    except EsError as error:
        reply = Answer(error.body(), error.status)
        params.pop("filter_path", None)
    except Problem as problem:
        refused = of_problem(problem)
        headers = (
            []
            if problem.retry_after_s is None
            else [("retry-after", str(max(1, round(problem.retry_after_s))))]
        )
        reply = Answer(refused.body(), refused.status, headers=headers)
    except Exception:
        _log.exception("%s %s failed", method, path)
        failed = EsError(500, "exception", "mamimon made a mistake; its log has the details")
        reply = Answer(failed.body(), 500)
    content, kind = _written(reply, params, header(scope, "accept"))
    sent = b"" if method == "HEAD" else content
    await answer(send, reply.status, sent, content_type=kind, headers=[_PRODUCT, *reply.headers])


async def _route(call: Call, receive: Receive) -> Answer:
    for methods, pattern, handler in _ROUTES:
        if call.method in methods and (found := pattern.match(call.path)):
            call.parts = {name: unquote(part or "") for name, part in found.groupdict().items()}
            if handler in _GIVEN_UP:
                return await unless_gone(receive, handler(call))
            return await handler(call)
    known = sorted({m for methods, pattern, _ in _ROUTES if pattern.match(call.path) for m in methods})
    if known:
        raise bare(
            405,
            f"Incorrect HTTP method for uri [{call.path}] and method [{call.method}],"
            f" allowed: [{', '.join(known)}]",
        )
    raise no_handler(call.method, call.path)


def _written(reply: Answer, params: dict[str, str], accept: str) -> tuple[bytes, str]:
    if isinstance(reply.body, str):
        return reply.body.encode(), "text/plain; charset=UTF-8"
    body: Any = reply.body
    if "filter_path" in params:
        body = info.filter_path(msgspec.json.decode(msgspec.json.encode(body)), params["filter_path"])
    form = params.get("format", "json")
    if form == "yaml":
        import yaml

        plain = msgspec.json.decode(msgspec.json.encode(body))
        return yaml.safe_dump(plain, allow_unicode=True, sort_keys=False).encode(), "application/yaml"
    content = msgspec.json.encode(body)
    if params.get("pretty", "false") in {"", "true"}:
        content = msgspec.json.format(content, indent=2) + b"\n"
    if found := re.search(r"application/vnd\.elasticsearch\+json\s*;\s*compatible-with=(\d+)", accept):
        return content, f"application/vnd.elasticsearch+json;compatible-with={found[1]}"
    return content, "application/json"
