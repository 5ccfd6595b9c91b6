"""The rota by API, on its page, and as a calendar that a phone subscribes to."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, delete, get, post, put
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, JSONBody
from litestar.response import Redirect, Template

from mamimon.alerts.oncall.model import Duty, Override, Quiet, Rota
from mamimon.alerts.oncall.rota import DAY_S, calendar
from mamimon.alerts.routes import person
from mamimon.alerts.routing import people
from mamimon.i18n import current_locale
from mamimon.problems import Kind, Problem, bad_input

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from mamimon.alerts.service import Alerting

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
SHOWN_DAYS = 35
FEED_DAYS = 120


class StandIn(msgspec.Struct, kw_only=True):
    """Somebody stands in; instants in epoch seconds."""

    person: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
    starts_at: float
    ends_at: float
    by: str = ""


class OnCallView(msgspec.Struct):
    """The rota as it stands; `duties` of the next five weeks."""

    now: Duty | None
    rota: Rota | None
    overrides: list[Override]
    duties: list[Duty]
    calendar: str


def oncall_handlers(service: Alerting) -> list[ControllerRouterHandler]:
    """API, page and feed."""
    return [*_api(service), *_pages(service), _feed(service)]


def _address(service: Alerting) -> str:
    return f"{service.core.base_url}/oncall/{service.oncall.key(service.delivery.key)}.ics"


def _view(service: Alerting) -> OnCallView:
    now, desk = service.core.clock.now(), service.oncall
    return OnCallView(
        desk.now(),
        desk.rota,
        desk.overrides,
        desk.schedule(now, now + SHOWN_DAYS * DAY_S),
        _address(service) if desk.rota else "",
    )


def _api(service: Alerting) -> list[ControllerRouterHandler]:
    @get("/api/mamimon/oncall", tags=["alerts"], sync_to_thread=False)
    def show() -> OnCallView:
        """Who is on call now and in the next five weeks."""
        return _view(service)

    @put("/api/mamimon/oncall", tags=["alerts"])
    async def change(data: JSONBody[Rota]) -> OnCallView:
        """Use this rota."""
        await service.oncall.set(data)
        return _view(service)

    @delete("/api/mamimon/oncall", tags=["alerts"])
    async def remove() -> None:
        """Have no rota."""
        await service.oncall.set(None)

    @post("/api/mamimon/oncall/overrides", tags=["alerts"], status_code=201)
    async def stand_in(data: JSONBody[StandIn]) -> OnCallView:
        """Have somebody stand in."""
        await service.oncall.stand_in(data.person, data.starts_at, data.ends_at, person(data.by))
        return _view(service)

    @delete("/api/mamimon/oncall/overrides/{number:int}", tags=["alerts"])
    async def cancel(number: FromPath[int]) -> None:
        """Take a stand-in back."""
        await service.oncall.cancel(number)

    return [show, change, remove, stand_in, cancel]


def _feed(service: Alerting) -> ControllerRouterHandler:
    @get("/oncall/{name:str}", include_in_schema=False, sync_to_thread=False)
    def feed(name: FromPath[str]) -> Response[str]:
        if name != f"{service.oncall.key(service.delivery.key)}.ics":
            raise Problem(Kind.NOT_FOUND, "there is no such calendar")
        now = service.core.clock.now()
        duties = service.oncall.schedule(now - 7 * DAY_S, now + FEED_DAYS * DAY_S)
        return Response(calendar(duties, now), media_type="text/calendar; charset=utf-8")

    return feed


def _pages(service: Alerting) -> list[ControllerRouterHandler]:
    def back() -> Redirect:
        return Redirect("/settings/oncall", status_code=303)

    @get("/settings/oncall", include_in_schema=False, sync_to_thread=False)
    def page() -> Template:
        return Template("alerts/oncall.html", context=_page_context(service))

    @post("/settings/oncall", include_in_schema=False, status_code=303)
    async def change(data: Form) -> Redirect:
        old = service.oncall.rota
        names = people(data.get("people", "").replace("\n", ","))
        if not names:
            await service.oncall.set(None)
            return back()
        quiet = {one: hours for one, hours in (old.quiet if old else {}).items() if one in names}
        least = {one: level for one, level in (old.least if old else {}).items() if one in names}
        await service.oncall.set(
            _read(
                {
                    "people": names,
                    "zone": data.get("zone", "").strip() or "UTC",
                    "first_day": data.get("first_day", ""),
                    "handover": data.get("handover", ""),
                    "period_days": int(days) if (days := data.get("period_days", "")).isdecimal() else 0,
                    "quiet": {name: {"start": h.start, "end": h.end} for name, h in quiet.items()},
                    "least": least,
                }
            )
        )
        return back()

    @post("/settings/oncall/quiet", include_in_schema=False, status_code=303)
    async def quiet(data: Form) -> Redirect:
        rota = service.oncall.rota
        if rota is None or data.get("person") not in rota.people:
            raise bad_input("this person is not in the rota")
        hours = dict(rota.quiet)
        hours.pop(data["person"], None)
        if data.get("start") and data.get("end"):
            try:
                given = {"start": data["start"], "end": data["end"]}
                hours[data["person"]] = msgspec.convert(given, Quiet)
            except msgspec.ValidationError:
                raise bad_input("quiet hours are two times of day such as 22:00") from None
        least = dict(rota.least)
        least.pop(data["person"], None)
        if wanted := data.get("least"):
            if wanted not in {"warning", "critical"}:
                raise bad_input("the mildest severity is warning or critical")
            least[data["person"]] = cast("Literal['warning', 'critical']", wanted)
        await service.oncall.set(msgspec.structs.replace(rota, quiet=hours, least=least))
        return back()

    @post("/settings/oncall/stand-in", include_in_schema=False, status_code=303)
    async def stand_in(data: Form) -> Redirect:
        rota = service.oncall.rota
        if rota is None:
            raise bad_input("there is no rota to stand in for")
        await service.oncall.stand_in(
            data.get("person", ""),
            _local(data.get("starts", ""), rota.zone),
            _local(data.get("ends", ""), rota.zone),
            person(""),
        )
        return back()

    @post("/settings/oncall/stand-in/{number:int}/cancel", include_in_schema=False, status_code=303)
    async def cancel(number: FromPath[int]) -> Redirect:
        await service.oncall.cancel(number)
        return back()

    return [page, change, quiet, stand_in, cancel]


def _read(raw: dict[str, Any]) -> Rota:
    try:
        return msgspec.convert(raw, Rota)
    except msgspec.ValidationError as error:
        raise bad_input(f"the rota cannot be used: {error}") from None


def _local(text: str, zone: str) -> float:
    """A `datetime-local` field, read by the rota's clock."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", text):
        raise bad_input("a stand-in needs a start and an end")
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()
    except ValueError:
        raise bad_input("a stand-in needs a start and an end") from None


def _page_context(service: Alerting) -> dict[str, Any]:
    view, now = _view(service), service.core.clock.now()
    rota = view.rota
    zone = ZoneInfo(rota.zone if rota else "UTC")

    def local(at: float) -> dt.datetime:
        return dt.datetime.fromtimestamp(at, zone)

    def when(at: float) -> str:
        from babel.dates import format_datetime

        return str(format_datetime(local(at), "EEE d MMM HH:mm", locale=current_locale.get()))

    return {
        "section": "/settings",
        "view": view,
        "rota": rota,
        "people": rota.people if rota else people(service.settings.email_to),
        "zone": str(zone),
        "today": f"{local(now):%Y-%m-%d}",
        "soon": f"{local(now):%Y-%m-%dT%H:%M}",
        "tomorrow": f"{local(now + DAY_S):%Y-%m-%dT%H:%M}",
        "when": when,
        "has_mail": bool(service.settings.smtp_server),
    }
