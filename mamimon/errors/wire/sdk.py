"""Gives out the browser SDK with the DSN of this server filled in.

`/sdk/mamimon.js` is an ES module or a classic script by how a page asks: browsers fetch modules in
CORS mode (`Sec-Fetch-Mode: cors`, or an `Origin` where that header is not sent) and classic scripts
without. `/sdk/mamimon.mjs` and `/sdk/mamimon.classic.js` are always the one or the other. What is
given out has no comments; `web/sdk/mamimon.js` is the readable source.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get

from mamimon.i18n import web_dir

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.errors.room import ErrorRoom

_EXPORT = re.compile(r"^export \{ ([\w, ]+) \};\s*$", re.MULTILINE)
_SERVED = 'const SERVED = /** @type {string} */ ("");'
_HERE = "const HERE = import.meta.url;"
# Texts and regular expressions, which stay; comments and blanks, which need not.
_TOKEN = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`|//[^\n]*|/\*.*?\*/'
    r"|/(?![*/ ])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\]|\\.)*\])+/[a-z]*|\s+",
    re.DOTALL,
)
_ENV = "const ENV = import.meta.env || {};"


@cache
def source() -> str:
    """The SDK as it was written, an ES module."""
    return (web_dir() / "sdk" / "mamimon.js").read_text(encoding="utf-8")


def module(served: str) -> str:
    """The ES module with its server's `<key>/<project>`."""
    return _replaced(source(), _SERVED, f'const SERVED = "{served}";')


def classic(served: str) -> str:
    """The same as a classic script with the global `mamimon`."""
    text = _replaced(module(served), _HERE, "const HERE = (document.currentScript || {}).src;")
    text = _replaced(text, _ENV, "const ENV = {};")
    text, many = _EXPORT.subn(r"globalThis.mamimon = { \1 };", text)
    assert many == 1, "the SDK must export by one line at its end"
    return f'(() => {{\n"use strict";\n{text}}})();\n'


def squeeze(text: str) -> str:
    """The script without comments and needless blanks; names stay, so it can still be read."""
    out: list[str] = []
    gap = ""
    last = 0
    for found in [*_TOKEN.finditer(text), None]:
        between = text[last : found.start() if found else len(text)]
        if between:
            out.append(_joint(out[-1] if out else "", between, gap) + between)
            gap = ""
        if found is None:
            break
        last = found.end()
        if found[0].isspace() or found[0].startswith(("//", "/*")):
            gap = "\n" if "\n" in gap + found[0] else " "
        else:
            out.append(_joint(out[-1] if out else "", found[0], gap) + found[0])
            gap = ""
    return "".join(out) + "\n"


def _joint(before: str, after: str, gap: str) -> str:
    """What must stay of `gap` between two pieces."""
    a, b = before[-1:], after[:1]
    if not gap or not a:
        return ""
    if gap == "\n":
        return "" if a in "{;,(" else "\n"
    return " " if (a.isalnum() and b.isalnum()) or (a in "+-" and a == b) else ""


def sdk_handlers(room: ErrorRoom) -> list[ControllerRouterHandler]:
    """`/sdk/mamimon.js`, `.mjs` and `.classic.js`."""
    made: dict[tuple[str, bool], tuple[bytes, bytes, str]] = {}

    async def give(request: Request[Any, Any, Any], as_module: bool) -> Response[bytes]:
        project = (await room.projects())[0]
        served = f"{project.key}/{project.id}"
        if (served, as_module) not in made:
            plain = squeeze((module if as_module else classic)(served)).encode()
            tag = f'"{hashlib.sha256(plain).hexdigest()[:20]}"'
            made[served, as_module] = plain, gzip.compress(plain, 9, mtime=0), tag
        plain, packed, tag = made[served, as_module]
        headers = {
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Cache-Control": "public, max-age=300, stale-while-revalidate=86400",
            "ETag": tag,
            "Vary": "Accept-Encoding, Sec-Fetch-Mode, Origin",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(b"", status_code=304, headers=headers)
        body = plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = packed
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers, media_type="text/javascript; charset=utf-8")

    @get("/sdk/mamimon.js", include_in_schema=False)
    async def by_asking(request: Request[Any, Any, Any]) -> Response[bytes]:
        """What the page asks for."""
        mode = request.headers.get("sec-fetch-mode")
        return await give(request, mode == "cors" if mode else "origin" in request.headers)

    @get("/sdk/mamimon.mjs", include_in_schema=False)
    async def as_module(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Always the ES module."""
        return await give(request, True)

    @get("/sdk/mamimon.classic.js", include_in_schema=False)
    async def as_classic(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Always the classic script."""
        return await give(request, False)

    return [by_asking, as_module, as_classic]


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the SDK must have one line: {old}"
    return text.replace(old, new)
