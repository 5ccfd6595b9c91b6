"""The documents that both sides hold: a small shop's lines of three days, each value with its own type."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from mamimon.logs.dates import iso

DAY_MS = 86_400_000
WORDS = (
    "payment", "failed", "order", "shipped", "cache", "miss", "hit", "user", "logged", "in", "out", "timeout",
    "while", "calling", "inventory", "service", "retry", "Attempt", "Connection", "pool", "exhausted",
    "Sipariş",
    "ödeme", "başarısız", "KULLANICI", "Straße", "queue", "worker", "took", "job", "rate_limit", "x1", "404",
)  # fmt: skip
LEVELS = ("INFO", "INFO", "INFO", "INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
SERVICES = ("checkout", "catalog", "chat", "gateway", "billing")
HOSTS = ("web-1", "web-2", "web-10", "db-1")
USERS = ("İbrahim Çelik", "Ayşe", "O'Brien", "ali-veli", "Ahmet", "ahmet", "Zoë")
PATHS = ("/api/v1/orders", "/api/v1/items", "/login", "/")
METHODS = ("GET", "POST", "PUT")
TAGS = ("red", "green", "blue", "black", "white")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.10", "192.168.1.7", "2001:db8::1")


class Document(msgspec.Struct):
    """One line with its place."""

    index: str
    id: str
    millis: int
    body: dict[str, Any]


class Shop:
    """Documents, seeded; they end at `now`, in seconds."""

    def __init__(self, count: int, seed: int, now: float) -> None:
        self.rng = random.Random(seed)
        self.today = int(now // 86_400) * DAY_MS
        self.now = int(now * 1000)
        self.documents = [self._document(n, count) for n in range(count)]

    @property
    def indices(self) -> list[str]:
        """The names of the indices."""
        return sorted({one.index for one in self.documents})

    def of(self, index: str) -> list[Document]:
        """The documents of an index."""
        return [one for one in self.documents if one.index == index]

    def values(self, field: str) -> Sequence[Any]:
        """What the field holds somewhere."""
        found: list[Any] = []
        for one in self.documents[:400]:
            value: Any = one.body
            for part in field.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            found += value if isinstance(value, list) else [] if value is None else [value]
        return found

    def _document(self, n: int, count: int) -> Document:
        rng = self.rng
        # Spread evenly with a little disorder; several share a millisecond.
        first = self.now - 3 * DAY_MS
        millis = first + n * (3 * DAY_MS - 60_000) // count + rng.randrange(20_000)
        millis = millis // 1000 * 1000 + rng.choice((0, 0, 250, 999))
        body: dict[str, Any] = {
            "@timestamp": iso(millis / 1000),
            "seq": n,
            "level": rng.choice(LEVELS),
            "service": rng.choice(SERVICES),
            "message": self._message(),
        }
        if rng.random() < 0.8:
            body["host"] = rng.choice(HOSTS)
        if rng.random() < 0.8:
            body["status"] = rng.choice((200, 200, 200, 301, 404, 500, 503, -1))
        if rng.random() < 0.7:
            # Quarters are exact in the four bytes that a `float` has.
            body["took"] = rng.randrange(0, 4000) / 4
        if rng.random() < 0.6:
            body["ok"] = rng.random() < 0.7
        if rng.random() < 0.6:
            body["client"] = rng.choice(ADDRESSES)
        if rng.random() < 0.6:
            body["due"] = iso((self.today - rng.randrange(0, 400) * DAY_MS + rng.randrange(DAY_MS)) / 1000)
        if rng.random() < 0.5:
            body["tags"] = rng.sample(TAGS, rng.randrange(1, 4))
        if rng.random() < 0.7:
            body["user"] = rng.choice(USERS)
        if rng.random() < 0.7:
            http: dict[str, Any] = {"method": rng.choice(METHODS), "path": rng.choice(PATHS)}
            if rng.random() < 0.6:
                http["bytes"] = rng.randrange(0, 50_000)
            body["http"] = http
        if rng.random() < 0.2:
            body["sizes"] = [rng.randrange(0, 20) for _ in range(rng.randrange(1, 4))]
        day = iso(millis / 1000)[:10].replace("-", ".")
        index = f"logs-shop-{day}" if rng.random() < 0.85 else "audit"
        return Document(index, f"d{n}", millis, body)

    def _message(self) -> str:
        rng = self.rng
        words = [rng.choice(WORDS) for _ in range(rng.randrange(2, 9))]
        text = words[0]
        for word in words[1:]:
            text += rng.choice((" ", " ", " ", " ", ", ", ": ", " - ", "/")) + word
        return text + rng.choice(("", "", ".", f" in {rng.randrange(1, 90)} ms"))
