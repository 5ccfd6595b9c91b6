"""What a check says: a sentence with holes and what fills them, so that each reader gets his language.

The sentence itself, in English, is the key; it is stored and sent with its values, and translated
only where it is shown.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mamimon.i18n import gettext


class Said(msgspec.Struct, frozen=True):
    """`text` with `%(holes)s`; an empty text stands for words of somebody else, shown as they are."""

    text: str
    values: dict[str, str] = {}
    more: list[Said] = []
    """Further parts, shown after commas."""

    def also(self, other: Said) -> Said:
        """This, and then `other`."""
        return msgspec.structs.replace(self, more=[*self.more, other])

    def __str__(self) -> str:
        own = self.text % self.values if self.text else self.values.get("words", "")
        return ", ".join([own, *(str(one) for one in self.more)])

    def translated(self) -> str:
        """The same in the language of the current request."""
        own = gettext(self.text) % self.values if self.text else self.values.get("words", "")
        return ", ".join([own, *(one.translated() for one in self.more)])


def said(text: str, **values: Any) -> Said:
    """A sentence of ours; `text` must be a literal, for the catalogues."""
    return Said(text, {name: str(value) for name, value in values.items()})


def quoted(words: str) -> Said:
    """Words of somebody else."""
    return Said("", {"words": words})
