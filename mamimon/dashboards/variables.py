"""The choices above a dashboard's panels, and what they put into its queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from mamimon.dashboards.model import Variable
from mamimon.dashboards.sources import Sources, attempts


class Choice(msgspec.Struct):
    """One variable with its values now and the one that is picked ("" is all)."""

    name: str
    label: str
    values: list[str]
    picked: str


class Chosen(msgspec.Struct):
    """Every variable of a page; `regexes` go into `=~"$name"`."""

    choices: list[Choice]
    regexes: dict[str, str]

    def query(self) -> dict[str, str]:
        """The picked values as query parameters."""
        return {f"var-{one.name}": one.picked for one in self.choices if one.picked}


async def chosen(sources: Sources, variables: Sequence[Variable], query: Mapping[str, str]) -> Chosen:
    """Read the values of each variable and the picks of a query string (`var-NAME=`)."""
    found = await attempts({one.name: sources.choices(one.metric, one.value_of) for one in variables})
    choices, regexes = [], {}
    for one in variables:
        values: list[str] = found[one.name].data or []
        picked = query.get(f"var-{one.name}", "")[:500]
        choices.append(Choice(one.name, one.label, values, picked))
        if picked:
            regexes[one.name] = re.escape(picked)
            continue
        others = [value for value in values if value != one.unless]
        regexes[one.name] = "|".join(map(re.escape, others or values)) if one.unless and values else ".*"
    return Chosen(choices, regexes)
