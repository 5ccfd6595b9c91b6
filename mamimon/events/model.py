"""The records of product events, before and after they are anonymised."""

from __future__ import annotations

from typing import Any

import msgspec


class Incoming(msgspec.Struct):
    """One event as a client sent it: nothing of it may be written anywhere yet."""

    type: str
    user: str = ""
    properties: dict[str, Any] = {}
    at: float | None = None
    uuid: str = ""


class Event(msgspec.Struct):
    """One anonymised event as it is stored.

    `at` is epoch seconds; `user` is a pseudonym (16 bytes) or None for an event of nobody;
    `uuid` makes a repeated delivery count once; `properties` is a JSON object.
    """

    at: float
    type: str
    user: bytes | None
    uuid: bytes | None
    properties: bytes


class EventRow(msgspec.Struct):
    """One stored event as pages and the API show it; `user` is the pseudonym in hexadecimal."""

    at: float
    type: str
    user: str
    properties: dict[str, Any]


class TypeCount(msgspec.Struct):
    """How often a type happened and how many different pseudonyms did it."""

    type: str
    count: int
    users: int


class Summary(msgspec.Struct):
    """A window's totals; `partial` says that a day could not be read and is missing."""

    types: list[TypeCount]
    count: int
    users: int
    partial: bool


class Refusal(msgspec.Struct):
    """Why one event of a batch was not kept; `index` counts from 0."""

    index: int
    error: str


class Receipt(msgspec.Struct):
    """What became of a batch."""

    accepted: int
    duplicates: int
    refused: list[Refusal]
