"""Index names: which of them a request means, and which there are."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Callable

import msgspec

from mamimon.logs.catalogue import IndexInfo
from mamimon.logs.dates import parse_bound
from mamimon.logs.wire.elasticsearch.errors import EsError, illegal

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

    def concrete(self) -> list[str]:
        """Names without a wildcard, which must be there."""
        return [name for name in self.take if "*" not in name]

    def pick(self, infos: list[IndexInfo]) -> list[IndexInfo]:
        """Those of the list that are meant."""
        return [info for info in infos if self.match(info.index, info.dataset, info.plain)]


def parse_names(text: str, now: float) -> Names:
    """Read `logs-a-*,-logs-a-2026.*,<logs-{now/d}>`; empty, `_all` and `*` mean everything."""
    take: list[str] = []
    leave: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name = _resolve(part, now) if part.startswith("<") else part
        if ":" in name and not name.startswith("<"):
            raise illegal(f"remote clusters are not supported: [{name[:80]}]")
        if name.startswith("-") and take:
            leave.append(name[1:])
        else:
            take.append("*" if name == "_all" else name)
    return Names(tuple(take) or ("*",), tuple(leave))


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
