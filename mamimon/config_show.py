"""Settings as they may be shown: no secret, no password in a URL, no header of a check."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mamimon.config import Settings, table

HIDDEN = "(set)"
_USERINFO = re.compile(r"(\w+://)[^/@\s]*@")
_QUERY = re.compile(r"(\w+://[^\s?]*)\?\S*")


def shown(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting by section and key, with what is secret replaced."""
    values: dict[str, dict[str, Any]] = msgspec.to_builtins(settings)
    for row in table():
        value = values[row.section][row.key]
        values[row.section][row.key] = HIDDEN if row.secret and value else _clean(value)
    return values


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _QUERY.sub(rf"\1?{HIDDEN}", _USERINFO.sub(rf"\1{HIDDEN}@", value))
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {
            key: dict.fromkeys(one, HIDDEN) if key == "headers" else _clean(one) for key, one in value.items()
        }
    return value
