"""Where a reader of acknowledged lines stands: the last row number it has seen of each day."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mamimon.problems import bad_input


class Cursor(msgspec.Struct):
    """A place; late lines of an old day are after it as much as today's are."""

    seqs: dict[str, int]

    @classmethod
    def read(cls, text: str) -> Cursor:
        """From `2026-11-23:500,2026-11-24:17`; an empty text is before everything."""
        seqs: dict[str, int] = {}
        for part in filter(None, text.split(",")):
            day, _, number = part.partition(":")
            if not number.isdigit():
                raise bad_input(f"not a cursor: {text[:60]}")
            seqs[day] = int(number)
        return cls(seqs)

    def text(self) -> str:
        """The form that `read` takes."""
        return ",".join(f"{day}:{seq}" for day, seq in sorted(self.seqs.items()))

    def forget_except(self, days: Iterable[str]) -> None:
        """Drop days that are no more, so a cursor does not grow for ever."""
        kept = set(days)
        self.seqs = {day: seq for day, seq in self.seqs.items() if day in kept}
