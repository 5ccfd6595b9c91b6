"""Who sends: the public key of a DSN, in a header, the query string or the envelope itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from mamimon.http import Scope, header, query

_PAIR = re.compile(r"([\w.\-]+)\s*=\s*([^,\s]+)")


def key_of_request(scope: Scope) -> str:
    """The key of `X-Sentry-Auth`, `Authorization: Sentry …|DSN …` or `?sentry_key=`; empty for none."""
    for name in ("x-sentry-auth", "authorization"):
        value = header(scope, name)
        scheme, _, rest = value.partition(" ")
        if scheme.lower() == "sentry":
            for key, found in _PAIR.findall(rest):
                if key == "sentry_key":
                    return str(unquote(found))
        if scheme.lower() == "dsn":
            return key_of_dsn(rest)[0]
    return query(scope).get("sentry_key", "")


def may_send(origin: str, allowed: Sequence[str]) -> bool:
    """Whether a page of that origin may send; what is no page of a site names none, and may."""
    if not origin or not allowed:
        return True
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return any(
        one.rstrip("/").lower() in {"*", origin.lower(), host} or fnmatchcase(host, one.lower())
        for one in allowed
    )


def key_of_dsn(dsn: object) -> tuple[str, int]:
    """The key and project of a DSN; an empty key and 0 where it is none."""
    if not isinstance(dsn, str) or len(dsn) > 2000:
        return "", 0
    try:
        parts = urlsplit(dsn.strip())
    except ValueError:
        return "", 0
    project = parts.path.rstrip("/").rsplit("/", 1)[-1]
    return parts.username or "", int(project) if project.isascii() and project.isdigit() else 0
