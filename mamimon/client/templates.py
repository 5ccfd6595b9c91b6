"""The route template of a request (`/chat/{id}`), so that the `path` label stays bounded.

Litestar, Starlette and FastAPI leave it in the scope, Flask in the environ; Django is asked to resolve the
path again. Where nobody knows, parts that look like ids are replaced and only so many paths are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

UNMATCHED = "unmatched"
MAX_GUESSED = 200

# Numbers, UUIDs, long hex and anything long with digits: what programs put into paths as an id.
_ID = re.compile(r"\A(?:[0-9]+|[0-9a-fA-F-]{16,}|(?=[^/]*[0-9])[^/]{20,}|[^/]{64,}|[^/]*(?:%|@)[^/]*)\Z")
_guessed: set[str] = set()


def of_scope(scope: Mapping[str, Any], base: str, status: int, django: bool) -> str:
    """The template of an ASGI request after the application has answered; `base` was its root_path before."""
    template = scope.get("path_template")
    if isinstance(template, str) and template:
        return template
    route = scope.get("route")
    inner = scope.get("fastapi")  # since 0.116, where an included router's prefix is kept apart
    if isinstance(inner, dict):
        route = inner.get("effective_route_context") or route
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
    return _otherwise(str(scope["path"]), status, django)


def of_environ(environ: Mapping[str, Any], status: int, django: bool) -> str:
    """The template of a WSGI request when the response starts: Flask forgets it at the end."""
    request = environ.get("werkzeug.request")
    if request is not None:
        rule = getattr(getattr(request, "url_rule", None), "rule", None)
        return str(rule) if rule else UNMATCHED
    return _otherwise(str(environ.get("PATH_INFO") or "/"), status, django)


def _otherwise(path: str, status: int, django: bool) -> str:
    if django:
        return _django_route(path) or UNMATCHED
    return UNMATCHED if status == 404 else guess(path)


def _substitute(path: str, parameters: Mapping[str, Any]) -> str:
    parts = path.split("/")
    for name, value in parameters.items():
        text = str(value)
        if text in parts:
            parts[parts.index(text)] = "{" + name + "}"
    return "/".join(parts)


def is_django(app: Any) -> bool:
    """Whether an application, or what it visibly wraps, is Django's handler."""
    for _ in range(8):
        if app is None or type(app).__module__.startswith("django."):
            break
        app = getattr(app, "app", None) or getattr(app, "application", None)
    return app is not None


@lru_cache(maxsize=1024)
def _django_route(path: str) -> str:
    from importlib import import_module

    try:
        found = import_module("django.urls").resolve(path)
    except Exception:  # Resolver404, or a URL configuration that cannot be imported
        return ""
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
