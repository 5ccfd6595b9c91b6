"""The browser's doors as plain ASGI apps: CORS, opt-out, and the protocol's own answers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from mamimon.events.ingest import Ingest
from mamimon.events.wire.posthog import parse, unpack
from mamimon.http import AsgiApp, Receive, Scope, Send, answer, header, query, read_body
from mamimon.problems import Kind, Problem
from mamimon.storage import Core

if TYPE_CHECKING:
    from mamimon.events.model import Receipt

_log = logging.getLogger("mamimon.events")
MAX_BODY_BYTES = 20 * 1024 * 1024
_CORS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Max-Age", "86400"))
_PREFLIGHT = (
    *_CORS,
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "content-type, content-encoding, authorization, x-requested-with"),
)


def capture_door(core: Core, ingest: Ingest) -> AsgiApp:
    """The app behind `/capture/`, `/batch/` and `/e/`: it answers after the events are stored."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await answer(send, 204, content_type="", headers=_PREFLIGHT)
            return
        try:
            if scope["method"] != "POST":
                raise Problem(Kind.NOT_ALLOWED, "events are sent by POST")
            body = await _take(core, ingest, scope, receive)
        except Problem as error:
            retry = error.retry_after_s
            headers = [*_CORS, *([("Retry-After", str(max(1, round(retry))))] if retry is not None else [])]
            text = {"status": 0, "type": error.kind.name.lower(), "detail": error.detail}
            await answer(send, error.status, msgspec.json.encode(text), headers=headers)
            return
        except Exception:
            _log.exception("an events door failed")
            await answer(send, 500, b'{"status":0,"detail":"mamimon made a mistake"}', headers=_CORS)
            return
        await answer(send, 200, body, headers=_CORS)

    return run


async def _take(core: Core, ingest: Ingest, scope: Scope, receive: Receive) -> bytes:
    limit = min(MAX_BODY_BYTES, core.settings.server.max_body_bytes)
    body = await read_body(receive, limit)
    parameters = query(scope)
    body = unpack(
        body,
        header(scope, "content-encoding"),
        header(scope, "content-type"),
        parameters.get("compression", ""),
        limit,
    )
    incoming, refused = parse(body, core.clock.now())
    if core.settings.events.respect_dnt and asked_not_to_track(scope):
        ingest.opted_out(len(incoming))
        return b'{"status":1,"accepted":0,"dropped":"do-not-track"}'
    return said(await ingest.append(incoming, refused))


def asked_not_to_track(scope: Scope) -> bool:
    """Whether the browser carries Do-Not-Track or Global Privacy Control."""
    return header(scope, "dnt").strip() == "1" or header(scope, "sec-gpc").strip() == "1"


def said(receipt: Receipt) -> bytes:
    """A receipt in the protocol's dialect: `status` 1, and what was refused and why."""
    return msgspec.json.encode({"status": 1, **msgspec.structs.asdict(receipt)})
