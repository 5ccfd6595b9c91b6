"""Templates of rules: `$labels`, `$value`, `$externalLabels`, `$externalURL` and `query`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from mamimon.alerts.templates.execute import NeedQuery, TemplateError, render

MAX_QUERIES = 16


class Sample(msgspec.Struct):
    """One element of a query's answer."""

    labels: dict[str, str]
    value: float

    def go_field(self, name: str) -> Any:
        """The fields that templates know."""
        if name == "Labels":
            return self.labels
        if name == "Value":
            return self.value
        raise TemplateError(f"can't evaluate field {name}")


Query = Callable[[str], Awaitable[Sequence[Sample]]]


async def expand(
    source: str,
    labels: Mapping[str, str],
    value: float,
    *,
    query: Query | None = None,
    external_labels: Mapping[str, str] | None = None,
    external_url: str = "",
) -> str:
    """The text of a rule's label or annotation for one alert; raises `TemplateError`.

    Queries that the template asks for are answered one after another, at most 16.
    """
    if "{{" not in source:
        return source
    external = dict(external_labels or {})
    data = {"Labels": dict(labels), "ExternalLabels": external, "ExternalURL": external_url, "Value": value}
    variables = {
        "$labels": data["Labels"],
        "$externalLabels": external,
        "$externalURL": external_url,
        "$value": value,
    }
    answers: dict[str, Sequence[Sample]] = {}

    def ask(expr: Any) -> Sequence[Sample]:
        if str(expr) not in answers:
            raise NeedQuery(str(expr))
        return answers[str(expr)]

    functions: dict[str, Callable[..., Any]] = {
        "query": ask,
        "externalURL": lambda: external_url,
        "pathPrefix": lambda: "",
    }
    while True:
        try:
            return render(source, data, variables, functions=functions)
        except NeedQuery as need:
            if query is None:
                raise TemplateError("query is not available here") from None
            if len(answers) >= MAX_QUERIES:
                raise TemplateError(f"template asks for more than {MAX_QUERIES} queries") from None
            answers[need.expr] = await query(need.expr)
