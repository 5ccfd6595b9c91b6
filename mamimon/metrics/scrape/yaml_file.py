"""A YAML file whose every value knows its line, so that a mistake is named where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mamimon.config import ConfigError

_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?\Z",
    re.ASCII,
)
_UNIT_S = (31_536_000, 604_800, 86_400, 3600, 60, 1, 0.001)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTPE]?i?B?)\Z", re.IGNORECASE)
_MAX_BYTES = 16 * 1024 * 1024


class YamlFile:
    """One file, read and composed; `root` is its top mapping."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        if len(raw) > _MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {_MAX_BYTES} bytes")
        self.text = raw.decode("utf-8", "replace")
        try:
            tree = yaml.compose(self.text, Loader=yaml.SafeLoader)
            value = yaml.safe_load(self.text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}") from None
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{path}: not valid YAML: {error}") from None
        if value is not None and not isinstance(value, dict):
            raise ConfigError(f"{path}:1: the file must be a mapping")
        self.root = Node(self, "", value, tree)


class Node:
    """A value at a place; asking an absent one for its value gives the default."""

    def __init__(self, file: YamlFile, name: str, value: Any, mark: yaml.Node | None) -> None:
        self.file = file
        self.name = name
        self.value = value
        self._mark = mark

    @property
    def place(self) -> str:
        """`file:line`."""
        line = self._mark.start_mark.line + 1 if self._mark is not None else 1
        return f"{self.file.path}:{line}"

    def fail(self, reason: str) -> NoReturn:
        """Raise `ConfigError` at this place."""
        raise ConfigError(f"{self.place}: {reason}")

    def names(self) -> list[str]:
        """The keys of a mapping; none where the value is absent."""
        if self.value is None:
            return []
        if not isinstance(self.value, dict):
            self.fail(f"{self.name or 'the file'} must be a mapping")
        return [str(key) for key in self.value]

    def get(self, key: str) -> Node:
        """The value under a key; an absent one is a node without a value at this place."""
        self.names()
        mark = self._mark
        if isinstance(mark, yaml.MappingNode):
            for key_node, value_node in mark.value:
                if key_node.value == key:
                    # An empty value has no place of its own worth showing.
                    at = value_node if value_node.value not in ("", None) else key_node
                    return Node(self.file, key, (self.value or {}).get(key), at)
        return Node(self.file, key, (self.value or {}).get(key), mark)

    def items(self) -> Iterator[Node]:
        """The items of a list, none where it is absent."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            self.fail(f"{self.name} must be a list")
        marks = self._mark.value if isinstance(self._mark, yaml.SequenceNode) else [None] * len(self.value)
        for value, mark in zip(self.value, marks, strict=True):
            yield Node(self.file, self.name, value, mark)

    def only(self, known: set[str]) -> None:
        """Fail for a key that nobody knows, with a suggestion."""
        for key in self.names():
            if key not in known:
                close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.6)
                hint = f"; did you mean {close[0]}?" if close else ""
                self.get(key).fail(f"unknown field {key!r}{hint}")

    def text(self, default: str | None = None) -> str:
        """A scalar as text."""
        if self.value is None:
            if default is None:
                self.fail(f"{self.name} is missing")
            return default
        if isinstance(self.value, dict | list):
            self.fail(f"{self.name} must be a single value")
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    def text_list(self) -> list[str]:
        """A list of scalars."""
        return [item.text() for item in self.items()]

    def texts(self) -> dict[str, str]:
        """A mapping of scalars."""
        return {key: self.get(key).text("") for key in self.names()}

    def flag(self, default: bool) -> bool:
        """A boolean."""
        if self.value is None:
            return default
        if not isinstance(self.value, bool):
            self.fail(f"{self.name} must be true or false")
        return self.value

    def number(self, default: int) -> int:
        """A whole number, not negative."""
        if self.value is None:
            return default
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < 0:
            self.fail(f"{self.name} must be a whole number")
        return self.value

    def choice(self, choices: tuple[str, ...], default: str, *, any_case: bool = False) -> str:
        """One of a few words."""
        value = self.text(default)
        value = value.lower() if any_case else value
        if value not in choices:
            self.fail(f"{self.name} is {value!r}, not one of {', '.join(choices)}")
        return value

    def real(self, default: float) -> float:
        """A number, not negative."""
        if self.value is None:
            return default
        if not isinstance(self.value, int | float) or isinstance(self.value, bool) or not self.value >= 0:
            self.fail(f"{self.name} must be a number")
        return float(self.value)

    def duration(self, default: float, *, or_zero: bool = False) -> float:
        """A Prometheus duration (`1m30s`) in seconds."""
        if self.value is None:
            return default
        seconds = duration(self.text())
        if seconds is None or seconds < 0 or not (seconds or or_zero):
            self.fail(f"{self.name} is {self.text()!r}, not a duration like 15s or 1m30s")
        return seconds

    def byte_size(self, default: int) -> int:
        """A size (`10MB`) in bytes; units are powers of 1024, as in Prometheus."""
        if self.value is None:
            return default
        found = _SIZE.match(self.text())
        if found is None:
            self.fail(f"{self.name} is {self.text()!r}, not a size like 10MB")
        power = " KMGTPE".index(found.group(2)[:1].upper().replace("B", "") or " ")
        return int(float(found.group(1)) * 1024**power)


def duration(text: str) -> float | None:
    """Seconds of a Prometheus duration, or None where it is not one; `0` is allowed."""
    if text == "0":
        return 0.0
    found = _DURATION.match(text)
    if not text or found is None:
        return None
    return float(sum(int(n) * unit for n, unit in zip(found.groups(), _UNIT_S, strict=True) if n))


def duration_text(seconds: float) -> str:
    """Seconds as Prometheus writes a duration: `1m30s`, `500ms`."""
    from mamimon.metrics.promql.text import format_duration

    return format_duration(round(seconds * 1000))
