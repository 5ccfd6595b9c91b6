"""An event's JSON as clients write it that keep to the format: read in one pass, frames with their types.

What does not keep to it is read without types; both give `normalise` the same table.
"""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from mamimon.errors.sent import SentCrumb, SentFrame
from mamimon.errors.wire.envelope import decode_json


class _Stack(TypedDict):
    frames: list[SentFrame] | None


class _Error(TypedDict, total=False):
    type: Any
    value: Any
    module: Any
    mechanism: Any
    stacktrace: _Stack | None


class _Errors(TypedDict):
    values: list[_Error] | None


class _Crumbs(TypedDict):
    values: list[SentCrumb] | None


# Everything that `normalise` asks for; what else a client sends is passed over without being built.
_Old = TypedDict(
    "_Old",
    {
        "sentry.interfaces.Message": Any,
        "sentry.interfaces.Exception": Any,
        "sentry.interfaces.Stacktrace": Any,
    },
    total=False,
)


class _Event(_Old, total=False):
    event_id: Any
    timestamp: Any
    platform: Any
    level: Any
    logger: Any
    message: Any
    logentry: Any
    transaction: Any
    culprit: Any
    release: Any
    dist: Any
    environment: Any
    server_name: Any
    exception: _Errors | list[_Error] | None
    stacktrace: Any
    threads: Any
    breadcrumbs: _Crumbs | list[SentCrumb] | None
    tags: Any
    user: Any
    request: Any
    contexts: Any
    extra: Any
    modules: Any
    sdk: Any
    fingerprint: Any
    debug_meta: Any


_decoder = msgspec.json.Decoder(_Event)


def decode_event(payload: bytes) -> Any:
    """The JSON of an event; raises `ValueError` for what is no JSON."""
    # A NUL is the one thing that the types let through and that cleaning takes out.
    if b"\\u0000" in payload:
        return decode_json(payload)
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return decode_json(payload)
