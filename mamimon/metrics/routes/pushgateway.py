"""`/metrics/job/<job>{/<label>/<value>}`: PUT, POST and DELETE as a Pushgateway takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar import asgi

from mamimon.http import answer, decompress, header, read_body
from mamimon.metrics.wire.pushgateway import families, grouping_key
from mamimon.problems import Kind, Problem

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.http import Receive, Scope
    from mamimon.metrics.model import Labels
    from mamimon.metrics.pushed import PushedGroups
    from mamimon.storage import Core

_TEXT = "text/plain; charset=utf-8"


def pushgateway_handlers(core: Core, pushed: PushedGroups) -> list[ControllerRouterHandler]:
    """The door."""
    limits = core.settings.server

    async def take(scope: Scope, receive: Receive) -> int:
        path = (scope.get("raw_path", b"").decode("latin-1") or scope["path"]).partition("?")[0]
        key = grouping_key(path[path.index("/metrics/job") + len("/metrics/") :])
        method = scope["method"]
        if method not in ("PUT", "POST", "DELETE"):
            raise Problem(Kind.NOT_ALLOWED, "push by PUT or POST, delete by DELETE")
        if not core.writable():
            raise Problem(Kind.UNAVAILABLE, "the disk is full: read-only", retry_after_s=5)
        if method == "DELETE":
            await pushed.delete(key)
            return 202
        body = await read_body(receive, limits.max_body_bytes)
        body = decompress(body, header(scope, "content-encoding"), limits.max_decompressed_bytes)
        await push(key, body, header(scope, "content-type"), replace=method == "PUT")
        return 200

    async def push(key: Labels, body: bytes, content_type: str, *, replace: bool) -> None:
        try:
            await pushed.push(key, families(body, content_type, key), replace=replace)
        except Problem as problem:
            if problem.kind is Kind.BAD_INPUT:
                await pushed.fail(key)
            raise

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            status = await take(cast("Scope", scope), receive)
        except Problem as problem:
            retry = problem.retry_after_s
            headers = [] if retry is None else [("Retry-After", str(max(1, round(retry))))]
            text = f"{problem.detail}\n".encode()
            await answer(send, problem.status, text, content_type=_TEXT, headers=headers)
            return
        await answer(send, status, content_type="")

    return [asgi(["/metrics/job", "/metrics/job@base64"], is_mount=True, copy_scope=False)(app)]
