"""The second factor: codes of an authenticator (TOTP, RFC 6238) and recovery codes.

A secret is derived of a random seed in the database and a key in `accounts.key`, which only this
machine's data directory holds, so neither a backup nor a copy of `mamimon.db` makes codes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from mamimon.accounts.model import User
from mamimon.accounts.sign_in_store import SignInStore
from mamimon.clock import Clock
from mamimon.problems import bad_input

STEP_S = 30
RECOVERY_CODES = 10
# Without the letters and digits that people mistake for each other.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class SecondFactor:
    """Makes, proves and takes away second factors."""

    def __init__(self, store: SignInStore, clock: Clock, data_dir: Path) -> None:
        self._store = store
        self._clock = clock
        self._path = data_dir / "accounts.key"
        self._making = asyncio.Lock()

    async def secret(self, seed: bytes) -> str:
        """The base32 secret that an authenticator takes, of a seed."""
        async with self._making:
            key = await asyncio.to_thread(_key, self._path)
        return base64.b32encode(hmac.digest(key, seed, "sha256")[:20]).decode()

    async def enable(self, user: User, seed: bytes, code: str) -> list[str]:
        """Turn it on for who proves by `code` to hold the secret; returns recovery codes, shown only now."""
        step = await self._step(seed, code)
        if step is None:
            raise bad_input("this code is not right; look at the newest one, and at the phone's clock")
        codes = ["".join(secrets.choice(_ALPHABET) for _ in range(12)) for _ in range(RECOVERY_CODES)]
        hashes = [_digest(one) for one in codes]
        await self._store.set_factor(user.id, user.name, seed, step, hashes, self._clock.now())
        return ["-".join((one[:4], one[4:8], one[8:])) for one in codes]

    async def proven(self, user: User, code: str) -> bool:
        """Whether a code of the authenticator, or a recovery code, is right; each works once."""
        code = code.strip().replace(" ", "").replace("-", "").lower()
        if len(code) > 64:
            return False
        if not code.isdigit():
            return await self._store.take_code(user.id, user.name, _digest(code), self._clock.now())
        seed = await self._store.seed(user.id)
        step = None if seed is None else await self._step(seed, code)
        return step is not None and await self._store.take_step(user.id, step)

    async def _step(self, seed: bytes, code: str) -> int | None:
        from pyotp import TOTP

        totp, now = TOTP(await self.secret(seed)), int(self._clock.now())
        # One step either side, for clocks that disagree and thumbs that are slow.
        for at in (now, now - STEP_S, now + STEP_S):
            if hmac.compare_digest(totp.at(at).encode(), code.encode()):
                return at // STEP_S
        return None


def address(secret: str, name: str, issuer: str) -> str:
    """The `otpauth://` address that an authenticator reads from a QR code."""
    from pyotp import TOTP

    return TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def picture(address: str) -> str:
    """An address as a QR code in SVG, dark on white in either theme."""
    import segno

    return str(segno.make(address, error="m").svg_inline(scale=5, border=4, dark="#000", light="#fff"))


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "replace")).digest()


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    key = secrets.token_bytes(32)
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.touch(mode=0o600)
    draft.write_bytes(key)
    draft.replace(path)
    return key
