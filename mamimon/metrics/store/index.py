"""The series of one day: label pair → ids, and the matching of selectors.

Ids are dense and grow by one, so every posting list is sorted by itself and a selector is a few
boolean masks over all ids. Labels are kept as the JSON text that the day file holds and decoded
only for what matched; 100,000 series cost about 60 MB as dicts and 25 MB so.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from mamimon.metrics.model import Labels, Matcher
from mamimon.metrics.regexes import compile_regex, refusal
from mamimon.problems import bad_input

Ids = npt.NDArray[np.int32]
_META = frozenset("\\.+*?()|[]{}^$")
_FEW = 64
_MOST_ASKED = 256
_decode = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder(order="sorted").encode


def key_of(labels: Labels) -> bytes:
    """The canonical text of a label set: JSON with sorted names and no empty values."""
    return _encode({name: value for name, value in labels.items() if value})


class SeriesIndex:
    """Grows on the event loop, is read by worker threads."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._postings: dict[str, dict[str, array[int]]] = {}
        self._lock = threading.Lock()
        self._asked: dict[tuple[Matcher, ...], tuple[int, list[int]]] = {}
        """What `few` found when there were so many series."""

    def __len__(self) -> int:
        return len(self._keys)

    def id_of(self, labels: Labels) -> int:
        """The id of a series, given now if it is new."""
        key = key_of(labels)
        known = self._ids.get(key)
        return self._add(key, labels) if known is None else known

    def id_of_key(self, key: bytes) -> int:
        """The id of a series by its canonical text."""
        known = self._ids.get(key)
        return self._add(key, _decode(key)) if known is None else known

    def load(self, keys: Sequence[bytes]) -> None:
        """Add the series of a day file in the order of their ids; written out, for a start waits on it."""
        postings = self._postings
        with self._lock:
            number = len(self._keys)
            self._keys.extend(keys)
            self._ids.update(zip(keys, range(number, number + len(keys)), strict=True))
            for key in keys:
                for name, value in _decode(key).items():
                    values = postings.get(name)
                    if values is None:
                        values = postings[name] = {}
                    ids = values.get(value)
                    if ids is None:
                        values[value] = array("i", (number,))
                    else:
                        ids.append(number)
                number += 1

    def _add(self, key: bytes, labels: Labels) -> int:
        with self._lock:
            number = len(self._keys)
            self._keys.append(key)
            self._ids[key] = number
            for name, value in labels.items():
                if value:
                    values = self._postings.setdefault(name, {})
                    ids = values.get(value)
                    if ids is None:
                        values[value] = array("i", (number,))
                    else:
                        ids.append(number)
            return number

    def key(self, number: int) -> bytes:
        """The canonical text of a series."""
        return self._keys[number]

    def keys(self, ids: Ids) -> list[bytes]:
        """The canonical texts of some series."""
        keys = self._keys
        return [keys[number] for number in ids.tolist()]

    def keys_from(self, start: int) -> list[bytes]:
        """The canonical texts of the ids from `start` on."""
        return self._keys[start:]

    def match(self, matchers: Sequence[Matcher]) -> Ids:
        """Sorted ids of the series that fulfil every matcher; raises `BAD_INPUT` for a bad regex."""
        with self._lock:
            size = len(self._keys)
        # Equalities first: what the shortest list of ids has is looked up in the others.
        found: Ids | None = None
        rest = []
        lists = []
        for matcher in matchers:
            if matcher.op == "=" and matcher.value:
                lists.append(self._list(matcher.name, matcher.value, size))
            else:
                rest.append(matcher)
        for ids in sorted(lists, key=len):
            found = ids if found is None else _both(found, ids)
        if found is not None and (not len(found) or not rest):
            return found
        mask = np.ones(size, dtype=bool)
        if found is not None:
            mask[:] = False
            mask[found] = True
        for matcher in rest:
            self._narrow(mask, matcher, size)
            if not mask.any():
                break
        return np.flatnonzero(mask).astype(np.int32)

    def few(self, matchers: tuple[Matcher, ...]) -> list[int]:
        """As `match`, for the event loop alone: what is asked again is not looked up until series come."""
        size = len(self._keys)
        known = self._asked.get(matchers)
        if known is not None and known[0] == size:
            return known[1]
        found: list[int] = self.match(matchers).tolist()
        if len(found) <= _FEW:
            if len(self._asked) >= _MOST_ASKED:
                self._asked.clear()
            self._asked[matchers] = (size, found)
        return found

    def _narrow(self, mask: npt.NDArray[np.bool_], matcher: Matcher, size: int) -> None:
        accepts, literals = predicate(matcher)
        keeps_absent = accepts("")
        if literals is not None and not keeps_absent:
            mask &= self._union(matcher.name, literals, size)
            return
        with self._lock:
            values = list(self._postings.get(matcher.name, ()))
        if keeps_absent:
            mask &= ~self._union(matcher.name, [value for value in values if not accepts(value)], size)
        else:
            mask &= self._union(matcher.name, [value for value in values if accepts(value)], size)

    def _list(self, name: str, value: str, size: int) -> Ids:
        """A copy of the ids of a label pair."""
        with self._lock:
            ids = self._postings.get(name, {}).get(value)
            found = np.empty(0, dtype=np.int32) if ids is None else np.array(ids, dtype=np.int32)
        return found if not len(found) or found[-1] < size else found[found < size]

    def _union(self, name: str, values: Iterable[str], size: int) -> npt.NDArray[np.bool_]:
        mask = np.zeros(size, dtype=bool)
        with self._lock:
            postings = self._postings.get(name, {})
            for value in values:
                ids = postings.get(value)
                if ids is not None:
                    found = np.frombuffer(ids, dtype=np.int32)
                    mask[found[found < size]] = True
                    # An exported buffer would forbid the next append.
                    del found
        return mask

    def label_names(self) -> list[str]:
        """Every label name of the day."""
        with self._lock:
            return list(self._postings)

    def label_values(self, name: str) -> list[str]:
        """Every value of a label on the day."""
        with self._lock:
            return list(self._postings.get(name, ()))

    def cardinality(self, wanted: npt.NDArray[np.bool_] | None = None) -> dict[str, dict[str, int]]:
        """Label name → value → number of series; of the `wanted` ids, all by default."""
        with self._lock:
            if wanted is None or wanted.all():
                return {
                    name: {value: len(ids) for value, ids in values.items()}
                    for name, values in self._postings.items()
                }
            copies = {
                name: {value: np.array(ids) for value, ids in values.items()}
                for name, values in self._postings.items()
            }
        size = len(wanted)
        counted = {
            name: {value: int(wanted[ids[ids < size]].sum()) for value, ids in values.items()}
            for name, values in copies.items()
        }
        kept = {name: {value: n for value, n in values.items() if n} for name, values in counted.items()}
        return {name: values for name, values in kept.items() if values}


def _both(few: Ids, many: Ids) -> Ids:
    if not len(few) or not len(many):
        return few[:0]
    at = np.minimum(np.searchsorted(many, few), len(many) - 1)
    both: Ids = few[many[at] == few]
    return both


def predicate(matcher: Matcher) -> tuple[Callable[[str], bool], list[str] | None]:
    """What a matcher accepts, and the values it can only accept where a literal says so."""
    value = matcher.value
    if matcher.op == "=":
        return (lambda text: text == value), [value]
    if matcher.op == "!=":
        return (lambda text: text != value), None
    literals = _alternatives(value)
    if literals is not None:
        wanted = frozenset(literals)
        if matcher.op == "=~":
            return (lambda text: text in wanted), literals
        return (lambda text: text not in wanted), None
    matches = _regex(value)
    if matcher.op == "=~":
        return matches, None
    return (lambda text: not matches(text)), None


def _alternatives(pattern: str) -> list[str] | None:
    parts = pattern.split("|")
    return None if any(_META & set(part) for part in parts) else parts


def _regex(pattern: str) -> Callable[[str], bool]:
    if pattern == ".*":
        return lambda _: True
    if pattern == ".+":
        return bool
    import re2

    try:
        search = compile_regex(pattern).fullmatch
    except re2.error as error:
        raise bad_input(refusal(error)) from None
    return lambda text: search(text) is not None


def decode_labels(key: bytes) -> Labels:
    """The labels of a canonical text."""
    return _decode(key)
