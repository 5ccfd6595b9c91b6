"""What a request needs: nothing, or one of the scopes. Pure, so the whole matrix can be asserted."""

from __future__ import annotations

import re

from mamimon.accounts.model import Need

# Answered to anybody: liveness, what pages are made of, signing in, and doors with a key of their own
# (Sentry's DSN key, the event key, the ping's UUID, the signature of an acknowledge link, an invitation,
# the secret in a calendar's or a shared dashboard's address).
_PUBLIC = re.compile(
    r"^/(healthz|readyz|ready|robots\.txt|login(/code|/passkey|/sso|/sso/back)?|logout)$"
    r"|^/(static|sdk|ping|ack|join)/"
    r"|^/shared/[\w-]{43}(/live)?$"
    r"|^/oncall/[0-9a-f]{32}\.ics$"
    r"|^/status/(confirm|unsubscribe)/[\w-]{32}$"
    r"|^/api/\d+/((envelope|store|security|csp|minidump|unreal)|cron/[\w\-]+(/[0-9a-f]{32})?)/?$"
    r"|^/(capture|batch|e)/?$"
    # /sdk/mamimon.js tells the DSN to everybody already; an application asks for it with any token or none.
    r"|^/api/mamimon/errors/dsn$"
)
# The server's own, which are not there under a project's prefix.
_SERVER = re.compile(
    r"^/(healthz|readyz|ready|robots\.txt|logout|account(/.*)?|login(/.*)?)$|^/(static|join|language)/"
    r"|^/settings/(projects|teams)(/|$)|^/api/mamimon/(users|projects|teams)(/|$)"
)
# The status page, where it is public; signed in, who may read may subscribe.
_STATUS = {"/status", "/status/feed.atom", "/status/subscribe"}
_INGEST = re.compile(
    r"^/es/(.+/)?(_bulk|_doc|_create)(/|$)"
    r"|^/api/v1/write$|^/api/v2/write$|^/api/v1/otlp/v1/metrics$|^/v1/(logs|metrics|traces)$|^/loki/api/v1/push$|^/gelf$"
    r"|^/metrics/job(@base64)?/|^/api/mamimon/(logs|events|deploys)$"
)
# Questions that are put by POST because they are long.
_ASKED_BY_POST = re.compile(
    r"^/es/(.+/)?(_search|_msearch|_count|_field_caps|_mget|_pit|_validate/query|_search/scroll|_refresh)(/|$)"
    r"|^/api/v1/(query|query_range|query_exemplars|series|labels|format_query|parse_query|read)$"
    r"|^/loki/api/v1/(query|query_range|series|labels?|label/[^/]+/values|index/stats)$"
    r"|^/api/v1/search/|^/status/subscribe$"
)
_ADMIN = re.compile(
    r"^/settings(/|$)|^/api/v1/admin/|^/api/mamimon/((users|tokens|members|teams|projects|settings|backup|cleanup)(/|$)|events/keys)"
)
# What a person changes about the own account.
_OWN = re.compile(r"^/account(/|$)")
_SAFE = {"GET", "HEAD", "OPTIONS"}


def of_server(path: str) -> bool:
    """Whether a path is the server's, not a project's."""
    return _SERVER.match(path) is not None


def requirement(method: str, path: str, *, public_status: bool = False) -> Need | None:
    """The scope that `method path` needs; None where anybody may."""
    if _PUBLIC.match(path) or (public_status and path in _STATUS):
        return None
    if _ADMIN.match(path):
        return "admin"
    if _OWN.match(path):
        return "self"
    if method in _SAFE:
        # A CORS preflight carries no credentials and reveals nothing.
        return None if method == "OPTIONS" else "read"
    if _INGEST.match(path):
        return "ingest"
    return "read" if _ASKED_BY_POST.match(path) else "write"
