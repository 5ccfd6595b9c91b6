"""A log line as JSON text without a document in between: the sender's share of a log call made cheap.

Only what most lines are goes this way: plain values, nothing to mask, no exception. Everything else is
written by way of `Documents.document`, and both give the same text.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Any, Optional

from mamimon.client import mask, records
from mamimon.client.plain import dump
from mamimon.client.records import RESERVED, Documents, Line
from mamimon.client.settings import Settings

MAX_SHAPES = 1000  # of field names and of loggers that are remembered
CARD_FROM = 10**12  # an integer may be a card's number from here on
_CONSTANTS = {None: "null", True: "true", False: "false"}

# The names of a line's fields as JSON text, None for those that are not written.
Shape = list[Optional[str]]
_UNKNOWN: Shape = []


class Lines:
    """Writes lines of one service."""

    def __init__(self, settings: Settings) -> None:
        self.documents = Documents(settings)
        self._mask = settings.mask
        self._ecs = settings.ecs
        self._shapes: dict[tuple[str, ...], Optional[Shape]] = {}
        self._heads: dict[tuple[str, str], str] = {}
        self._pid = 0
        self._constant = ""
        self._revision = mask.revision
        self._context: dict[str, Any] = {}
        self._written: Optional[tuple[str, list[str]]] = ("", [])

    def write(self, line: Line) -> bytes:
        """The document of a line in UTF-8."""
        text = None if line.links or line.stack or self._ecs else self._plain(line)
        return dump(self.documents.document(line)) if text is None else text.encode("utf-8", "replace")

    def _plain(self, line: Line) -> Optional[str]:
        """The text, or None where the line needs the long way."""
        if self._revision != mask.revision:
            self._shapes, self._revision, self._context = {}, mask.revision, {}
        if self._pid != records.pid:  # a child has another
            self._pid = records.pid
            self._constant = f",{dump(self.documents.common()).decode()[1:-1]}"
        context, extra = line.context, line.extra
        if context is not self._context:  # the lines of a request follow each other and share theirs
            self._context, self._written = context, self._fields(context)
        if self._written is None or (extra and context and not context.keys().isdisjoint(extra)):
            return None
        text, texts = self._written
        texts = [line.message, *texts]
        if extra:
            more = self._fields(extra)
            if more is None:
                return None
            text += more[0]
            texts += more[1]
        if self._mask and not mask.is_clean(texts):
            return None
        head = self._heads.get((line.level, line.logger)) or self._head(line.level, line.logger)
        when = self.documents.timestamp(line.created)
        quoted = encode_basestring(line.message)
        return f'{{"@timestamp":"{when}",{head}{quoted}{self._constant}{text}}}'

    def _fields(self, fields: dict[str, Any]) -> Optional[tuple[str, list[str]]]:
        """The fields as JSON text and what of it masking has to look at; None where one is not plain."""
        names = tuple(fields)
        shape = self._shapes.get(names, _UNKNOWN)
        if shape is _UNKNOWN:
            shape = self._learn(names)
        if shape is None:
            return None
        text = ""
        texts: list[str] = []
        for name, value in zip(shape, fields.values()):
            if name is None:
                continue
            kind = type(value)
            if kind is str:
                text += name + encode_basestring(value)
                if len(value) > 4 and not mask.is_word(value):  # no detector matches four characters
                    texts.append(value)
            elif kind is int and value < CARD_FROM:
                text += f"{name}{value}"
            elif kind is float:
                text += f"{name}{value!r}"
            elif value is None or kind is bool:
                text += name + _CONSTANTS[value]
            else:
                return None
        return text, texts

    def _learn(self, names: tuple[str, ...]) -> Optional[Shape]:
        """How fields of these names are written; None where a name is special."""
        shape: Optional[Shape] = [
            None if name[:1] == "_" else f",{encode_basestring(name)}:" for name in names
        ]
        for name in names:
            if name in RESERVED or name in _OVERWRITE or (self._mask and mask.is_secret_name(name)):
                shape = None
        if len(self._shapes) < MAX_SHAPES:
            self._shapes[names] = shape
        return shape

    def _head(self, level: str, logger: str) -> str:
        head = f'"level":{encode_basestring(level)},"logger":{encode_basestring(logger)},"message":'
        if len(self._heads) < MAX_SHAPES:
            self._heads[level, logger] = head
        return head


_OVERWRITE = frozenset(("service", "environment", "stack"))
