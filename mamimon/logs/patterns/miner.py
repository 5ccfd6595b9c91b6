"""The miner: gives each line on its way to the disk the number of its pattern.

Called once a batch by the day's writer, inside the transaction that stores the lines. Most lines
have a shape that was seen before and cost one look into a dictionary; only a new shape walks the
tree. Everything is bounded: patterns a dataset, shapes remembered, new shapes a batch. What is
over a bound gets number 0, is counted, and the page says how many lines that were.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from mamimon.clock import Clock
from mamimon.logs.model import LogRecord, message_of, pattern_id, read_document
from mamimon.logs.patterns.drain import Template, Tree, forms_of, number_for, shapes_of, words_of
from mamimon.problems import too_many
from mamimon.tally import Tally

_MOST_OF_DATASET = 1_000
_MOST = 5_000
_REMEMBERED = 50_000
_NEW_A_BATCH = 400
_FORMS_A_BATCH = 200
_WATCHED = 100
_MESSAGE = 2_000
Key = tuple[str, str, bytes]
"""Dataset, level, and form or shape."""


class Pattern(msgspec.Struct, kw_only=True):
    """A template with its first and last line's time, in epoch seconds; `message` is a recent one."""

    number: int
    dataset: str
    level: str
    template: str
    first_seen: float
    last_seen: float
    watched: bool = False
    message: str = ""

    @property
    def id(self) -> str:
        """How people and queries name it."""
        return pattern_id(self.number)


class Miner:
    """All patterns there are. `sort` runs in the writer's thread, everything else on the event loop."""

    def __init__(self, registry: CollectorRegistry, clock: Clock, scrape_interval_s: float = 15.0) -> None:
        self._lock = threading.Lock()
        self._forms: dict[Key, int] = {}
        self._shapes: dict[Key, int] = {}
        self._trees: dict[tuple[str, str], Tree] = {}
        self._sizes: dict[str, int] = {}
        self._templates: dict[int, Template] = {}
        self._patterns: dict[int, Pattern] = {}
        self._changed: set[int] = set()
        self._new = Tally(
            "mamimon_log_patterns_new", "Patterns seen for the first time.", ["level", "dataset"],
            registry=registry, clock=clock, scrape_interval_s=scrape_interval_s,
        )  # fmt: skip
        self._unsorted = Counter(
            "mamimon_log_lines_unsorted", "Lines that got no pattern: too many new ones.", registry=registry
        )
        self._watched = Counter(
            "mamimon_log_pattern_lines", "Lines of the patterns that are watched for alerts.",
            ["pattern", "dataset", "level"], registry=registry,
        )  # fmt: skip
        Gauge("mamimon_log_patterns", "Patterns known.", registry=registry).set_function(
            lambda: float(len(self._patterns))
        )

    def sort(self, records: Sequence[LogRecord]) -> list[int]:
        """The pattern number of each record; 0 for one without a message or over the bounds."""
        messages = [
            record.message if record.message is not None else message_of(read_document(record.raw))
            for record in records
        ]
        datasets = [record.dataset for record in records]
        levels = [record.level for record in records]
        with self._lock:
            keys = list(zip(datasets, levels, forms_of(messages), strict=True))
            numbers = list(map(self._forms.get, keys))
            if None in numbers:
                self._look([i for i, number in enumerate(numbers) if number is None], keys, numbers, records)
            found: list[int] = [number or 0 for number in numbers]
            self._note(found, [record.time for record in records], messages)
        return found

    def _look(
        self, places: list[int], keys: list[Key], numbers: list[int | None], records: Sequence[LogRecord]
    ) -> None:
        """Find the numbers of forms that are not remembered, by their shapes."""
        left = _NEW_A_BATCH
        for i, shape in zip(places, shapes_of([keys[i][2] for i in places]), strict=True):
            dataset, level, _ = keys[i]
            key = dataset, level, shape
            number = self._shapes.get(key)
            if number is None:
                if not left:
                    continue
                left -= 1
                number = self._number(dataset, level, shape, records[i].time)
                if len(self._shapes) >= _REMEMBERED:
                    self._shapes.clear()
                self._shapes[key] = number
            numbers[i] = number
        # Forms of lines with random ids never come again; a few a batch are enough for those that do.
        if len(self._forms) >= _REMEMBERED:
            self._forms.clear()
        for i in places[:_FORMS_A_BATCH]:
            if (number := numbers[i]) is not None:
                self._forms[keys[i]] = number

    def _number(self, dataset: str, level: str, shape: bytes, time: float) -> int:
        words = words_of(shape)
        if not words:
            return 0
        tree = self._trees.setdefault((dataset, level), Tree())
        template = tree.find(words)
        if template is None:
            if self._sizes.get(dataset, 0) >= _MOST_OF_DATASET or len(self._patterns) >= _MOST:
                return 0
            number = number_for(dataset, level, shape, self._templates)  # type: ignore[arg-type]
            template = Template(number, words)
            self._add(template, dataset, level)
            self._patterns[number] = Pattern(
                number=number, dataset=dataset, level=level, template=" ".join(words),
                first_seen=time, last_seen=time,
            )  # fmt: skip
            self._changed.add(number)
            self._new.add(level or "none", dataset)
        elif template.widen(words):
            self._patterns[template.number].template = " ".join(template.words)
            self._changed.add(template.number)
        return template.number

    def _add(self, template: Template, dataset: str, level: str) -> None:
        self._trees.setdefault((dataset, level), Tree()).add(template)
        self._templates[template.number] = template
        self._sizes[dataset] = self._sizes.get(dataset, 0) + 1

    def _note(self, numbers: list[int], times: list[float], messages: list[str]) -> None:
        """When each pattern was seen, its last message, and how often where that is watched."""
        earliest = min(times)
        last = dict(zip(numbers, times, strict=True))
        for number, message in dict(zip(numbers, messages, strict=True)).items():
            pattern = self._patterns.get(number)
            if pattern is None:
                continue
            pattern.message = message[:_MESSAGE]
            if earliest < pattern.first_seen:
                mine = [time for n, time in zip(numbers, times, strict=True) if n == number]
                pattern.first_seen = min(pattern.first_seen, *mine)
            pattern.last_seen = max(pattern.last_seen, last[number])
            self._changed.add(number)
            if pattern.watched:
                labels = (pattern.id, pattern.dataset, pattern.level or "none")
                self._watched.labels(*labels).inc(numbers.count(number))
        if 0 in last:
            self._unsorted.inc(sum(not n and bool(m) for n, m in zip(numbers, messages, strict=True)))

    def load(self, patterns: Iterable[Pattern]) -> None:
        """Know patterns from before a restart."""
        with self._lock:
            for pattern in patterns:
                if pattern.number not in self._patterns:
                    self._patterns[pattern.number] = pattern
                    template = Template(pattern.number, pattern.template.split(" "))
                    self._add(template, pattern.dataset, pattern.level)

    def known(self) -> dict[int, Pattern]:
        """Every pattern by its number, as of now."""
        with self._lock:
            return {number: msgspec.structs.replace(one) for number, one in self._patterns.items()}

    def get(self, number: int) -> Pattern | None:
        """One pattern."""
        with self._lock:
            one = self._patterns.get(number)
            return None if one is None else msgspec.structs.replace(one)

    def changed(self) -> list[Pattern]:
        """What is to be saved since this was asked last."""
        with self._lock:
            found = [msgspec.structs.replace(self._patterns[n]) for n in self._changed if n in self._patterns]
            self._changed.clear()
            return found

    def again(self, patterns: Iterable[Pattern]) -> None:
        """Saving failed: hand them out once more."""
        with self._lock:
            self._changed.update(one.number for one in patterns)

    def watch(self, number: int, watched: bool) -> Pattern | None:
        """Count a pattern's lines for alerts from now on, or stop it; None for an unknown one."""
        with self._lock:
            pattern = self._patterns.get(number)
            if pattern is None:
                return None
            if (
                watched
                and not pattern.watched
                and sum(p.watched for p in self._patterns.values()) >= _WATCHED
            ):
                raise too_many(f"{_WATCHED} patterns are watched already; stop watching one of them")
            pattern.watched = watched
            self._changed.add(number)
            labels = (pattern.id, pattern.dataset, pattern.level or "none")
            if watched:
                self._watched.labels(*labels)
            else:
                with contextlib.suppress(KeyError):
                    self._watched.remove(*labels)
            return msgspec.structs.replace(pattern)

    def forget(self, wanted: Callable[[Pattern], bool]) -> list[int]:
        """Drop patterns, as when their last line is gone; returns their numbers."""
        with self._lock:
            gone = {number for number, one in self._patterns.items() if wanted(one)}
            if gone:
                kept = [one for number, one in self._patterns.items() if number not in gone]
                self._forms, self._shapes, self._trees = {}, {}, {}
                self._sizes, self._templates, self._patterns = {}, {}, {}
                self._changed -= gone
        if gone:
            self.load(kept)
        return sorted(gone)
