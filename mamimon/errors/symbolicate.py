"""Puts JavaScript frames back into the files that people wrote, before they are grouped; and again when an
event is shown, for maps that came after it.

The map of a frame's file is found by the debug id that the client sent, by release and path among the
uploads, or beside its name in the configured folder. A function's name is that of the declaration the
minified name stands for, else what the calling frame calls it.
"""

from __future__ import annotations

import logging
import posixpath
import re
import threading
from collections import OrderedDict
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mamimon.errors.artifact_store import ArtifactStore
from mamimon.errors.bundle import plain_id
from mamimon.errors.inapp import is_in_app
from mamimon.errors.model import Event, Frame
from mamimon.errors.sourcemap import MAX_BYTES, SourceMap, Token, parse

_log = logging.getLogger("mamimon.errors")
CONTEXT = 5
MAX_LINE = 300
CACHE_BYTES = 96 << 20
_MAX_FRAMES = 400
_USELESS = {
    "",
    "?",
    "<anonymous>",
    "anonymous",
    "__webpack_require__",
    "__webpack_modules__",
    "eval",
    "Object",
}
_IDENTIFIER = re.compile(r"[#\w$]+")
_SCHEME = re.compile(r"^(webpack|webpack-internal|vite|rollup|turbopack|ng|file|app)://[^/]*/+")


class Resolver:
    """Resolves frames; every method runs in worker threads."""

    def __init__(self, store: ArtifactStore, folder: str) -> None:
        self._store = store
        self._folder = Path(folder) if folder else None
        self._lock = threading.Lock()
        self._maps: OrderedDict[object, SourceMap | None] = OrderedDict()
        self._known: OrderedDict[tuple[str, ...], object] = OrderedDict()
        self._version = -1

    def resolve(self, event: Event) -> bool:
        """Change the frames of an event in place, and say whether; what has no map stays as it is."""
        if event.platform not in {"javascript", "node"}:
            return False
        changed = False
        ids = {
            image["code_file"]: found
            for image in event.debug_images
            if image.get("code_file") and (found := plain_id(image.get("debug_id")))
        }
        left = _MAX_FRAMES
        for frames in [*(one.frames for one in event.exceptions), event.frames]:
            caller: Token | None = None
            for frame in frames[:left]:
                caller = self._frame(event, frame, ids, caller)
                changed |= caller is not None
            left -= len(frames)
        return changed

    def _frame(self, event: Event, frame: Frame, ids: dict[str, str], caller: Token | None) -> Token | None:
        url = frame.path or frame.file
        if frame.minified or not frame.line or url.startswith(("node:", "native", "<")):
            return None
        found = self._map(event, url, ids.get(url, ""))
        # Columns of clients count from 1, those of maps from 0.
        token = found.find(frame.line - 1, max(frame.column - 1, 0)) if found is not None else None
        if found is None or token is None:
            return None
        frame.minified = f"{frame.file}:{frame.line}:{frame.column}"
        frame.function = _function(frame.function, found, token, caller)
        frame.path = source_path(found.sources[token.source], url)
        frame.file = frame.path.rsplit("://", 1)[-1].lstrip("/")
        frame.module = ""
        frame.line, frame.column = token.line + 1, token.column + 1
        lines = found.lines(token.source)
        if token.line < len(lines):
            frame.code = _cut(lines[token.line], token.column)
            frame.before = [_cut(one) for one in lines[max(0, token.line - CONTEXT) : token.line]]
            frame.after = [_cut(one) for one in lines[token.line + 1 : token.line + 1 + CONTEXT]]
        frame.in_app = is_in_app(frame, "javascript")
        return token

    def _map(self, event: Event, url: str, debug_id: str) -> SourceMap | None:
        """The map of a minified file, from the cache where it was met before."""
        place = (str(event.project), event.release, event.dist, url, debug_id)
        with self._lock:
            if self._version != self._store.version:
                self._version = self._store.version
                self._known.clear()
            key = self._known.get(place)
            if place not in self._known:
                key = self._known[place] = self._find(event, url, debug_id)
                while len(self._known) > 10_000:
                    self._known.popitem(last=False)
            if key is None:
                return None
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
            made = self._maps[key] = self._load(key, url)
            while len(self._maps) > 1 and sum(one.cost for one in self._maps.values() if one) > CACHE_BYTES:
                self._maps.popitem(last=False)
            return made

    def _find(self, event: Event, url: str, debug_id: str) -> object:
        found: object = self._store.map_of_debug_id(event.project, debug_id) if debug_id else None
        if found is None:
            found = self._store.map_of_place(event.project, event.release, event.dist, places(url))
        return found if found is not None else self._in_folder(event.release, url, debug_id)

    def _in_folder(self, release: str, url: str, debug_id: str) -> Path | None:
        """`<folder>[/<release>]/<path>.map`, or the same by the file's name alone."""
        if self._folder is None:
            return None
        path = places(url)[-1].removeprefix("~/")
        name = path.rsplit("/", 1)[-1]
        for base in (self._folder / release, self._folder) if release else (self._folder,):
            for candidate in (base / f"{path}.map", base / f"{name}.map"):
                inside = candidate.resolve()
                if not inside.is_relative_to(self._folder.resolve()) or not inside.is_file():
                    continue
                if (
                    debug_id
                    and (found := self._load(inside, url))
                    and plain_id(found.debug_id) not in {"", debug_id}
                ):
                    continue
                return inside
        return None

    def _load(self, key: object, url: str) -> SourceMap | None:
        try:
            if isinstance(key, Path):
                if key.stat().st_size > MAX_BYTES:
                    raise ValueError(f"larger than {MAX_BYTES} bytes")
                data: bytes | None = key.read_bytes()
            else:
                assert isinstance(key, bytes)
                data = self._store.load(key)
            return parse(data) if data is not None else None
        except (OSError, ValueError) as error:
            _log.warning("the source map of %s cannot be used: %s", url[:200], error)
            return None


def places(url: str) -> list[str]:
    """The names under which a file of a release may have been uploaded, the most exact first."""
    plain = url.split("?", 1)[0].split("#", 1)[0]
    try:
        parts = urlsplit(plain)
        path = unquote(parts.path) if parts.scheme else plain
    except ValueError:
        path = plain
    path = posixpath.normpath("/" + path.replace("\\", "/").lstrip("/"))
    return list(dict.fromkeys((url[:2000], plain[:2000], f"~{path[:2000]}")))


def source_path(source: str, url: str) -> str:
    """A source's name without a bundler's scheme and without the way up from the build's folder."""
    path = _SCHEME.sub("", source.split("?", 1)[0])
    if "://" in path:
        return path
    climbed = path.startswith("../")
    path = posixpath.normpath(path) if path else ""
    while path.startswith("../"):
        path = path[3:]
    if not climbed and path == source and "/" not in path and "://" in url:
        # A name alone lies beside the minified file.
        return posixpath.join(url.split("?", 1)[0].rsplit("/", 1)[0], path)
    return path


def _function(minified: str, found: SourceMap, token: Token, caller: Token | None) -> str:
    """The original name of the function that a token lies in."""
    enclosing = _enclosing(found.lines(token.source), token)
    if enclosing:
        return enclosing
    if caller is not None and caller.name and caller.name not in _USELESS:
        return caller.name
    return minified if minified not in _USELESS else ""


_DECLARED = re.compile(
    r"\bfunction\s*\*?\s*(?P<function>[\w$]+)\s*[(<]"
    r"|\b(?:const|let|var)\s+(?P<variable>[\w$]+)\s*(?::[^=\n]{1,200})?=\s*(?:async\s*)?"
    r"(?:function\b|\([^()\n]{0,300}\)\s*(?::[^=\n]{1,100})?=>|[\w$]+\s*=>)"
    r"|(?P<property>[\w$]+)\s*[:=]\s*(?:async\s*)?(?:function\b|\([^()\n]{0,300}\)\s*=>)"
    r"|^\s*(?:(?:public|private|protected|static|async|override|get|set)\s+|\*)*"
    r"(?P<method>#?[\w$]+)\s*(?:<[^>\n]{1,100}>)?\([^;{}]{0,300}\)\s*(?::[^={;\n]{1,100})?\{"
)
_NOT_NAMES = {"if", "for", "while", "switch", "catch", "with", "return", "function", "do", "else"}
_CLASS = re.compile(r"\bclass\s+([\w$]+)")
_LOOK_BACK = 400


def _enclosing(lines: list[str], token: Token) -> str:
    """The nearest function that encloses a place, by declarations at a smaller indent above it.

    Source that people wrote is indented, so that is enough; a minified source inside a map is not and
    gives nothing.
    """
    if token.line >= len(lines) or len(lines[token.line]) > 1000:
        return ""
    line = lines[token.line]
    inline = [
        one for one in _DECLARED.finditer(line[: token.column]) if _braced(line[one.start() : token.column])
    ]
    if inline:
        return _declared_name(inline[-1])
    indent = _indent(line)
    name = ""
    for at in range(token.line - 1, max(-1, token.line - _LOOK_BACK), -1):
        line = lines[at]
        if not line.strip() or _indent(line) >= indent or len(line) > 1000:
            continue
        indent = _indent(line)
        if name:
            if owner := _CLASS.search(line):
                return f"new {owner[1]}" if name == "constructor" else f"{owner[1]}.{name}"
            continue
        declared = _DECLARED.search(line)
        found = _declared_name(declared) if declared else ""
        if not found:
            continue
        if declared is not None and not declared["method"]:
            return found
        name = found
    return name


def _declared_name(found: re.Match[str]) -> str:
    name = found["function"] or found["variable"] or found["property"] or found["method"] or ""
    return "" if name in _NOT_NAMES else name


def _braced(text: str) -> bool:
    """Whether a declaration's body is still open at the end of `text`."""
    if "=>" in text and "{" not in text.split("=>", 1)[1]:
        return True
    return text.count("{") > text.count("}")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _cut(line: str, column: int = 0) -> str:
    """A line, or the part of a long one around `column`."""
    line = line.rstrip()
    if len(line) <= MAX_LINE:
        return line
    start = max(0, min(column - MAX_LINE // 2, len(line) - MAX_LINE))
    return (
        ("…" if start else "")
        + line[start : start + MAX_LINE]
        + ("…" if start + MAX_LINE < len(line) else "")
    )
