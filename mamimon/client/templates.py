"""The route template of a request (`/chat/{id}`), so that the `path` label stays bounded.

Litestar, Starlette and FastAPI leave it in the scope, Flask in the environ; Django is asked to resolve the
path again. Where nobody knows, parts that look like ids are replaced and only so many paths are told apart.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

UNMATCHED = "unmatched"
MAX_GUESSED = 200

# Numbers, UUIDs, long hex and anything long with digits: what programs put into paths as an id.
_ID = re.compile(r"\A(?:[0-9]+|[0-9a-fA-F-]{16,}|(?=[^/]*[0-9])[^/]{20,}|[^/]{64,}|[^/]*(?:%|@)[^/]*)\Z")
_guessed: set[str] = set()


def of_scope(scope: Mapping[str, Any], base: str, status: int) -> str:
    """The template of an ASGI request after the application has answered; `base` was its root_path before."""
    template = scope.get("path_template")
    if isinstance(template, str) and template:
        return template
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if isinstance(path, str):
        prefix = str(scope.get("root_path", ""))
        prefix = prefix[len(base) :] if prefix.startswith(base) else prefix
        return prefix + path or "/"
    endpoint = scope.get("endpoint")
    if endpoint is not None and scope.get("path_params"):
        return _substitute(str(scope["path"]), scope["path_params"])
    if endpoint is None and status == 404 and "router" in scope:
        return UNMATCHED
    return _otherwise(str(scope["path"]), status)


def of_environ(environ: Mapping[str, Any], status: int) -> str:
    """The template of a WSGI request after the application has answered."""
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(getattr(request, "url_rule", None), "rule", None)
        return str(rule) if rule else UNMATCHED
    return _otherwise(str(environ.get("PATH_INFO") or "/"), status)


def _otherwise(path: str, status: int) -> str:
    django = _django(path)
    if django:
        return django
    return UNMATCHED if status == 404 else guess(path)


def _substitute(path: str, parameters: Mapping[str, Any]) -> str:
    parts = path.split("/")
    for name, value in parameters.items():
        text = str(value)
        if text in parts:
            parts[parts.index(text)] = "{" + name + "}"
    return "/".join(parts)


def _django(path: str) -> str:
    """Django's pattern for a path, where Django is configured in this process; else nothing."""
    if "django.core.handlers.base" not in sys.modules:
        return ""
    return _django_route(path)


@lru_cache(maxsize=1024)
def _django_route(path: str) -> str:
    from importlib import import_module

    try:
        if not import_module("django.conf").settings.configured:
            return ""
        found = import_module("django.urls").resolve(path)
    except Exception as error:  # Resolver404, or a URL configuration that cannot be imported
        return UNMATCHED if type(error).__name__ == "Resolver404" else ""
    return "/" + str(found.route).lstrip("^").rstrip("$")


def guess(path: str) -> str:
    """A path with what looks like an id replaced; after 200 different ones the rest is `other`."""
    template = "/".join("{id}" if _ID.match(part) else part for part in path.split("/"))[:200]
    if template in _guessed:
        return template
    if len(_guessed) >= MAX_GUESSED:
        return "other"
    _guessed.add(template)
    return template
