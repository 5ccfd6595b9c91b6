"""The settings of signing in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


def _text(about: str, **extra: Any) -> Meta:
    return Meta(description=about, extra=extra)


class AccountSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Signing in."""

    session_days: Annotated[int, Meta(description="Days a session lasts.", ge=1)] = 14
    login_attempts: Annotated[
        int, Meta(description="Failed sign-ins a name may have in 15 minutes.", ge=1)
    ] = 10
    oidc_issuer: Annotated[str, _text("OpenID Connect provider to sign in by; empty is off.")] = ""
    oidc_client_id: Annotated[str, _text("Our client id there.")] = ""
    oidc_client_secret: Annotated[
        str, _text("Our client secret there; empty is a public client.", secret=True)
    ] = ""
    oidc_name: Annotated[str, _text("What the button of the provider says.")] = "Single sign-on"
    oidc_scopes: Annotated[str, _text("Scopes asked for there.")] = "openid profile email"
    oidc_groups_claim: Annotated[str, _text("Claim that lists a person's groups.")] = "groups"
    oidc_admin_groups: Annotated[list[str], _text("Groups whose people are administrators.")] = []
    oidc_editor_groups: Annotated[list[str], _text("Groups whose people are editors.")] = []
    oidc_default_role: Annotated[
        Literal["", "viewer", "editor", "admin"], _text("Role of everybody else; empty lets them not in.")
    ] = "viewer"
