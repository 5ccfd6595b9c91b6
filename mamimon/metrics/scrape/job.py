"""What a scrape_config says, as data; times in seconds, sizes in bytes."""

from __future__ import annotations

import msgspec

from mamimon.metrics.scrape.relabel import Relabel

PROTOCOLS = {
    "PrometheusProto": "application/vnd.google.protobuf"
    ";proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
"""Name of a scrape protocol → the media type that asks for it."""
TEXT_PROTOCOLS = tuple(PROTOCOLS)[1:]
ESCAPING = ("allow-utf-8", "underscores", "dots", "values")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one scrape; 0 is no bound. Bytes, samples, labels, characters, targets, buckets."""

    body_size_limit: int = 0
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    target_limit: int = 0
    keep_dropped_targets: int = 0
    native_histogram_bucket_limit: int = 0
    native_histogram_min_bucket_factor: float = 0.0


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for and what is made of it."""

    protocols: tuple[str, ...] = TEXT_PROTOCOLS
    fallback: str = ""
    """Media type where the target names none that is known."""
    native: bool = False
    keep_classic: bool = False
    to_custom_buckets: bool = False
    legacy_names: bool = False
    """Names that are not of the old alphabet fail the scrape."""
    escaping: str = "allow-utf-8"
    compression: bool = True
    extra_metrics: bool = False

    def accept(self) -> str:
        """The Accept header: wanted protocols in their order, then anything."""
        weight = len(PROTOCOLS) + 1
        out = []
        for name in self.protocols:
            escaping = f";escaping={self.escaping}" if name.endswith("Text1.0.0") else ""
            out.append(f"{PROTOCOLS[name]}{escaping};q=0.{weight}")
            weight -= 1
        return ",".join([*out, f"*/*;q=0.{weight}"])


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """`tls_config`; paths are absolute, `ca`, `cert` and `key` are inline PEM."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: str = ""
    max_version: str = ""


class OAuth2(msgspec.Struct, frozen=True, kw_only=True):
    """Client credentials that are changed for a bearer token at `token_url`."""

    client_id: str
    client_secret: str = ""
    client_secret_file: str = ""
    token_url: str
    scopes: tuple[str, ...] = ()
    endpoint_params: dict[str, str] = {}
    tls: Tls = Tls()
    proxy_url: str = ""


class Header(msgspec.Struct, frozen=True):
    """One of `http_headers`: values inline and from files that are read each time."""

    values: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask: credentials (inline or from files that are read each time), TLS, proxy, headers."""

    username: str = ""
    username_file: str = ""
    password: str = ""
    password_file: str = ""
    authorization_type: str = ""
    credentials: str = ""
    credentials_file: str = ""
    oauth2: OAuth2 | None = None
    headers: dict[str, Header] = {}
    tls: Tls = Tls()
    proxy_url: str = ""
    no_proxy: tuple[str, ...] = ()
    proxy_from_environment: bool = False
    proxy_headers: dict[str, str] = {}
    follow_redirects: bool = True


class Group(msgspec.Struct, frozen=True):
    """Targets (`host:port`) that share labels."""

    targets: list[str]
    labels: dict[str, str] = {}
    source: str = ""
    own: dict[str, dict[str, str]] = {}
    """Target → labels that only it has."""


class FileDiscovery(msgspec.Struct, frozen=True):
    """`file_sd_configs`: absolute globs and how often they are read again even if nothing changed."""

    files: list[str]
    refresh_s: float = 300.0


class DnsDiscovery(msgspec.Struct, frozen=True):
    """`dns_sd_configs`: names of one record type (SRV, A, AAAA, MX, NS), the port, the refresh interval."""

    names: list[str]
    type: str
    port: int
    refresh_s: float = 30.0


class HttpDiscovery(msgspec.Struct, frozen=True):
    """`http_sd_configs`: where to ask for groups, how, and how often."""

    url: str
    http: Http
    refresh_s: float = 60.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One `scrape_config`; times in seconds."""

    name: str
    interval_s: float
    timeout_s: float
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: dict[str, list[str]] = {}
    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    http: Http = Http()
    static: list[Group] = []
    files: list[FileDiscovery] = []
    dns: list[DnsDiscovery] = []
    web: list[HttpDiscovery] = []
    relabel: list[Relabel] = []
    metric_relabel: list[Relabel] = []
    limits: Limits = Limits()
    formats: Formats = Formats()
