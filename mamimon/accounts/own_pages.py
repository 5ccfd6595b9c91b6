"""`/account`: a person's own password, second factor and sessions."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from mamimon.accounts import second_factor
from mamimon.accounts.gate import cookie_name
from mamimon.accounts.model import User
from mamimon.accounts.passkey_pages import passkey_site
from mamimon.accounts.passkey_store import PasskeyStore
from mamimon.accounts.passwords import MIN_PASSWORD
from mamimon.accounts.people import People
from mamimon.problems import Problem, bad_input
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

Form = URLEncodedBody[dict[str, str]]
AnyRequest = Request[Any, Any, Any]


def own_handlers(core: Core, people: People, passkeys: PasskeyStore) -> list[ControllerRouterHandler]:
    """The page and its forms; all of them are about whoever asks."""
    name = cookie_name(core)

    async def show(
        request: AnyRequest, user: User | None, cookie: str, message: str = "", status: int = 200, **more: Any
    ) -> Template:
        context: dict[str, Any] = {
            "section": "/account",
            "user": user,
            "message": message,
            "min_password": MIN_PASSWORD,
            "sessions": [],
            "passkeys": [],
            "site": passkey_site(core, request),
            "codes": [],
            "seed": "",
            **more,
        }
        if user is not None:
            context["sessions"] = await people.sessions(user, cookie)
            context["passkeys"] = [
                (base64.urlsafe_b64encode(one.id).decode(), one) for one in await passkeys.of(user.id)
            ]
            context["codes_left"] = await people.sign_ins.codes_left(user.id)
        return Template("accounts/account.html", context=context, status_code=status)

    @get("/account", include_in_schema=False)
    async def account(request: AnyRequest) -> Template:
        cookie = request.cookies.get(name, "")
        return await show(request, await people.signed_in(cookie), cookie)

    @post("/account/{what:str}", include_in_schema=False)
    async def change(what: FromPath[str], data: Form, request: AnyRequest) -> Response[Any]:
        cookie = request.cookies.get(name, "")
        user = await people.signed_in(cookie)
        if user is None:
            return await show(
                request, None, cookie, "only a person who signed in here has an account page", 400
            )
        more: dict[str, Any] = {}
        try:
            if user.single_sign_on and what in {"begin-factor", "add-factor", "password"}:
                raise bad_input("your identity provider looks after this")
            if what == "begin-factor":
                return await show(
                    request, user, cookie, **await _begun(core, people, user, secrets.token_bytes(16))
                )
            if what == "add-factor":
                seed = _seed(data.get("seed", ""))
                more = await _begun(core, people, user, seed)
                codes = await people.factor.enable(user, seed, data.get("code", "").replace(" ", ""))
                await people.load()
                return await show(request, await people.signed_in(cookie), cookie, codes=codes)
            if what == "remove-factor":
                if not await people.factor.proven(user, data.get("code", "")):
                    raise bad_input("this code is not right")
                await people.remove_factor(user.name, user.name)
            elif what == "password":
                if data.get("new", "") != data.get("again", ""):
                    raise bad_input("the two passwords differ")
                await people.change_password(user, data.get("old", ""), data.get("new", ""), cookie)
            elif what == "end-others":
                await people.end_others(user, cookie)
            else:
                raise bad_input("there is no such change")
        except Problem as problem:
            return await show(request, user, cookie, problem.detail, problem.status, **more)
        return Redirect("/account", status_code=303)

    return [account, change]


async def _begun(core: Core, people: People, user: User, seed: bytes) -> dict[str, Any]:
    secret = await people.factor.secret(seed)
    host = core.base_url.partition("//")[2]
    address = second_factor.address(secret, user.name, f"mamimon {host}")
    return {
        "seed": base64.urlsafe_b64encode(seed).decode(),
        "totp_secret": secret,
        "picture": second_factor.picture(address),
    }


def _seed(text: str) -> bytes:
    try:
        seed = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        seed = b""
    if len(seed) != 16:
        raise bad_input("this set-up is broken; begin again")
    return seed
