"""The settings page: people, tokens, language and every effective setting."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import current_actor
from mamimon.accounts.model import OWN_ROLES, ROLES, SCOPES, AuditEntry
from mamimon.accounts.passwords import MIN_PASSWORD
from mamimon.accounts.people import People
from mamimon.accounts.session_pages import local_path
from mamimon.config import table
from mamimon.config_show import shown
from mamimon.i18n import LOCALES
from mamimon.problems import Problem, bad_input
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

Form = URLEncodedBody[dict[str, str]]
_YEAR_S = 365 * 86_400
AUDIT_EXPORT = 100_000


def page_handlers(core: Core, people: People) -> list[ControllerRouterHandler]:
    """`/settings` and its forms, and the switch of languages."""
    return [*_settings_handlers(core, people), language]


def _settings_handlers(core: Core, people: People) -> list[ControllerRouterHandler]:
    async def show(message: str = "", secret: str = "", link: str = "", status: int = 200) -> Template:
        return Template(
            "accounts/settings.html",
            status_code=status,
            context={
                "section": "/settings",
                "closed": people.closed,
                "actor": current_actor.get(),
                "users": await people.store.users(),
                "tokens": await people.tokens(people.projects.first),
                "projects_here": people.projects.all(),
                "audit": await people.store.audit(20),
                "roles": OWN_ROLES if len(people.projects.all()) > 1 else ROLES,
                "scopes": SCOPES,
                "min_password": MIN_PASSWORD,
                "rows": effective(core),
                "data_dir": str(core.data_dir),
                "message": message,
                "secret": secret,
                "link": link,
            },
        )

    @get("/settings", include_in_schema=False)
    async def settings() -> Template:
        return await show()

    @get("/settings/audit.csv", include_in_schema=False)
    async def audit_csv() -> Response[str]:
        return audit_table(await people.store.audit(AUDIT_EXPORT))

    @post("/settings/{what:str}", include_in_schema=False)
    async def change(what: FromPath[str], data: Form) -> Template | Redirect:
        actor = current_actor.get().name
        try:
            if what == "add-token":
                secret = await people.add_token(data.get("name", ""), data.get("scope", ""), actor)
                return await show(secret=secret)
            if what in {"invite", "reset-link"}:
                secret = (
                    await people.invite(data.get("name", ""), data.get("role", ""), actor)
                    if what == "invite"
                    else await people.reset_link(data.get("name", ""), actor)
                )
                return await show(link=f"{core.base_url}/join/{secret}")
            await _change(people, what, data, actor)
        except Problem as problem:
            return await show(message=problem.detail, status=problem.status)
        return Redirect("/settings", status_code=303)

    return [settings, audit_csv, change]


async def _change(people: People, what: FromPath[str], data: dict[str, str], actor: str) -> None:
    if what == "add-user":
        name, role, password = (data.get(key, "") for key in ("name", "role", "password"))
        await people.add_user(name, role, password, actor)
    elif what == "remove-user":
        await people.remove_user(data.get("name", ""), actor)
    elif what == "set-role":
        await people.set_role(data.get("name", ""), data.get("role", ""), actor)
    elif what == "remove-factor":
        await people.remove_factor(data.get("name", ""), actor)
    elif what == "remove-token" and data.get("id", "").isdigit():
        await people.remove_token(int(data["id"]), actor)
    else:
        raise bad_input("there is no such change")


def audit_table(entries: Sequence[AuditEntry]) -> Response[str]:
    """The audit log as a file for spreadsheets."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(("at", "actor", "action", "target", "project"))
    for entry in entries:
        at = dt.datetime.fromtimestamp(entry.at, dt.UTC).isoformat(timespec="seconds")
        texts = (entry.actor, entry.action, entry.target, entry.project)
        table.writerow((at, *(_cell(one) for one in texts)))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


@get("/language/{locale:str}", include_in_schema=False, media_type=MediaType.TEXT)
async def language(locale: FromPath[str], request: Request[Any, Any, Any]) -> Redirect:
    """Remember the language of pages in a cookie and go back to where the person was."""
    if locale not in LOCALES:
        raise bad_input(f"a language is one of {', '.join(LOCALES)}")
    back = urlsplit(request.headers.get("referer", ""))
    same = back.netloc == request.headers.get("host", "")
    answer = Redirect(local_path(back.path + (f"?{back.query}" if back.query else "")) if same else "/")
    answer.set_cookie("mamimon_locale", locale, max_age=_YEAR_S, samesite="lax")
    return answer


def _text(value: Any) -> str:
    """A value as one writes it in `mamimon.toml`; what is not set is left out of tables."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return (
            "["
            + ", ".join(
                _text(one) if isinstance(one, dict) else msgspec.json.encode(one).decode() for one in value
            )
            + "]"
        )
    if isinstance(value, dict):
        pairs = ((k, v) for k, v in value.items() if v not in (None, "", [], {}))
        return "{" + ", ".join(f"{k} = {msgspec.json.encode(v).decode()}" for k, v in pairs) + "}"
    return msgspec.json.encode(value).decode()


def effective(core: Core, without: Container[str] = ()) -> list[tuple[str, str, str, bool]]:
    """Every setting as (name, value, meaning, differs from the default); secrets are not shown.

    Sections in `without` are left out.
    """
    values = shown(core.settings)
    rows = []
    for row in table():
        if row.section in without:
            continue
        value = values[row.section][row.key]
        rows.append((f"{row.section}.{row.key}", _text(value), row.about, value != row.default))
    return rows
