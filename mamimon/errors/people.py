"""Takes people out of an event: ids, names and addresses of users become pseudonyms.

A pseudonym is a keyed hash, so the same person is the same everywhere and nobody can be read off it;
who knows an id or an address can still search for it (`user.email:ada@example.com`). What named the
user is replaced wherever the event repeats it, and other e-mail addresses are hidden.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mamimon.errors.model import Event, User
from mamimon.errors.scrub import FILTERED, is_echo, walk_all

EMAIL = "[email]"
_EMAIL = re.compile(r"(?<![\w.+\-/])[\w.+\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.){1,5}[A-Za-z]{2,24}(?![\w\-])")
# Begins with the sign itself, so that a search of a whole event is quick.
_AT = re.compile(rb"@(?:[A-Za-z0-9\-]{1,63}\.){1,5}[A-Za-z]{2,24}(?![\w\-])")
_PSEUDONYM = re.compile(r"[0-9a-f]{12}")
_PERSONAL = re.compile(r"name|mail|phone|address|birth", re.IGNORECASE)
KINDS = ("id", "email", "name")


def pseudonym(secret: bytes, kind: str, value: str) -> str:
    """What stands for somebody's id, email or name."""
    word = f"{kind}:{value.lower() if kind == 'email' else value}".encode("utf-8", "replace")
    return hashlib.blake2b(word, key=secret, digest_size=6).hexdigest()


def searched(secret: bytes, kind: str, value: str) -> bytes:
    """The alias to look for: of a name as people know it, or of a pseudonym copied from a page."""
    return bytes.fromhex(value if _PSEUDONYM.fullmatch(value) else pseudonym(secret, kind, value))


def identity(user: User, secret: bytes) -> bytes:
    """Who counts as one user, as a keyed hash; empty where nobody is known."""
    if not user.identity:
        return b""
    return hashlib.blake2b(user.identity.encode("utf-8", "replace"), key=secret, digest_size=8).digest()


def hide_people(event: Event, secret: bytes) -> list[bytes]:
    """Put pseudonyms in place, everywhere in the event; returns those of its user, to be searched for."""
    user = event.user or User()
    names = {kind: value for kind in KINDS if (value := getattr(user, kind))}
    hidden = {kind: pseudonym(secret, kind, value) for kind, value in names.items()}
    for kind, word in hidden.items():
        setattr(user, kind, word)
    echoes = {value: hidden[kind] for kind, value in names.items() if "@" in value or is_echo(value)}
    if _mentioned(event, echoes):
        change = _changing(echoes)
        walk_all(event, lambda value: _each(value, change))
        for kind, word in hidden.items():
            setattr(user, kind, word)
    user.data = {key: FILTERED if _PERSONAL.search(key) else one for key, one in user.data.items()}
    return [bytes.fromhex(one) for one in hidden.values()]


def _mentioned(event: Event, echoes: dict[str, str]) -> bool:
    """Whether the event names anybody; encoding it costs a quarter of walking it, and most name nobody."""
    words = msgspec.json.encode(event)
    return _AT.search(words) is not None or any(msgspec.json.encode(one)[1:-1] in words for one in echoes)


def _changing(echoes: dict[str, str]) -> Callable[[str], str]:
    pattern = (
        re.compile("|".join(re.escape(one) for one in sorted(echoes, key=len, reverse=True)))
        if echoes
        else None
    )

    def change(text: str) -> str:
        if pattern is not None:
            text = pattern.sub(lambda found: echoes[found[0]], text)
        return _EMAIL.sub(EMAIL, text) if "@" in text else text

    return change


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return value
