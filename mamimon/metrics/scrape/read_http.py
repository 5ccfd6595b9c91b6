"""The HTTP client part of a scrape or discovery config (Prometheus, `http_config`)."""

from __future__ import annotations

from mamimon.metrics.scrape.job import Header, Http, OAuth2, Tls
from mamimon.metrics.scrape.yaml_file import Node

HTTP_KEYS = {
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "follow_redirects",
    "enable_http2",
    "http_headers",
}
_VERSIONS = ("", "TLS10", "TLS11", "TLS12", "TLS13")
# Prometheus sets these itself; a configured one would be fought over.
_RESERVED = {
    "authorization", "host", "content-encoding", "content-length", "content-type", "user-agent",
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "www-authenticate",
    "accept-encoding", "x-prometheus-remote-write-version", "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds", "accept",
}  # fmt: skip


def read_http(node: Node) -> Http:
    """Read the keys of `HTTP_KEYS` of a mapping; raises `ConfigError` at the place of a mistake."""
    basic, bearer = node.get("basic_auth"), node.get("authorization")
    basic.only({"username", "username_file", "password", "password_file", "username_ref", "password_ref"})
    bearer.only({"type", "credentials", "credentials_file", "credentials_ref"})
    _one_of(node, "basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file")
    _one_of(basic, "username", "username_file")
    _one_of(basic, "password", "password_file")
    _one_of(bearer, "credentials", "credentials_file")
    if node.get("proxy_url").value and node.get("proxy_from_environment").flag(False):
        node.fail("proxy_url and proxy_from_environment exclude each other")
    old = node.get("bearer_token").text(""), file_path(node.get("bearer_token_file"))
    kind = bearer.get("type").text("Bearer") if bearer.names() or any(old) else ""
    if kind.lower() == "basic":
        bearer.get("type").fail('authorization type cannot be "basic"; use basic_auth')
    return Http(
        username=basic.get("username").text(""),
        username_file=file_path(basic.get("username_file")),
        password=basic.get("password").text(""),
        password_file=file_path(basic.get("password_file")),
        authorization_type=kind,
        credentials=bearer.get("credentials").text("") or old[0],
        credentials_file=file_path(bearer.get("credentials_file")) or old[1],
        oauth2=_oauth2(node.get("oauth2")),
        headers=_headers(node.get("http_headers")),
        tls=read_tls(node.get("tls_config")),
        proxy_url=node.get("proxy_url").text(""),
        no_proxy=tuple(part.strip() for part in node.get("no_proxy").text("").split(",") if part.strip()),
        proxy_from_environment=node.get("proxy_from_environment").flag(False),
        proxy_headers={
            name: ",".join(node.get("proxy_connect_header").get(name).text_list())
            for name in node.get("proxy_connect_header").names()
        },
        follow_redirects=node.get("follow_redirects").flag(True),
    )


def read_tls(node: Node) -> Tls:
    """A `tls_config`."""
    node.only(
        {"ca", "cert", "key", "ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify"}
        | {"min_version", "max_version"}
    )
    for name in ("ca", "cert", "key"):
        _one_of(node, name, f"{name}_file")
    if bool(node.get("cert").value or node.get("cert_file").value) != bool(
        node.get("key").value or node.get("key_file").value
    ):
        node.fail("a client certificate needs both cert and key")
    return Tls(
        ca=node.get("ca").text(""),
        cert=node.get("cert").text(""),
        key=node.get("key").text(""),
        ca_file=file_path(node.get("ca_file")),
        cert_file=file_path(node.get("cert_file")),
        key_file=file_path(node.get("key_file")),
        server_name=node.get("server_name").text(""),
        insecure_skip_verify=node.get("insecure_skip_verify").flag(False),
        min_version=node.get("min_version").choice(_VERSIONS, ""),
        max_version=node.get("max_version").choice(_VERSIONS, ""),
    )


def _oauth2(node: Node) -> OAuth2 | None:
    if node.value is None:
        return None
    node.only(
        {"client_id", "client_secret", "client_secret_file", "token_url", "scopes", "endpoint_params"}
        | {"tls_config", "proxy_url"}
    )
    _one_of(node, "client_secret", "client_secret_file")
    return OAuth2(
        client_id=node.get("client_id").text(),
        client_secret=node.get("client_secret").text(""),
        client_secret_file=file_path(node.get("client_secret_file")),
        token_url=node.get("token_url").text(),
        scopes=tuple(node.get("scopes").text_list()),
        endpoint_params=node.get("endpoint_params").texts(),
        tls=read_tls(node.get("tls_config")),
        proxy_url=node.get("proxy_url").text(""),
    )


def _headers(node: Node) -> dict[str, Header]:
    out = {}
    for name in node.names():
        one = node.get(name)
        one.only({"values", "secrets", "files"})
        if name.lower() in _RESERVED:
            one.fail(f"{name} is set by the scraper itself and cannot be an http_header")
        values = (*one.get("values").text_list(), *one.get("secrets").text_list())
        out[name] = Header(values, tuple(_joined(one, file.text()) for file in one.get("files").items()))
    return out


def _one_of(node: Node, *names: str) -> None:
    given = [name for name in names if node.get(name).value is not None]
    if len(given) > 1:
        node.fail(f"at most one of {' and '.join(given)} can be configured")


def file_path(node: Node) -> str:
    """A path as an absolute one, from the folder of the file; empty where it is not given."""
    text = node.text("")
    return _joined(node, text) if text else ""


def _joined(node: Node, text: str) -> str:
    return str(node.file.path.parent / text)
