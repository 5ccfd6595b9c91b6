"""Index names: which of them a request means, and which there are."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.dates import parse_bound
from mamimon.logs.model import dataset_of
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal

Aliases = dict[str, dict[str, dict[str, Any]]]
"""Other names of indices: alias, index, options."""
_MATH = re.compile(r"<([^{<>]*)\{(now[^{}|]*)(?:\{([^{}|]*)(?:\|([^{}]*))?\})?\}([^<>]*)>")
_FORBIDDEN = set(' "*\\<|,>/?#:')


class Names(msgspec.Struct, frozen=True):
    """An index expression: names and wildcards to take, and those to leave out."""

    take: tuple[str, ...]
    leave: tuple[str, ...]

    def match(self, index: str, dataset: str, plain: bool) -> bool:
        """Whether the expression means this index; a dataset's name without a date means all its days."""
        names = (index,) if plain else (index, f"logs-{dataset}")
        return _any(names, self.take) and not _any(names, self.leave)

    def wants(self) -> Callable[[str, bool, str], bool] | None:
        """The test that `Plan.datasets` takes; None where the expression means everything."""
        if self.take == ("*",) and not self.leave:
            return None
        return lambda dataset, plain, index: self.match(index, dataset, plain)

    def may_be_of(self, day: str) -> bool:
        """Whether one of the indices can lie in the file of a day; only daily indices are bound to one."""
        end = "-" + day.replace("-", ".")
        return any("*" in name or name.endswith(end) or dataset_of(name)[1] for name in self.take)

    def concrete(self) -> list[str]:
        """Names without a wildcard, which must be there."""
        return [name for name in self.take if "*" not in name]

    def pick(self, infos: list[IndexInfo]) -> list[IndexInfo]:
        """Those of the list that are meant."""
        return [info for info in infos if self.match(info.index, info.dataset, info.plain)]


def parse_names(text: str, now: float, aliases: Aliases) -> Names:
    """Read `logs-a-*,-logs-a-2026.*,<logs-{now/d}>`; empty, `_all` and `*` mean everything."""
    take: list[str] = []
    leave: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name = _resolve(part, now) if part.startswith("<") else part
        if ":" in name and not name.startswith("<"):
            raise illegal(f"remote clusters are not supported: [{name[:80]}]")
        if name.startswith("-") and take:
            leave += [name[1:], *_behind(name[1:], aliases)]
        elif name in aliases:
            take += aliases[name]
        else:
            take += ["*" if name == "_all" else name, *_behind(name, aliases)]
    return Names(tuple(take) or ("*",), tuple(leave))


def _behind(pattern: str, aliases: Aliases) -> list[str]:
    """The indices of all aliases that a pattern means."""
    if "*" not in pattern or pattern == "*":
        return []
    return [index for alias, of in aliases.items() if _any((alias,), (pattern,)) for index in of]


def write_index(name: str, aliases: Aliases) -> str:
    """The index that a write to a name goes to: itself, or the one that an alias names for writing."""
    of = aliases.get(name)
    if of is None:
        return name
    chosen = [index for index, options in of.items() if options.get("is_write_index")]
    if not chosen and len(of) == 1 and not any("is_write_index" in options for options in of.values()):
        chosen = list(of)
    if len(chosen) != 1:
        raise illegal(
            f"no write index is defined for alias [{name[:80]}]. The write index may be explicitly disabled"
            " using is_write_index=false or the alias points to multiple indices without one being designated"
            " as a write index"
        )
    return chosen[0]


def check_name(name: str) -> None:
    """Refuse what Elasticsearch refuses as the name of a new index."""
    if not name or name in {".", ".."} or name[0] in "-_+":
        raise _invalid(name, "must not start with '_', '-', or '+'")
    if name != name.lower():
        raise _invalid(name, "must be lowercase")
    if _FORBIDDEN & set(name):
        raise _invalid(
            name, "must not contain the following characters [' ','\"','*','\\\\','<','|',',','>','/','?']"
        )
    if len(name.encode()) > 255:
        raise _invalid(name, f"index name is too long, ({len(name.encode())} > 255)")


def _invalid(name: str, why: str) -> EsError:
    shown = name[:120]
    return EsError(400, "invalid_index_name_exception", f"Invalid index name [{shown}], {why}", index=shown)


def _resolve(name: str, now: float) -> str:
    found = _MATH.fullmatch(name)
    if not found:
        raise illegal(f"nothing captured in date math index name [{name[:80]}]")
    seconds = parse_bound(found[2], now)
    if seconds is None:
        raise illegal(f"invalid dynamic name expression [{found[2][:80]}]")
    form = found[3] or "yyyy.MM.dd"
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    for ours, theirs in (("yyyy", "%Y"), ("uuuu", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H")):
        form = form.replace(ours, theirs)
    return f"{found[1]}{moment.strftime(form)}{found[5]}"


def _any(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(
        name == pattern or ("*" in pattern and fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")))
        for name in names
        for pattern in patterns
    )
