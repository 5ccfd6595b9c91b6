"""What clients send that keep to the format and to the limits, as types: decoding it has checked it.

The limits are those of `values.clean`, so what was decoded by these types needs no cleaning.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mamimon.errors.values import MAX_ITEMS, MAX_TEXT, WIDE

_Scalar = (
    None
    | bool
    | Annotated[int, Meta(ge=1 - WIDE, le=WIDE - 1)]
    | Annotated[float, Meta(gt=float(-WIDE), lt=float(WIDE))]
    | Annotated[str, Meta(max_length=MAX_TEXT)]
)
_Name = Annotated[str, Meta(max_length=200)]


def _nested(depth: int) -> Any:
    """JSON values of at most so many tables and lists in each other."""
    if not depth:
        return _Scalar
    inner = _nested(depth - 1)
    return (
        _Scalar
        | Annotated[list[inner], Meta(max_length=MAX_ITEMS)]  # type: ignore[valid-type]
        | Annotated[dict[_Name, inner], Meta(max_length=MAX_ITEMS)]  # type: ignore[valid-type]
    )


MAX_VARIABLES, VARIABLE_DEPTH = 60, 4
MAX_DATA, DATA_DEPTH = 30, 3
_Variable = _nested(VARIABLE_DEPTH)
_Datum = _nested(DATA_DEPTH)


class SentFrame(msgspec.Struct, frozen=True):
    """A frame; all but its variables is the same in every event from there."""

    vars: Annotated[dict[_Name, _Variable], Meta(max_length=MAX_VARIABLES)] | None = None  # type: ignore[valid-type]
    pre_context: tuple[str | None, ...] | None = None
    post_context: tuple[str | None, ...] | None = None
    in_app: bool | None = None
    function: str | None = None
    raw_function: str | None = None
    module: str | None = None
    filename: str | None = None
    abs_path: str | None = None
    package: str | None = None
    lineno: int | None = None
    colno: int | None = None
    context_line: str | None = None
    platform: str | None = None


class SentCrumb(msgspec.Struct, frozen=True):
    """A breadcrumb."""

    timestamp: float | str | None = None
    category: Annotated[str, Meta(max_length=100)] | None = None
    type: Annotated[str, Meta(max_length=50)] | None = None
    level: str | None = None
    message: Annotated[str, Meta(max_length=2000)] | None = None
    data: Annotated[dict[_Name, _Datum], Meta(max_length=MAX_DATA)] | None = None  # type: ignore[valid-type]
