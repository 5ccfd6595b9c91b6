"""Loki's live tail: a WebSocket that first sends the newest lines there are, then each as it comes.

What is wrong with a question is answered before the upgrade, as plain HTTP, by `app`. A client that
reads too slowly loses lines and is told how many; after an hour it is asked, in Loki's words, to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mamimon.http import Receive, Send
from mamimon.logs.clauses import Row
from mamimon.logs.model import LogHit, level_number
from mamimon.logs.tail import Watcher
from mamimon.logs.wire.loki.answers import Answers, Entry, Window, by_stream
from mamimon.logs.wire.loki.rows import Selected
from mamimon.logs.wire.loki.syntax import Log

if TYPE_CHECKING:
    from mamimon.clock import Clock
    from mamimon.logs.room import LogRoom

MOST_DELAY_S = 5
_LONGEST_S = 3600.0
_BEAT_S = 15.0
_FRAME_ENTRIES = 100
_GOING_AWAY, _INTERNAL = 1001, 1011


class Tail(msgspec.Struct, kw_only=True):
    """What is watched: a log query, how many lines of `[start_us, now)` come first, and with what delay."""

    log: Log
    start_us: int
    limit: int
    delay_s: int
    categorize: bool


async def tail(room: LogRoom, clock: Clock, asked: Tail, receive: Receive, send: Send) -> None:
    """Serve one WebSocket until either side ends it."""
    selected = Selected(asked.log)
    answers = Answers(room, asked.categorize)
    # Watched before the past is read, so that no line falls between the two.
    watcher = room.tail.watch(answers.plan(selected, Window(asked.start_us, 1 << 62)))
    try:
        await send({"type": "websocket.accept"})
        gone = asyncio.create_task(_until_gone(receive, watcher))
        try:
            await _serve(room, clock, asked, selected, watcher, send)
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
    finally:
        room.tail.leave(watcher)


async def _until_gone(receive: Receive, watcher: Watcher) -> None:
    # What a client says means nothing here, but its going does.
    while (await receive())["type"] != "websocket.disconnect":
        pass
    watcher.left = True
    watcher.close()


async def _serve(
    room: LogRoom, clock: Clock, asked: Tail, selected: Selected, watcher: Watcher, send: Send
) -> None:
    answers = Answers(room, asked.categorize)
    window = Window(asked.start_us, round(clock.now() * 1e6) + 1)
    past = await answers.newest(selected, window, asked.limit)
    shown = {one.id for one in past}
    await _send(asked, past[::-1], 0, clock, send)
    ends = clock.monotonic() + _LONGEST_S
    lost = 0
    while not watcher.closed:
        hits = await watcher.take(_BEAT_S)
        if hits and asked.delay_s:
            # Lines that are a little late still come in the order of time.
            await clock.sleep(asked.delay_s)
            hits = sorted([*hits, *watcher.drain()], key=lambda hit: (hit.time, hit.seq))
        if watcher.left:
            return
        found = [answers.entry(selected, _row(hit)) for hit in hits if hit.id not in shown]
        for at in range(0, len(found), _FRAME_ENTRIES):
            await _send(asked, found[at : at + _FRAME_ENTRIES], 0, clock, send)
        if watcher.lost > lost:
            await _send(asked, [], watcher.lost - lost, clock, send)
            lost = watcher.lost
        if clock.monotonic() > ends:
            await _close(send, _INTERNAL, "reached tail max duration limit")
            return
    if not watcher.left:
        await _close(send, _GOING_AWAY, "the server is stopping")


async def _close(send: Send, code: int, reason: str) -> None:
    await send({"type": "websocket.close", "code": code, "reason": reason})


async def _send(asked: Tail, entries: Sequence[Entry], lost: int, clock: Clock, send: Send) -> None:
    if not entries and not lost:
        return
    frame: dict[str, Any] = {"streams": by_stream(entries)}
    if lost:
        # Which lines they were is not kept, so they are told as one entry.
        entry = {"timestamp": str(round(clock.now() * 1e9)), "labels": {"lost_lines": str(lost)}}
        frame["dropped_entries"] = [entry]
    if asked.categorize:
        frame["encodingFlags"] = ["categorize-labels"]
    await send({"type": "websocket.send", "text": msgspec.json.encode(frame).decode()})


class _Hit:
    """Where a line of the live tail comes from."""

    def __init__(self, hit: LogHit) -> None:
        self._hit = hit

    def id_of(self, seq: int) -> str:
        return self._hit.id

    def dataset_of(self, number: int) -> str:
        return self._hit.dataset

    def index_of(self, number: int) -> str:
        return self._hit.index


def _row(hit: LogHit) -> Row:
    return Row(hit.seq, round(hit.time * 1e6), level_number(hit.level), 0, hit.raw, _Hit(hit), hit.pattern)
