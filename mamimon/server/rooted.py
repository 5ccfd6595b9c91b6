"""A further project's pages under its own prefix: their addresses are written for the root.

Templates and handlers know nothing of projects. What a template made, whole or in part, gets the prefix on
its way out, and so do headers that send a browser somewhere: two tabs of two projects never meet, and no
page, form or redirect can forget it. Scripts read the prefix from `<html data-root>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

import jinja2

from mamimon.http import AsgiApp, Receive, Scope, Send

# Addresses of the server itself stay: what pages are made of, signing in, the own account, other projects.
_ADDRESS = r"/(?!/|static/|log(?:in|out)\b|account\b|language/|join/|p/)"
_IN_HTML = re.compile(
    r"(\s(?:href|src|action|formaction|hx-(?:get|post|put|patch|delete)|sse-connect"
    r'|data-(?:src|live|complete|copy-from))=")(?=' + _ADDRESS + ")"
)
_IN_HEADER = re.compile(_ADDRESS.encode())
_LEADING = {b"location", b"hx-redirect", b"hx-location", b"hx-push-url", b"hx-replace-url"}


def rooted_templates(root: str) -> type[jinja2.Template]:
    """Templates whose addresses are below `root`."""

    inserted = rf"\g<1>{root}"

    class Rooted(jinja2.Template):
        def render(self, *args: Any, **kwargs: Any) -> str:
            return _IN_HTML.sub(inserted, super().render(*args, **kwargs))

        def generate(self, *args: Any, **kwargs: Any) -> Iterator[str]:
            held = ""
            for piece in super().generate(*args, **kwargs):
                # A tag is made of several pieces; it is looked at whole. (`+` would escape beside Markup.)
                held = "".join((held, piece))
                if held.rfind("<") <= held.rfind(">"):
                    yield _IN_HTML.sub(inserted, held)
                    held = ""
            yield _IN_HTML.sub(inserted, held)

    return Rooted


def rooted(app: AsgiApp, root: str) -> AsgiApp:
    """The app whose redirects lead below `root`."""

    def moved(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        key, value = pair[0].lower(), pair[1]
        leads = key in _LEADING and _IN_HEADER.match(value)
        return key, root.encode() + value if leads else value

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def forward(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [moved(pair) for pair in message.get("headers", [])]}
            await send(message)

        await app(scope, receive, forward)

    return run
