"""Signing in by an identity provider: OpenID Connect's authorization code flow with PKCE.

OpenID Connect Core 1.0 §3.1 and Discovery 1.0; RFC 7636 (PKCE) and RFC 9207 (issuer in the answer).
Signatures are checked by joserfc (the extra `mamimon[oidc]`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections import OrderedDict
from typing import Any
from urllib.parse import urlencode

import msgspec

from mamimon.clock import Clock
from mamimon.config_accounts import AccountSettings
from mamimon.problems import Kind, Problem

_TIMEOUT_S = 10.0
_MAX_BYTES = 1024 * 1024
_KEPT_S = 3600.0
# How long a person may take at the provider.
WAIT_S = 600.0
_WAITING = 1000
_LEEWAY_S = 60
# No symmetric ones: the client secret is no key, and "none" is no signature.
_ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]


class Identity(msgspec.Struct, frozen=True):
    """Who the provider says somebody is; `subject` is its issuer and the `sub` claim."""

    subject: str
    name: str
    groups: frozenset[str]


class _Begun(msgspec.Struct, frozen=True):
    verifier: str
    nonce: str
    target: str
    redirect: str
    until: float


class Provider:
    """One identity provider: what it publishes, and the sign-ins under way."""

    def __init__(self, settings: AccountSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._known: dict[str, Any] = {}
        self._keys: dict[str, Any] = {}
        self._until = 0.0
        self._learning = asyncio.Lock()

    async def begin(self, target: str, redirect: str) -> tuple[str, str]:
        """Where to send the browser, and the state to bind to it; `target` is where to go afterwards."""
        known = await self._learn()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        until = self._clock.monotonic() + WAIT_S
        self._begun[state] = _Begun(verifier, nonce, target, redirect, until)
        while len(self._begun) > _WAITING:
            self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": redirect,
            "scope": self._settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        endpoint = str(known["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", state

    async def finish(self, answer: dict[str, str], cookie_state: str) -> tuple[Identity, str]:
        """Who came back, and where they were going; raises `Problem` for anything that does not fit."""
        state = answer.get("state", "")
        begun = self._begun.pop(state, None)
        same = secrets.compare_digest(state.encode(), cookie_state.encode())
        if begun is None or not same or self._clock.monotonic() > begun.until:
            raise _refused("this sign-in was not begun here or took too long; try again")
        if "error" in answer:
            said = answer.get("error_description") or answer["error"]
            raise _refused(f"the identity provider refused: {said[:200]}")
        known = await self._learn()
        if answer.get("iss", known["issuer"]) != known["issuer"]:
            raise _refused("the answer is of another identity provider")
        tokens = await self._exchange(known, answer.get("code", ""), begun)
        claims = await self._claims(known, str(tokens.get("id_token", "")), begun.nonce)
        claims = {**await self._more(known, tokens, claims), **claims}
        return self._identity(known, claims), begun.target

    async def _learn(self) -> dict[str, Any]:
        async with self._learning:
            if self._known and self._clock.monotonic() < self._until:
                return self._known
            issuer = self._settings.oidc_issuer
            known = await self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if str(known.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
                raise _refused(
                    "the identity provider calls itself by another issuer than accounts.oidc_issuer"
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(known.get(name), str):
                    raise _refused(f"the identity provider publishes no {name}")
            self._keys = await self._json("GET", known["jwks_uri"])
            self._known, self._until = known, self._clock.monotonic() + _KEPT_S
            return known

    async def _exchange(self, known: dict[str, Any], code: str, begun: _Begun) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun.redirect,
            "code_verifier": begun.verifier,
        }
        name, secret = self._settings.oidc_client_id, self._settings.oidc_client_secret
        ways = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        auth = None
        if secret and "client_secret_basic" in ways:
            auth = (name, secret)
        else:
            form["client_id"] = name
            if secret:
                form["client_secret"] = secret
        return await self._json("POST", known["token_endpoint"], data=form, auth=auth)

    async def _claims(self, known: dict[str, Any], token: str, nonce: str) -> dict[str, Any]:
        for attempt in (1, 2):
            try:
                return await asyncio.to_thread(self._checked, known["issuer"], token, nonce)
            except KeyError:
                # A key that is not among ours: the provider may have changed them.
                if attempt == 2:
                    raise _refused("the identity provider's answer is signed by an unknown key") from None
                self._keys = await self._json("GET", known["jwks_uri"])
        raise AssertionError("unreachable")

    def _checked(self, issuer: str, token: str, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jwk import KeySet

        now = int(self._clock.now())
        rules = jwt.JWTClaimsRegistry(
            now=now,
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": self._settings.oidc_client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(self._keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
            rules.validate(decoded.claims)
        except InvalidKeyIdError:
            raise KeyError from None
        except (JoseError, ValueError) as error:
            raise _refused(
                f"the identity provider's answer cannot be trusted: {type(error).__name__}"
            ) from None
        authorized = decoded.claims.get("azp", self._settings.oidc_client_id)
        if authorized != self._settings.oidc_client_id:
            raise _refused("the identity provider's answer is for another client")
        return dict(decoded.claims)

    async def _more(
        self, known: dict[str, Any], tokens: dict[str, Any], claims: dict[str, Any]
    ) -> dict[str, Any]:
        """The claims of the UserInfo endpoint, which are often not in the token."""
        endpoint, token = known.get("userinfo_endpoint"), tokens.get("access_token")
        if not isinstance(endpoint, str) or not isinstance(token, str):
            return {}
        found = await self._json("GET", endpoint, headers={"Authorization": f"Bearer {token}"})
        # Core §5.3.2: of somebody else it must not be used.
        return found if found.get("sub") == claims["sub"] else {}

    def _identity(self, known: dict[str, Any], claims: dict[str, Any]) -> Identity:
        wanted = (claims.get(key) for key in ("preferred_username", "email", "name", "sub"))
        name = next(one for one in wanted if isinstance(one, str) and one)
        groups = claims.get(self._settings.oidc_groups_claim) or []
        if isinstance(groups, str):
            groups = [groups]
        known_groups = frozenset(str(one) for one in groups) if isinstance(groups, list) else frozenset()
        return Identity(f"{known['issuer']} {claims['sub']}", name[:100].replace(":", "_"), known_groups)

    async def _json(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        import httpx

        try:
            async with (
                httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client,
                client.stream(method, url, **more) as answer,
            ):
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _MAX_BYTES:
                        raise _unreachable("it answers more than a mebibyte")
                if answer.status_code != 200:
                    raise _unreachable(f"it answered {answer.status_code}")
            found = msgspec.json.decode(body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(type(error).__name__) from None
        except msgspec.DecodeError:
            raise _unreachable("it does not answer JSON") from None
        if not isinstance(found, dict):
            raise _unreachable("it does not answer a JSON object")
        return found


def role_of(settings: AccountSettings, groups: frozenset[str]) -> str:
    """The role that groups give; empty where who is in none of them may not come in."""
    if groups & set(settings.oidc_admin_groups):
        return "admin"
    if groups & set(settings.oidc_editor_groups):
        return "editor"
    return settings.oidc_default_role


def _refused(detail: str) -> Problem:
    return Problem(Kind.UNAUTHENTICATED, detail)


def _unreachable(why: str) -> Problem:
    return Problem(Kind.UNAVAILABLE, f"the identity provider cannot be asked: {why}")
