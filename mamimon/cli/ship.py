"""Sends documents to a running server in bounded batches, again and again until they are taken."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

_ROWS = 1_000
_BYTES = 1 << 20
_AGAIN = frozenset((429, 502, 503, 504))
_LONGEST_S = 10.0


class ShipError(Exception):
    """The server cannot be reached, or does not let us in; `str()` says which."""


class Shipper:
    """One batch at a time: `add`, `flush`; `taken` and `refused` count what the server answered."""

    def __init__(
        self,
        url: str,
        token: str | None,
        dataset: str,
        patience_s: float | None,
        *,
        again: Callable[[], bool] = lambda: True,
    ) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60)
        self._url = url
        self._parameters = {"dataset": dataset} if dataset else {}
        self._patience_s = patience_s
        """Seconds to try again for; None is for ever."""
        self._go_on = again
        self._waiting: list[bytes] = []
        self._size = 0
        self._began = 0.0
        self._places: dict[Any, Any] = {}
        self.taken = 0
        self.refused = 0
        self.reasons: Counter[str] = Counter()
        self.acknowledged: Callable[[dict[Any, Any]], None] = lambda _: None
        """Told after each batch how far each source has been stored."""

    def add(self, document: bytes, source: Any = None, place: Any = None) -> None:
        """Queue a document; sends what waits when it is enough."""
        if not self._waiting:
            self._began = time.monotonic()
        self._waiting.append(document)
        self._size += len(document) + 1
        if source is not None:
            self._places[source] = place
        if len(self._waiting) >= _ROWS or self._size >= _BYTES:
            self.flush()

    @property
    def age_s(self) -> float:
        """Seconds that the oldest document has waited."""
        return time.monotonic() - self._began if self._waiting else 0.0

    def flush(self) -> None:
        """Send what waits; raises `ShipError` when the server does not take it in time."""
        if not self._waiting:
            return
        answer = self._send(b"\n".join(self._waiting))
        self.taken += answer["accepted"]
        self.refused += answer["refused"]
        for error in answer["errors"]:
            self.reasons[str(error["error"])[:200]] += 1
        self._waiting, self._size = [], 0
        places, self._places = self._places, {}
        self.acknowledged(places)

    def _send(self, body: bytes) -> Any:
        import httpx

        began, delay = time.monotonic(), 0.25
        while True:
            wait = delay
            try:
                answer = self._client.post("/api/mamimon/logs", params=self._parameters, content=body)
            except httpx.TransportError as error:
                problem = f"no server answers on {self._url}: {error}"
            else:
                if (counts := _counts(answer)) is not None:
                    return counts
                problem = f"{self._url} answers {answer.status_code} {_reason(answer)}"
                if answer.status_code not in _AGAIN:
                    raise ShipError(problem)
                wait = max(wait, _seconds(answer.headers.get("retry-after", "")))
            over = self._patience_s is not None and time.monotonic() - began > self._patience_s
            if over or not self._go_on():
                raise ShipError(problem)
            time.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, _LONGEST_S)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _counts(answer: Any) -> Any:
    """What became of the lines: a 400 says so too, where none was taken; None of other answers."""
    if answer.status_code >= 300 and answer.status_code != 400:
        return None
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) and "refused" in found else None


def _seconds(text: str) -> float:
    return min(float(text), _LONGEST_S) if text.isdigit() else 0.0


def _reason(answer: Any) -> str:
    try:
        return str(answer.json().get("error", ""))[:200]
    except (ValueError, AttributeError):
        return str(answer.text[:200])
