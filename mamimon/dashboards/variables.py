"""The choices above a dashboard's panels, and what they put into its queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from mamimon.dashboards.fill import Value, expand, names_in, value_of
from mamimon.dashboards.model import Variable
from mamimon.dashboards.sources import Answer, Sources, attempts
from mamimon.window import Window

_MOST = 500
# More values than this make a regular expression that costs more than it spares.
_MOST_IN_ALL = 100


class Choice(msgspec.Struct):
    """One variable with its values now and those that are picked (none is all, where it may be)."""

    name: str
    label: str
    values: list[str]
    picked: list[str]
    multi: bool = False
    all: bool = True
    free: bool = False
    hidden: bool = False
    error: str = ""


class Chosen(msgspec.Struct):
    """Every variable of a page, and what each stands for in a query."""

    choices: list[Choice]
    values: dict[str, Value]

    def query(self) -> str:
        """The picked values as a query string."""
        return urlencode([(f"var-{one.name}", picked) for one in self.choices for picked in one.picked])


def picks(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """The values that a query string picks for each variable: `var-NAME=…`, repeated for several."""
    found: dict[str, list[str]] = {}
    for key, value in pairs[:1000]:
        if key.startswith("var-") and value:
            found.setdefault(key[4:], []).append(value[:500])
    return found


async def chosen(
    sources: Sources, variables: Sequence[Variable], picked: Mapping[str, Sequence[str]], window: Window
) -> Chosen:
    """Read the values of each variable; one that names others waits for them."""
    done: dict[str, Choice] = {}
    values: dict[str, Value] = {}
    left = list(variables)
    while left:
        waiting = {one.name for one in left}
        now = [one for one in left if not (names_in(one.metric) & waiting - {one.name})] or left[:1]
        asked = {
            one.name: _asked(sources, one, expand(one.metric, window, values))
            for one in now
            if one.kind in {"labels", "query"}
        }
        found = await attempts(asked)
        for one in now:
            choice = _choice(one, found.get(one.name, Answer(list(one.values))), picked.get(one.name, ()))
            done[one.name], values[one.name] = choice, _value(one, choice)
        left = [one for one in left if one not in now]
    return Chosen([done[one.name] for one in variables], values)


async def _asked(sources: Sources, variable: Variable, expr: str) -> list[str]:
    if variable.kind == "labels":
        return await sources.choices(expr, variable.value_of)
    series = await sources.instant(expr)
    if variable.value_of:
        return sorted({one.labels[variable.value_of] for one in series if one.labels.get(variable.value_of)})
    if variable.regex:
        return sorted({_text(one.labels, one.value) for one in series})
    return sorted({f"{one.value:g}" for one in series})


def _text(labels: Mapping[str, str], value: float) -> str:
    """A series as Grafana's `query_result` shows it to a variable's regular expression."""
    inside = ",".join(f'{key}="{said}"' for key, said in labels.items() if key != "__name__")
    return f"{labels.get('__name__', '')}{{{inside}}} {value:g}"


def _choice(variable: Variable, answer: Answer, given: Sequence[str]) -> Choice:
    values: list[str] = _kept(answer.data or [], variable.regex)[:_MOST]
    picked = [one for one in given if one not in ("$__all", "All")] if variable.multi else list(given[-1:])
    if picked == ["$__all"]:
        picked = []
    if not picked and not variable.all:
        first = variable.default or (values[0] if values else "")
        picked = [first] if first else []
    return Choice(
        variable.name,
        variable.label or variable.name,
        values,
        picked,
        variable.multi,
        variable.all,
        variable.kind == "text",
        variable.hidden,
        answer.error,
    )


def _kept(values: Sequence[str], regex: str) -> list[str]:
    """The values that a regular expression matches, as its first group where it has one."""
    if not regex:
        return list(values)
    import re2

    try:
        pattern = re2.compile(regex)
    except re2.error:
        return list(values)
    found = []
    for value in values:
        if match := pattern.search(value):
            text = match.group(1) if pattern.groups else value
            if text and text not in found:
                found.append(text)
    return found


def _value(variable: Variable, choice: Choice) -> Value:
    if choice.picked or not variable.all:
        return value_of(choice.picked)
    if variable.all_value:
        return Value(variable.all_value)
    narrow = variable.unless or variable.regex or variable.kind in {"list", "query"} or "{" in variable.metric
    others = [value for value in choice.values if value != variable.unless] or choice.values
    if not narrow or not others or len(others) > _MOST_IN_ALL:
        return Value(".*")
    return Value("|".join(map(re.escape, others)))
