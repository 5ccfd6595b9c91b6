"""The settings of signing in."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mamimon.config_meta import number, text


class AccountSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Signing in."""

    session_days: Annotated[int, number("Days a session lasts.", 1)] = 14
    login_attempts: Annotated[int, number("Failed sign-ins a name may have in 15 minutes.", 1)] = 10
    oidc_issuer: Annotated[str, text("OpenID Connect provider to sign in by; empty is off.")] = ""
    oidc_client_id: Annotated[str, text("Our client id there.")] = ""
    oidc_client_secret: Annotated[
        str, text("Our client secret there; empty is a public client.", secret=True)
    ] = ""
    oidc_name: Annotated[str, text("What the button of the provider says.")] = "Single sign-on"
    oidc_scopes: Annotated[str, text("Scopes asked for there.")] = "openid profile email"
    oidc_groups_claim: Annotated[str, text("Claim that lists a person's groups.")] = "groups"
    oidc_admin_groups: Annotated[list[str], text("Groups whose people are administrators.")] = []
    oidc_editor_groups: Annotated[list[str], text("Groups whose people are editors.")] = []
    oidc_default_role: Annotated[
        Literal["", "none", "viewer", "editor", "admin"],
        text("Role of everybody else; none is for teams to give one, empty lets them not in."),
    ] = "viewer"
