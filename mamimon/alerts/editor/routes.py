"""Own rules by API: list, add, change, enable, delete, and the chart of one that is not saved yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import FromPath, JSONBody

from mamimon.alerts.editor.drafts import read
from mamimon.alerts.editor.model import OwnRule
from mamimon.alerts.model import duration
from mamimon.alerts.routes import person
from mamimon.window import seconds

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.editor.preview import Preview
    from mamimon.alerts.service import Alerting

Text = Annotated[str, msgspec.Meta(max_length=10_000)]
MONTH_S = 30 * 86_400.0


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    """A rule: PromQL in `expr`, or log lines of `query` in `window` compared with `threshold`,
    for each value of the field `by` where one is named."""

    name: Text
    expr: Text = ""
    query: Text = ""
    by: Text = ""
    window: Text = "5m"
    op: Text = ">"
    threshold: float = 0.0
    for_: Text = "0s"
    keep_firing_for: Text = "0s"
    labels: dict[str, Text] = {}
    annotations: dict[str, Text] = {}

    def rule(self, number: int = 0) -> OwnRule:
        """The rule that is wanted; raises `Problem` for a duration that is none."""
        return OwnRule(
            id=number,
            name=self.name.strip(),
            kind="logs" if self.query and not self.expr else "metric",
            expr=self.expr.strip(),
            query=self.query.strip(),
            by=self.by.strip(),
            window_s=duration(self.window),
            op=self.op,
            threshold=self.threshold,
            for_s=duration(self.for_),
            keep_firing_for_s=duration(self.keep_firing_for),
            labels=self.labels,
            annotations=self.annotations,
        )


def rule_handlers(service: Alerting, preview: Preview) -> list[ControllerRouterHandler]:
    """The handlers."""
    own = service.own

    @get("/api/mamimon/alerts/rules", tags=["alerts"], sync_to_thread=False)
    def many() -> list[OwnRule]:
        """Rules that were made here; `/api/v1/rules` has those of files too."""
        return own.all

    @post("/api/mamimon/alerts/rules", tags=["alerts"], status_code=201)
    async def add(data: JSONBody[Wanted]) -> OwnRule:
        """Add a rule."""
        return await own.save(data.rule(), person(""))

    @put("/api/mamimon/alerts/rules/{number:int}", tags=["alerts"])
    async def change(number: FromPath[int], data: JSONBody[Wanted]) -> OwnRule:
        """Change a rule."""
        return await own.save(data.rule(number), person(""))

    @post("/api/mamimon/alerts/rules/{number:int}/{action:str}", tags=["alerts"], status_code=200)
    async def turn(number: FromPath[int], action: FromPath[Literal["enable", "disable"]]) -> OwnRule:
        """Have a rule evaluated or not."""
        return await own.enable(number, action == "enable", person(""))

    @delete("/api/mamimon/alerts/rules/{number:int}", tags=["alerts"])
    async def remove(number: FromPath[int]) -> None:
        """Delete a rule; its alerts end."""
        await own.delete(number, person(""))

    @get("/api/mamimon/alerts/preview", tags=["alerts"])
    async def chart(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """The chart of a rule that the fields of the editor's form describe, over the last `since`."""
        form = {name: str(value) for name, value in request.query_params.items()}
        draft = read(form)
        wrong = {field: text for field, text in draft.errors.items() if field != "name"}
        if wrong:
            return {"times": [], "series": [], "marks": [], "error": next(iter(wrong.values()))}
        return await preview.chart(draft.rule, min(seconds(form.get("since") or "6h"), MONTH_S))

    return [many, add, change, turn, remove, chart]
