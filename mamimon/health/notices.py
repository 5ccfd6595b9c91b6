"""What people write on the status page: an incident, what is known of it, and that it is over.

Each update is shown, is in the feed, and is mailed to those who subscribed unless its writer says
otherwise. Outages that checks find are told without anybody; notices say what checks cannot know.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, get_args

import msgspec

from mamimon.health.notices_store import Notice, NoticeState, NoticeStore, Update
from mamimon.health.store import KEEP_S
from mamimon.i18n import N_, current_locale, gettext
from mamimon.problems import bad_input, not_found

if TYPE_CHECKING:
    from mamimon.storage import Core

WORDS: dict[NoticeState, str] = {
    "investigating": N_("Investigating"),
    "identified": N_("Cause found"),
    "watching": N_("Mended, being watched"),
    "resolved": N_("Resolved"),
}
LONGEST_TITLE, LONGEST_TEXT = 120, 1000
_SHOWN_UPDATES, _LEAST_SHOWN = 3, 200
MOST_OPEN, MOST_UPDATES, MOST_PARTS = 20, 50, 50


class Notices:
    """The notices of one server; `names` are the parts that the page shows."""

    def __init__(self, core: Core, store: NoticeStore, names: Callable[[], set[str]]) -> None:
        self._core = core
        self._store = store
        self._names = names

    async def since(self, start: float) -> list[Notice]:
        """Those that are open or ended after `start`, the newest first."""
        return await self._store.since(start)

    async def add(
        self, title: str, text: str, state: str, parts: list[str], by: str, *, mail: bool = True
    ) -> Notice:
        """Write a new one; raises `Problem`."""
        title, text = title.strip(), text.strip()
        parts = list(dict.fromkeys(one.strip() for one in parts if one.strip()))
        if not 1 <= len(title) <= LONGEST_TITLE or "\n" in title:
            raise bad_input(f"a notice needs a title of one line and at most {LONGEST_TITLE} characters")
        if len(parts) > MOST_PARTS:
            raise bad_input(f"a notice may name {MOST_PARTS} parts at most")
        for one in parts:
            if one not in self._names():
                raise bad_input(f"the status page has no part {one[:100]!r}")
        now = self._core.clock.now()
        update = _update(text, state, by, now)
        if update.state != "resolved":
            already = [one for one in await self._store.since(now) if one.ended_at is None]
            if len(already) >= MOST_OPEN:
                raise bad_input(f"there are {MOST_OPEN} open notices already")
        ended = now if update.state == "resolved" else None
        notice = Notice(title=title, parts=parts, began_at=now, ended_at=ended, updates=[update])
        compose = self._composer(notice, update) if mail else None
        return await self._store.add(notice, compose, now - KEEP_S)

    async def update(self, number: int, text: str, state: str, by: str, *, mail: bool = True) -> Notice:
        """Write what is new of one; raises `Problem`."""
        notice = await self.get(number)
        if len(notice.updates) >= MOST_UPDATES:
            raise bad_input(f"a notice may have {MOST_UPDATES} updates at most")
        update = _update(text.strip(), state, by, self._core.clock.now())
        await self._store.update(notice, update, self._composer(notice, update) if mail else None)
        return await self.get(number)

    async def remove(self, number: int, by: str) -> None:
        """Take one off the page."""
        await self._store.remove(await self.get(number), by, self._core.clock.now())

    async def get(self, number: int) -> Notice:
        """One by its number; raises `Problem(NOT_FOUND)`."""
        found = await self._store.get(number)
        if found is None:
            raise not_found(f"there is no notice {number}")
        return found

    def _composer(self, notice: Notice, update: Update) -> Callable[[str], tuple[str, str]]:
        def compose(locale: str) -> tuple[str, str]:
            token = current_locale.set(locale)
            try:
                at = dt.datetime.fromtimestamp(update.at, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
                lines = [f"{at}  {gettext(WORDS[update.state])}", "", update.text]
                if notice.parts:
                    lines += ["", gettext("It is about: %s") % ", ".join(notice.parts)]
                return f"{notice.title}: {gettext(WORDS[update.state])}", "\n".join(
                    [*lines, "", f"{self._core.base_url}/status"]
                )
            finally:
                current_locale.reset(token)

        return compose


def fitting(notices: Sequence[Notice], room: int) -> list[Notice]:
    """The notices with what fits in about so many bytes of text: the newest update of each, if need be
    cut, then older ones of those that are open. The feed has all of it."""
    kept: dict[int, list[Update]] = {one.id: [] for one in notices}
    for place in range(_SHOWN_UPDATES):
        for one in notices:
            if place >= len(one.updates) or (place and one.ended_at is not None):
                continue
            update = one.updates[place]
            raw = update.text.encode()
            if len(raw) > max(room, 0 if place else _LEAST_SHOWN):
                if place:
                    continue
                raw = raw[: max(room, _LEAST_SHOWN)]
                text = f"{raw.decode(errors='ignore').rstrip()}…"
                update = msgspec.structs.replace(update, text=text)
            room -= len(raw)
            kept[one.id].append(update)
    return [msgspec.structs.replace(one, updates=kept[one.id]) for one in notices]


def _update(text: str, state: str, by: str, now: float) -> Update:
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise bad_input(f"a notice needs a text of at most {LONGEST_TEXT} characters")
    try:
        known = msgspec.convert(state, NoticeState)
    except msgspec.ValidationError:
        raise bad_input(
            f"not a state of a notice: {state[:40]!r}", f"one of {', '.join(get_args(NoticeState))}"
        ) from None
    return Update(now, known, text, by)
