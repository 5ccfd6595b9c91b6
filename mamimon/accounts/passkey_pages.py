"""The doors that `passkeys.js` talks to: adding one's own, and signing in by one."""

from __future__ import annotations

import base64
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import JSONBody, URLEncodedBody
from litestar.response import Redirect

from mamimon.accounts.gate import cookie_name
from mamimon.accounts.passkeys import Passkeys, Site, site_of
from mamimon.accounts.people import People
from mamimon.accounts.session_pages import device, enter, local_path
from mamimon.problems import bad_input, not_found
from mamimon.storage import Core

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

AnyRequest = Request[Any, Any, Any]


def passkey_site(core: Core, request: AnyRequest) -> Site | None:
    """Where passkeys of this request belong; None where there can be none, or the extra is missing."""
    if find_spec("webauthn") is None:
        return None
    return site_of(core.settings.server.public_url, request.headers.get("host", ""))


def passkey_handlers(core: Core, people: People, passkeys: Passkeys) -> list[ControllerRouterHandler]:
    """`/account/passkeys` and `/login/passkey`."""
    cookie = cookie_name(core)

    def here(request: AnyRequest) -> Site:
        site = passkey_site(core, request)
        if site is None:
            raise not_found(
                "there are no passkeys here",
                "they want pip install 'mamimon[passkeys]', a host name, and TLS",
            )
        return site

    async def me(request: AnyRequest) -> Any:
        user = await people.signed_in(request.cookies.get(cookie, ""))
        if user is None:
            raise bad_input("only a person who signed in here has passkeys")
        if user.single_sign_on:
            # Or who left the company could still come in.
            raise bad_input("your identity provider looks after this")
        return user

    def answer(options: str) -> Response[bytes]:
        return Response(
            options.encode(), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    @get("/account/passkeys/options", include_in_schema=False)
    async def options(request: AnyRequest) -> Response[bytes]:
        return answer(await passkeys.begin(await me(request), here(request)))

    @post("/account/passkeys/add", include_in_schema=False, status_code=201)
    async def add(data: JSONBody[dict[str, Any]], request: AnyRequest) -> dict[str, str]:
        credential, name = data.get("credential"), data.get("name")
        if not isinstance(credential, dict) or not isinstance(name, str):
            raise bad_input("a passkey comes as a name and a credential")
        await passkeys.add(await me(request), here(request), name, credential)
        return {"name": name}

    @post("/account/passkeys/remove", include_in_schema=False)
    async def remove(data: URLEncodedBody[dict[str, str]], request: AnyRequest) -> Redirect:
        user = await me(request)
        try:
            key_id = base64.b64decode(data.get("id", ""), altchars=b"-_", validate=True)
        except ValueError:
            raise bad_input("this is no passkey's id") from None
        await passkeys.store.remove(key_id, user.id, user.name, core.clock.now())
        return Redirect("/account", status_code=303)

    @get("/login/passkey", include_in_schema=False)
    async def ask(request: AnyRequest) -> Response[bytes]:
        return answer(passkeys.ask(here(request)))

    @post("/login/passkey", include_in_schema=False)
    async def sign_in(data: JSONBody[dict[str, Any]], request: AnyRequest) -> Response[Any]:
        credential = data.get("credential")
        if not isinstance(credential, dict):
            raise bad_input("signing in by a passkey takes a credential")
        name = await passkeys.who(here(request), credential)
        found = await people.store.password(name)
        if found is None:
            raise not_found(f"there is no user {name}")
        value = await people.open_session(found[0], device(request))
        target = local_path(str(data.get("next", "/")))
        entered = enter(core, value, target)
        reply: Response[Any] = Response({"next": target}, media_type="application/json", status_code=200)
        reply.cookies.extend(entered.cookies)
        return reply

    return [options, add, remove, ask, sign_in]
