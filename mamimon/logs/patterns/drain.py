"""Drain: a tree of fixed depth that sorts messages into templates (He et al., ICWS 2017).

A message is first cut down to its shape: every word with a digit or an `@` in it is a variable,
which one regular expression replaces in a whole batch of messages. Shapes are then sorted by
level, number of words and first word; within a leaf a shape joins the template that shares more
than half of its constant words, and the words that differ become variables too.

Our own instead of `drain3`: that one masks and walks its tree a message at a time (90 µs each,
measured; a line costs 20 µs to store), pulls in jsonpickle and cachetools, and numbers its
templates by the order of their coming, so a restart could number them anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from operator import eq

VARIABLE = "<*>"
_MARK = b"\x01"
_DIGITS = bytes(ord("0") if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_LONGEST = 256
_WORDS = 60
_CHILDREN = 100
# Possessive, so that a word without a digit is given up at once.
_VARYING = re.compile(rb"\b[A-Za-z_.-]*+[0-9@][A-Za-z0-9_.@\-\x80-\xff]*+")
_RUN = re.compile(rb"\x01(?:[:/.,;-]?\x01)+")


def forms_of(messages: Sequence[str]) -> list[bytes]:
    """The first 256 characters of each message's first line, every digit a `0`.

    Equal forms have equal shapes, and a form costs a tenth of a shape.
    """
    text = "\n".join([message[:_LONGEST] for message in messages])
    if text.count("\n") != len(messages) - 1:
        text = "\n".join([message[:_LONGEST].lstrip().partition("\n")[0] for message in messages])
    return text.encode("utf-8", "replace").translate(_DIGITS).split(b"\n")


def shapes_of(forms: Sequence[bytes]) -> list[bytes]:
    """The shape of each form: words with a digit or an `@` made variable."""
    return _VARYING.sub(_MARK, b"\n".join(forms)).split(b"\n")


def words_of(shape: bytes) -> list[str]:
    """The words of a shape, variables as `<*>`; neighbouring ones (`12:30:59`) are one."""
    if _RUN.search(shape):
        shape = _RUN.sub(_MARK, shape)
    return shape.replace(_MARK, b"<*>").decode("utf-8", "replace").split(None, _WORDS)[:_WORDS]


class Template:
    """What a group of messages has in common; `number` never changes, the words become fewer."""

    __slots__ = ("_constant", "_constants", "number", "words")

    def __init__(self, number: int, words: list[str]) -> None:
        self.number = number
        self._set(words)

    def _set(self, words: list[str]) -> None:
        self.words = words
        self._constants = [None if word == VARIABLE else word for word in words]
        self._constant = len(words) - self._constants.count(None)

    def likeness(self, words: Sequence[str]) -> float:
        """The part of the constant words that a message of as many words shares."""
        shared = sum(map(eq, self._constants, words))
        return shared / self._constant if self._constant else float(words == self.words)

    def widen(self, words: Sequence[str]) -> bool:
        """Make words that differ variable; whether any did."""
        merged = [mine if mine == other else VARIABLE for mine, other in zip(self.words, words, strict=True)]
        if merged == self.words:
            return False
        self._set(merged)
        return True


class Tree:
    """The templates of one dataset and level."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[int, str], list[Template]] = {}
        self._firsts: dict[int, set[str]] = {}
        self.size = 0

    def find(self, words: list[str]) -> Template | None:
        """The template that the words belong to; an equal one before one that is only alike."""
        best, most = None, 0.5
        for template in self._leaves.get(self._key(words), ()):
            if template.words == words:
                return template
            likeness = template.likeness(words)
            if likeness > most:
                best, most = template, likeness
        return best

    def add(self, template: Template) -> None:
        """Know one more."""
        key = self._key(template.words)
        self._firsts.setdefault(key[0], set()).add(key[1])
        self._leaves.setdefault(key, []).append(template)
        self.size += 1

    def _key(self, words: list[str]) -> tuple[int, str]:
        """The leaf: number of words and first word, where that is not one of too many."""
        first = words[0] if words else ""
        known = self._firsts.get(len(words), ())
        if first not in known and len(known) >= _CHILDREN:
            first = VARIABLE
        return len(words), first


def number_for(dataset: str, level: str, shape: bytes, taken: dict[int, object]) -> int:
    """A number from 1 to 2³²-1 that the same first shape gets again, should it be forgotten."""
    digest = hashlib.blake2b(shape, digest_size=4, person=b"pattern", key=f"{dataset}\0{level}".encode()[:64])
    number = int.from_bytes(digest.digest(), "big") or 1
    while number in taken:
        number = number % 0xFFFF_FFFF + 1
    return number
