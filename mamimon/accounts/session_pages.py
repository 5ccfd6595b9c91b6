"""Signing in and out: the form, the code, the identity provider, and links that set a password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts.gate import cookie_name
from mamimon.accounts.oidc import WAIT_S, Provider
from mamimon.accounts.passwords import MIN_PASSWORD
from mamimon.accounts.people import People
from mamimon.problems import Kind, Problem, not_found
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

Form = URLEncodedBody[dict[str, str]]
AnyRequest = Request[Any, Any, Any]


def session_handlers(core: Core, people: People) -> list[ControllerRouterHandler]:
    """`/login`, `/login/code`, `/logout` and `/join/<secret>`."""
    name = cookie_name(core)

    @get("/login", include_in_schema=False)
    async def login_page(next: FromQuery[str] = "/") -> Template:
        return _login(core, next)

    @post("/login", include_in_schema=False)
    async def login(data: Form, request: AnyRequest) -> Response[Any]:
        target = local_path(data.get("next", "/"))
        try:
            opened = await people.sign_in(data.get("name", ""), data.get("password", ""), device(request))
        except Problem as problem:
            return _login(core, target, problem.detail, problem.status)
        if opened.half:
            return _code(opened.half, target)
        return enter(core, opened.cookie, target)

    @post("/login/code", include_in_schema=False)
    async def code(data: Form, request: AnyRequest) -> Response[Any]:
        target, half = local_path(data.get("next", "/")), data.get("half", "")
        try:
            cookie = await people.finish(half, data.get("code", ""), device(request))
        except Problem as problem:
            if problem.kind is Kind.BAD_INPUT:
                return _code(half, target, problem.detail, problem.status)
            return _login(core, target, problem.detail, problem.status)
        return enter(core, cookie, target)

    @post("/logout", include_in_schema=False)
    async def logout(request: AnyRequest) -> Redirect:
        await people.sign_out(request.cookies.get(name, ""))
        answer = Redirect("/login", status_code=303)
        answer.delete_cookie(name)
        return answer

    async def joining(secret: str, message: str = "", status: int = 200) -> Template:
        context: dict[str, Any] = {
            "section": "",
            "link": None,
            "project": "",
            "secret": secret,
            "message": message,
            "min": MIN_PASSWORD,
        }
        try:
            link = context["link"] = await people.link(secret)
            invited = people.projects.by_id(link.project_id) if link.project_id is not None else None
            context["project"] = invited.name if invited is not None else ""
        except Problem as problem:
            context["message"], status = problem.detail, problem.status
        return Template("accounts/join.html", context=context, status_code=status)

    @get("/join/{secret:str}", include_in_schema=False)
    async def join_page(secret: FromPath[str]) -> Template:
        return await joining(secret)

    @post("/join/{secret:str}", include_in_schema=False)
    async def join(secret: FromPath[str], data: Form) -> Response[Any]:
        password = data.get("password", "")
        if password != data.get("again", ""):
            return await joining(secret, "the two passwords differ", 400)
        try:
            await people.use_link(secret, password)
        except Problem as problem:
            return await joining(secret, problem.detail, problem.status)
        return Redirect("/login", status_code=303)

    return [login_page, login, code, logout, join_page, join]


def sign_on_handlers(core: Core, people: People) -> list[ControllerRouterHandler]:
    """`/login/sso` and `/login/sso/back`: to the identity provider and back."""
    provider = Provider(core.settings.accounts, core.clock)
    # Bound to the browser that began, or somebody could be signed in as somebody else (RFC 6749 §10.12).
    state_cookie = cookie_name(core) + "_sso"
    secure = state_cookie.startswith("__Host-")

    def configured() -> None:
        if not core.settings.accounts.oidc_issuer:
            raise not_found("no identity provider is configured", "set accounts.oidc_issuer")

    @get("/login/sso", include_in_schema=False)
    async def begin(next: FromQuery[str] = "/") -> Response[Any]:
        configured()
        try:
            address, state = await provider.begin(local_path(next), f"{core.base_url}/login/sso/back")
        except Problem as problem:
            return _login(core, next, problem.detail, problem.status)
        answer = Redirect(address, status_code=303)
        answer.set_cookie(
            state_cookie, state, max_age=int(WAIT_S), httponly=True, secure=secure, samesite="lax"
        )
        return answer

    @get("/login/sso/back", include_in_schema=False)
    async def back(request: AnyRequest) -> Response[Any]:
        configured()
        answer = {str(key): str(value) for key, value in request.query_params.items()}
        try:
            identity, target = await provider.finish(answer, request.cookies.get(state_cookie, ""))
            value = await people.sign_on(identity, device(request))
        except Problem as problem:
            return _login(core, "/", problem.detail, problem.status)
        entered = enter(core, value, target)
        entered.set_cookie(state_cookie, "", max_age=0, httponly=True, secure=secure, samesite="lax")
        return entered

    return [begin, back]


def enter(core: Core, value: str, target: str) -> Redirect:
    """Go to a page of this server with a new session's cookie."""
    name = cookie_name(core)
    answer = Redirect(target, status_code=303)
    answer.set_cookie(
        name,
        value,
        max_age=core.settings.accounts.session_days * 86_400,
        httponly=True,
        secure=name.startswith("__Host-"),
        samesite="lax",
    )
    return answer


def device(request: AnyRequest) -> str:
    """What a session began in, for the list of sessions."""
    return str(request.headers.get("user-agent", ""))[:200]


def local_path(target: str) -> str:
    """Only a path of this server: an open redirect would help a phisher."""
    if not target.startswith("/") or target.startswith(("//", "/\\")) or "\n" in target or "\r" in target:
        return "/"
    return target


def _login(core: Core, target: str, message: str = "", status: int = 200) -> Template:
    accounts = core.settings.accounts
    context = {
        "section": "",
        "next": local_path(target),
        "message": message,
        "provider": accounts.oidc_name if accounts.oidc_issuer else "",
    }
    return Template("accounts/login.html", context=context, status_code=status)


def _code(half: str, target: str, message: str = "", status: int = 200) -> Template:
    context = {"section": "", "next": target, "half": half, "message": message}
    return Template("accounts/code.html", context=context, status_code=status)
