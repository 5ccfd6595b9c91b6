"""Remembers what a pure function made of what it was given: an issue's events bring the same frames again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=tuple[object, ...])
Made = TypeVar("Made")


class Memo(Generic[Key, Made]):
    """Bounded by number, and by the length of the texts in a key; safe in any thread.

    It holds two generations: what was not asked for during a whole one is forgotten with it.
    """

    def __init__(self, make: Callable[[Key], Made], *, most: int = 8192, longest: int = 2048) -> None:
        """`make` gets the key; what it gives back is shared and must not be changed."""
        self._make = make
        self._most = most // 2
        self._longest = longest
        self._young: dict[Key, Made] = {}
        self._old: dict[Key, Made] = {}

    def __call__(self, key: Key) -> Made:
        """What `make(key)` gives; raises `TypeError` for a key that cannot be hashed."""
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key)
        if found is None:
            found = self._make(key)
            if _length(key) > self._longest:
                return found
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = found
        return found


def _length(key: object) -> int:
    if isinstance(key, str):
        return len(key)
    return sum(_length(one) for one in key) if isinstance(key, tuple) else 0
