"""The Loki door: one ASGI app under `/loki`. Errors are plain text, as Loki's are."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec
from litestar import asgi

from mamimon.http import Receive, Scope, Send, answer, decompress, header, query_items, read_body, unless_gone
from mamimon.logs.dates import parse_iso
from mamimon.logs.wire.loki import detected, push
from mamimon.logs.wire.loki.answers import Answers, Window
from mamimon.logs.wire.loki.logql import parse
from mamimon.logs.wire.loki.syntax import Log, LogQLError, seconds
from mamimon.logs.wire.loki.tail import MOST_DELAY_S, Tail, tail
from mamimon.logs.wire.loki.volume import Asked, volume
from mamimon.problems import Kind, Problem, bad_input, unavailable

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core

_log = logging.getLogger("mamimon.logs")
_TEXT = "text/plain; charset=utf-8"
_THREAD_BYTES = 64 * 1024
_LIMIT = 100
_MOST_QUERY = 5_120
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhdwy]))+")


class _Call(msgspec.Struct):
    """One request."""

    room: Any
    core: Any
    path: str
    items: list[tuple[str, str]]
    categorize: bool
    now: float

    def text(self, name: str) -> str:
        """The first value of a parameter."""
        return next((value for key, value in self.items if key == name), "")

    def window(self) -> Window:
        """`start` and `end`, or `since`; the last hour by default."""
        end = _time(self.text("end"), self.now, "end")
        since = self.text("since")
        before = _duration(since, "since") if since else 3600.0
        start = _time(self.text("start"), end - before, "start")
        if end < start:
            raise bad_input("end timestamp must not be before or equal to start time")
        return Window(math.floor(start * 1e6), math.ceil(end * 1e6))

    def log(self, name: str = "query") -> Log | None:
        """A log query that narrows a question; None where none is given."""
        text = self.text(name)
        if not text.strip() or text.strip() == "{}":
            return None
        return _log_query(text)

    def answers(self) -> Answers:
        """Who answers."""
        return Answers(self.room, self.categorize)


def loki_handlers(room: LogRoom, core: Core) -> list[ControllerRouterHandler]:
    """The mounted app."""

    @asgi("/loki", is_mount=True, copy_scope=False)
    async def loki(scope: Scope, receive: Receive, send: Send) -> None:
        await _serve(room, core, scope, receive, send)

    @asgi("/ready", copy_scope=False)
    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        """What Vector and others ask before they push."""
        if not core.writable():
            await refuse(send, unavailable("the disk is full: read-only"))
            return
        await answer(send, 200, b"ready\n", content_type=_TEXT)

    return [loki, ready]


async def _serve(room: LogRoom, core: Core, scope: Scope, receive: Receive, send: Send) -> None:
    path = (scope.get("raw_path", b"").decode("latin-1") or scope["path"]).partition("?")[0]
    path = path.removeprefix("/loki")
    if scope["type"] == "websocket":
        await _watch(room, core, scope, receive, send, path)
        return
    try:
        if path == "/api/v1/push":
            await _push(room, core, scope, receive)
            await answer(send, 204, content_type="")
            return
        body = await _question(room, core, scope, receive, path)
    except Problem as problem:
        await refuse(send, problem)
    except Exception:
        _log.exception("%s failed", scope["path"])
        await refuse(send, Problem(Kind.INTERNAL, "mamimon made a mistake; its log has the details"))
    else:
        await answer(send, 200, msgspec.json.encode(body))


async def refuse(send: Send, problem: Problem) -> None:
    """Answer an error as Loki does."""
    headers = (
        [] if problem.retry_after_s is None else [("retry-after", str(math.ceil(problem.retry_after_s)))]
    )
    await answer(send, problem.status, f"{problem.detail}\n".encode(), content_type=_TEXT, headers=headers)


async def _push(room: LogRoom, core: Core, scope: Scope, receive: Receive) -> None:
    if scope["method"] != "POST":
        raise Problem(Kind.NOT_ALLOWED, "method not allowed")
    limits = core.settings.server
    body = await read_body(receive, limits.max_body_bytes)
    kind = header(scope, "content-type").partition(";")[0].strip().lower()
    if kind not in {"application/json", "application/x-protobuf", ""}:
        raise Problem(Kind.UNSUPPORTED, f"Content-Type: {kind[:80]} is not supported")
    encodings = header(scope, "content-encoding")
    default = core.settings.logs.default_dataset

    def work() -> push.Pushed:
        # Compression multiplies: what a request may unfold to is bounded by what it may be plainly.
        most = limits.max_body_bytes
        if kind == "application/json":
            plain = decompress(body, encodings, most) if encodings else body
            return push.records(room.ingest, push.json_streams(plain), default)
        plain = decompress(body, "snappy", most)
        return push.records(room.ingest, push.protobuf_streams(plain), default)

    pushed = await asyncio.to_thread(work) if len(body) > _THREAD_BYTES else work()
    await room.ingest.append(pushed.records)
    if pushed.refused:
        raise bad_input("\n".join(pushed.errors) + f"\ntotal ignored: {pushed.refused}")


async def _watch(room: LogRoom, core: Core, scope: Scope, receive: Receive, send: Send, path: str) -> None:
    """A WebSocket: only the live tail is one. `send` takes HTTP answers too (`http.denying`)."""
    try:
        if path != "/api/v1/tail":
            raise Problem(Kind.NOT_FOUND, "404 page not found")
        await tail(room, core.clock, _tailed(_call(room, core, scope, path)), receive, send)
    except Problem as problem:
        await refuse(send, problem)


def _call(room: LogRoom, core: Core, scope: Scope, path: str) -> _Call:
    flags = header(scope, "x-loki-response-encoding-flags")
    return _Call(room, core, path, query_items(scope), "categorize-labels" in flags, core.clock.now())


def _tailed(call: _Call) -> Tail:
    log, limit = _log_query(call.text("query")), _limit(call)
    start_us = call.window().start_us
    delay = call.text("delay_for") or "0"
    if not re.fullmatch(r"\d{1,9}", delay):
        raise bad_input(f'strconv.ParseUint: parsing "{delay[:40]}": invalid syntax')
    if int(delay) > MOST_DELAY_S:
        raise bad_input(f"delay_for can't be greater than {MOST_DELAY_S}")
    return Tail(log=log, start_us=start_us, limit=limit, delay_s=int(delay), categorize=call.categorize)


async def _tail(call: _Call) -> dict[str, Any]:
    _tailed(call)
    raise bad_input("Bad Request: the client is not using the websocket protocol")


async def _question(room: LogRoom, core: Core, scope: Scope, receive: Receive, path: str) -> dict[str, Any]:
    route = next(((work, found) for pattern, work in _ROUTES if (found := pattern.fullmatch(path))), None)
    if route is None:
        raise Problem(Kind.NOT_FOUND, "404 page not found")
    if scope["method"] not in {"GET", "POST"}:
        raise Problem(Kind.NOT_ALLOWED, "method not allowed")
    call = _call(room, core, scope, path)
    if scope["method"] == "POST":
        form = await read_body(receive, 1 << 20)
        call.items += parse_qsl(form.decode("utf-8", "replace"), keep_blank_values=True)
    work, found = route
    return await unless_gone(receive, work(call, *(unquote(part) for part in found.groups())))


async def _query_range(call: _Call) -> dict[str, Any]:
    tree = _parsed(call.text("query"))
    window = call.window()
    if isinstance(tree, Log):
        limit = _limit(call)
        forward = _direction(call)
        return await call.answers().lines(tree, window, limit, forward)
    span = (window.end_us - window.start_us) / 1e6
    text = call.text("step")
    step = _duration(text, "step") if text else max(1.0, math.floor(span / 250))
    if step <= 0:
        raise bad_input(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    return await call.answers().samples(tree, window.start_us, window.end_us, max(1000, round(step * 1e6)))


async def _query(call: _Call) -> dict[str, Any]:
    tree = _parsed(call.text("query"))
    if isinstance(tree, Log):
        raise bad_input(
            "log queries are not supported as an instant query type,"
            " please change your query to a range query type"
        )
    at = round(_time(call.text("time"), call.now, "time") * 1e6)
    return await call.answers().samples(tree, at, at, 0)


async def _labels(call: _Call) -> dict[str, Any]:
    return _listed(await call.answers().labels(call.log(), call.window()))


async def _label_values(call: _Call, name: str) -> dict[str, Any]:
    return _listed(await call.answers().values(name, call.log(), call.window()))


async def _series(call: _Call) -> dict[str, Any]:
    texts = [value for key, value in call.items if key in {"match[]", "match"}]
    if not texts:
        raise bad_input("0 matcher groups supplied")
    found: list[dict[str, str]] = []
    for text in texts[:20]:
        log = None if text.strip() == "{}" else _log_query(text)
        found += [one for one in await call.answers().streams(log, call.window()) if one not in found]
    return _listed(found)


async def _detected_labels(call: _Call) -> dict[str, Any]:
    return await detected.labels(call.answers(), call.log(), call.window())


async def _detected_fields(call: _Call, name: str = "") -> dict[str, Any]:
    log = _log_query(call.text("query") or '{dataset=~".+"}')
    text = call.text("line_limit") or "1000"
    if not re.fullmatch(r"\d{1,9}", text) or not 0 < int(text) <= detected.MOST_LINES:
        raise bad_input(f"line_limit must be from 1 to {detected.MOST_LINES}")
    limit = _limit(call) if call.text("limit") else 1000
    asked = (call.answers(), log, call.window(), int(text), limit)
    return await (detected.values(*asked, name) if name else detected.fields(*asked))


async def _stats(call: _Call) -> dict[str, Any]:
    return dict(await call.answers().volume(_log_query(call.text("query")), call.window()))


async def _volume(call: _Call, *, ranged: bool = False) -> dict[str, Any]:
    window = call.window()
    kind = call.text("aggregateBy") or "series"
    if kind not in {"series", "labels"}:
        raise bad_input("invalid aggregation option")
    text = call.text("step")
    span = (window.end_us - window.start_us) / 1e6
    step = _duration(text, "step") if text else max(1.0, math.floor(span / 250))
    if ranged and step <= 0:
        raise bad_input(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    asked = Asked(
        log=_log_query(call.text("query")),
        start_us=window.start_us,
        end_us=window.end_us,
        step_us=max(1000, round(step * 1e6)) if ranged else 0,
        labels=tuple(filter(None, call.text("targetLabels").split(",")))[:20],
        by_name=kind == "labels",
        limit=_limit(call),
    )
    return await volume(call.room, asked)


_ROUTES: list[tuple[re.Pattern[str], Callable[..., Awaitable[dict[str, Any]]]]] = [
    (re.compile("/api/v1/" + pattern), work)
    for pattern, work in (
        ("query_range", _query_range),
        ("query", _query),
        ("labels?", _labels),
        ("label/([^/]+)/values", _label_values),
        ("series", _series),
        ("tail", _tail),
        ("detected_labels", _detected_labels),
        ("detected_fields", _detected_fields),
        ("detected_field/([^/]+)/values", _detected_fields),
        ("index/stats", _stats),
        ("index/volume", _volume),
        ("index/volume_range", partial(_volume, ranged=True)),
    )
]


def _listed(data: list[Any]) -> dict[str, Any]:
    return {"status": "success", "data": data}


def _parsed(text: str) -> Any:
    if len(text) > _MOST_QUERY:
        raise LogQLError(f"parse error : max query size ({_MOST_QUERY}) exceeded: {len(text)}")
    return parse(text)


def _log_query(text: str) -> Log:
    tree = _parsed(text)
    if not isinstance(tree, Log):
        raise bad_input("only a log query is allowed here")
    return tree


def _limit(call: _Call) -> int:
    text = call.text("limit") or str(_LIMIT)
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise bad_input(f'strconv.Atoi: parsing "{text[:40]}": invalid syntax')
    limit, most = int(text), call.core.settings.logs.query_max_rows
    if limit <= 0:
        raise bad_input("limit must be a positive value")
    if limit > most:
        raise bad_input(
            f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {most})"
        )
    return limit


def _direction(call: _Call) -> bool:
    text = call.text("direction") or "backward"
    if text.lower() not in {"forward", "backward"}:
        raise bad_input(f"invalid direction '{text[:40]}'")
    return text.lower() == "forward"


def _time(text: str, default: float, name: str) -> float:
    """Seconds of a time in Loki's forms: nanoseconds, seconds (ten digits, or a fraction), RFC 3339."""
    if not text:
        return default
    if re.fullmatch(r"-?\d{1,19}", text):
        return float(text) if len(text) <= 10 else int(text) / 1e9
    if re.fullmatch(r"\d{1,11}\.\d{1,12}", text):
        return float(text)
    found = parse_iso(text)
    if found is None:
        raise bad_input(f"could not parse '{name}' parameter: parsing \"{text[:40]}\": invalid syntax")
    return found


def _duration(text: str, name: str) -> float:
    if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text):
        return float(text)
    if len(text) < 40 and _DURATION.fullmatch(text):
        return seconds(text)
    raise bad_input(f'cannot parse "{text[:40]}" to a valid duration ({name})')
