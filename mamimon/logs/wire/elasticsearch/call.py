"""A request to the Elasticsearch door and its answer, as the handlers see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mamimon.logs.wire.elasticsearch.names import Names, parse_names

if TYPE_CHECKING:
    from mamimon.logs.room import LogRoom
    from mamimon.storage import Core


@dataclass
class Call:
    """One request; `parts` are the named pieces of its path, unquoted."""

    room: LogRoom
    core: Core
    method: str
    path: str
    params: dict[str, str]
    body: bytes
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """What date math starts from."""
        return self.core.clock.now()

    def flag(self, name: str, default: bool = False) -> bool:
        """A true/false parameter; named without a value it is true."""
        if name not in self.params:
            return default
        return self.params[name] in {"", "true", "1"}

    def names(self, text: str | None = None) -> Names:
        """The indices that a name means: the given one, or that of the path."""
        return parse_names(self.parts.get("index", "") if text is None else text, self.now, self.room.aliases)

    @property
    def lenient(self) -> bool:
        """Whether names that are not there are passed over."""
        return self.flag("ignore_unavailable")


@dataclass
class Answer:
    """A body (JSON, or text for the `_cat` family) and a status."""

    body: Any
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
