"""Passkeys (WebAuthn Level 3): a device signs instead of a password and a code.

The checks are those of py_webauthn (the extra `mamimon[passkeys]`). The device must have verified its
holder (finger, face, PIN), so a passkey counts as both factors.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mamimon.accounts.model import User
from mamimon.accounts.passkey_store import PasskeyStore
from mamimon.clock import Clock
from mamimon.problems import Kind, Problem, bad_input

_WAIT_S = 300.0
_WAITING = 1000


class Site(msgspec.Struct, frozen=True):
    """Where a page is: the origin that browsers sign, and its host, which passkeys belong to."""

    origin: str
    host: str


class Passkeys:
    """Makes and checks passkeys; challenges wait in memory and work once."""

    def __init__(self, store: PasskeyStore, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        # A challenge → who it was made for (0: whoever answers) and until when.
        self._challenges: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    async def begin(self, user: User, site: Site) -> str:
        """What `navigator.credentials.create` is to be called with, as JSON."""
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers.structs import (
            AuthenticatorSelectionCriteria,
            PublicKeyCredentialDescriptor,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        has = await self.store.of(user.id)
        return options_to_json(
            generate_registration_options(
                rp_id=site.host,
                rp_name="mamimon",
                user_id=user.id.to_bytes(8, "big"),
                user_name=user.name,
                challenge=self._challenge(user.id),
                authenticator_selection=AuthenticatorSelectionCriteria(
                    resident_key=ResidentKeyRequirement.REQUIRED,
                    user_verification=UserVerificationRequirement.REQUIRED,
                ),
                exclude_credentials=[PublicKeyCredentialDescriptor(id=one.id) for one in has],
            )
        )

    async def add(self, user: User, site: Site, name: str, credential: dict[str, Any]) -> None:
        """Keep the passkey that a browser made; raises BAD_INPUT where it cannot be believed."""
        from webauthn import verify_registration_response

        if not name or len(name) > 100 or not name.isprintable():
            raise bad_input("a passkey needs a name of 1 to 100 printable characters")
        challenge = self._answered(credential, user.id)
        made = await self._believed(
            verify_registration_response,
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
        )
        await self.store.add(
            made.credential_id,
            user.id,
            user.name,
            made.credential_public_key,
            made.sign_count,
            name,
            self._clock.now(),
        )

    def ask(self, site: Site) -> str:
        """What `navigator.credentials.get` is to be called with, as JSON."""
        from webauthn import generate_authentication_options, options_to_json
        from webauthn.helpers.structs import UserVerificationRequirement

        return options_to_json(
            generate_authentication_options(
                rp_id=site.host,
                challenge=self._challenge(0),
                user_verification=UserVerificationRequirement.REQUIRED,
            )
        )

    async def who(self, site: Site, credential: dict[str, Any]) -> str:
        """The name of whose passkey signed; raises UNAUTHENTICATED for any other."""
        from webauthn import verify_authentication_response
        from webauthn.helpers import base64url_to_bytes

        try:
            challenge = self._answered(credential, 0)
            key_id = base64url_to_bytes(str(credential.get("id", "")))
        except (Problem, ValueError):
            raise Problem(Kind.UNAUTHENTICATED, "this took too long; try again") from None
        found = await self.store.find(key_id)
        if found is None:
            raise Problem(Kind.UNAUTHENTICATED, "this passkey is not known here")
        name, public_key, count = found
        try:
            signed = await self._believed(
                verify_authentication_response,
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=site.host,
                expected_origin=site.origin,
                credential_public_key=public_key,
                credential_current_sign_count=count,
                require_user_verification=True,
            )
        except Problem as problem:
            raise Problem(Kind.UNAUTHENTICATED, problem.detail) from None
        await self.store.used(key_id, signed.new_sign_count, self._clock.now())
        return name

    def _challenge(self, user_id: int) -> bytes:
        challenge = secrets.token_bytes(32)
        self._challenges[challenge] = (user_id, self._clock.monotonic() + _WAIT_S)
        while len(self._challenges) > _WAITING:
            self._challenges.popitem(last=False)
        return challenge

    def _answered(self, credential: dict[str, Any], user_id: int) -> bytes:
        """The challenge of ours that an answer is to, used up by it."""
        from webauthn.helpers import base64url_to_bytes

        try:
            data = msgspec.json.decode(base64url_to_bytes(credential["response"]["clientDataJSON"]))
            challenge = base64url_to_bytes(data["challenge"])
        except (KeyError, TypeError, ValueError, msgspec.DecodeError):
            raise bad_input("this is not the answer of a passkey") from None
        whose, until = self._challenges.pop(challenge, (-1, 0.0))
        if whose != user_id or self._clock.monotonic() > until:
            raise bad_input("this took too long; try again")
        return challenge

    async def _believed(self, verify: Any, **what: Any) -> Any:
        from webauthn.helpers.exceptions import WebAuthnException

        try:
            return await asyncio.to_thread(verify, **what)
        except WebAuthnException as error:
            raise bad_input(f"this passkey cannot be believed: {type(error).__name__}") from None
        except (ValueError, TypeError, KeyError):
            # Half an answer breaks inside the library.
            raise bad_input("this is not the answer of a passkey") from None


def site_of(public_url: str, host_header: str) -> Site | None:
    """The site a request came to; None where browsers allow no passkeys.

    They want a name (an address has none, `localhost` has), and TLS elsewhere than on this machine.
    """
    parts = urlsplit(public_url or f"http://{host_header}")
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
        return None
    except ValueError:
        pass
    safe = parts.scheme == "https" or host == "localhost" or host.endswith(".localhost")
    return Site(f"{parts.scheme}://{parts.netloc}", host) if host and safe else None
