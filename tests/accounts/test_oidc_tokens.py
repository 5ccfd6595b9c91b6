"""What is believed of an identity provider's answer, and what is not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from mamimon.accounts.oidc import Provider
from mamimon.clock import ManualClock
from mamimon.config_accounts import AccountSettings
from mamimon.problems import Problem


class Hostile:
    """A provider that answers what a test wants, signed with what it wants."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.token: Callable[[str], str] = self.good
        self.body: bytes | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return

            def do_GET(self) -> None:
                if self.path.startswith("/.well-known"):
                    self._say(
                        {
                            "issuer": outer.url,
                            "authorization_endpoint": f"{outer.url}/a",
                            "token_endpoint": f"{outer.url}/t",
                            "jwks_uri": f"{outer.url}/k",
                        }
                    )
                else:
                    self._say({"keys": [one.as_dict(private=False) for one in outer.published]})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._say({"id_token": outer.token(outer.nonce), "token_type": "Bearer"})

            def _say(self, what: Any) -> None:
                body = outer.body or json.dumps(what).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    # Who reads a bomb hangs up.
                    return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.nonce = ""
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def claims(self, nonce: str, **changed: Any) -> dict[str, Any]:
        now = int(time.time())
        plain = {"iss": self.url, "aud": "mamimon", "sub": "x", "nonce": nonce, "iat": now, "exp": now + 60}
        return {**plain, **changed}

    def good(self, nonce: str) -> str:
        return self.signed(nonce)

    def signed(self, nonce: str, **changed: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, self.claims(nonce, **changed), self.key)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """See `Hostile`."""
    one = Hostile()
    yield one
    one.server.shutdown()
    one.server.server_close()


def ask(hostile: Hostile) -> str:
    """The subject that a whole sign-in ends with, or what was wrong with it."""
    settings = AccountSettings(oidc_issuer=hostile.url, oidc_client_id="mamimon", oidc_client_secret="s" * 32)
    provider = Provider(settings, ManualClock(time.time()))

    async def run() -> str:
        address, state = await provider.begin("/", "http://here/login/sso/back")
        hostile.nonce = parse_qs(urlsplit(address).query)["nonce"][0]
        try:
            identity, _ = await provider.finish({"state": state, "code": "c"}, state)
        except Problem as problem:
            return problem.detail
        return identity.subject

    return asyncio.run(run())


@pytest.mark.feature("S1")
def test_only_a_sound_token_is_believed(hostile: Hostile) -> None:
    """Wrong audience, issuer, nonce, time, party, signature and algorithm are each refused."""
    assert ask(hostile) == f"{hostile.url} x"
    other = RSAKey.generate_key(2048, {"kid": "one"})
    wrong: dict[str, Callable[[str], str]] = {
        "audience": lambda nonce: hostile.signed(nonce, aud="another"),
        "issuer": lambda nonce: hostile.signed(nonce, iss="http://evil.example"),
        "nonce": lambda _: hostile.signed("replayed"),
        "expired": lambda nonce: hostile.signed(nonce, exp=int(time.time()) - 3600),
        "no subject": lambda nonce: jwt.encode(
            {"alg": "RS256", "kid": "one"},
            {k: v for k, v in hostile.claims(nonce).items() if k != "sub"},
            hostile.key,
        ),
        "another party": lambda nonce: hostile.signed(nonce, azp="another"),
        "another key": lambda nonce: jwt.encode({"alg": "RS256", "kid": "one"}, hostile.claims(nonce), other),
        "the client secret as a key": lambda nonce: jwt.encode(
            {"alg": "HS256", "kid": "one"}, hostile.claims(nonce), OctKey.import_key("s" * 32)
        ),
        "no signature": lambda nonce: jwt.encode(
            {"alg": "none"}, hostile.claims(nonce), OctKey.import_key("s" * 32), algorithms=["none"]
        ),
        "no token": lambda _: "",
        "not a token": lambda _: "a.b.c",
    }
    for name, token in wrong.items():
        hostile.token = token
        assert "identity provider's answer" in ask(hostile), name


@pytest.mark.feature("S1")
def test_new_keys_are_fetched_once(hostile: Hostile) -> None:
    """A provider that changed its keys since they were read is believed; an unknown key is not."""
    settings = AccountSettings(oidc_issuer=hostile.url, oidc_client_id="mamimon")
    provider = Provider(settings, ManualClock(time.time()))

    async def once() -> str:
        address, state = await provider.begin("/", "http://here/login/sso/back")
        hostile.nonce = parse_qs(urlsplit(address).query)["nonce"][0]
        identity, _ = await provider.finish({"state": state, "code": "c"}, state)
        return identity.subject

    async def run() -> None:
        assert await once()
        newer = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        hostile.published = [newer]
        hostile.token = lambda nonce: jwt.encode({"alg": "RS256", "kid": "two"}, hostile.claims(nonce), newer)
        assert await once()
        hostile.token = lambda nonce: jwt.encode(
            {"alg": "RS256", "kid": "three"}, hostile.claims(nonce), newer
        )
        with pytest.raises(Problem, match="unknown key"):
            await once()

    asyncio.run(run())


@pytest.mark.feature("S1")
def test_an_endless_answer_is_left(hostile: Hostile) -> None:
    """More than a mebibyte, and what is not JSON, are no answer."""
    hostile.body = b"{" + b" " * (3 * 1024 * 1024)
    with pytest.raises(Problem, match="mebibyte"):
        ask(hostile)
    hostile.body = b"<html>"
    with pytest.raises(Problem, match="JSON"):
        ask(hostile)
