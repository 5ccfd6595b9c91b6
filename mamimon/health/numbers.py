"""The checks as metrics: our own names for states, the blackbox exporter's for what a run found."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mamimon.health.monitor import Figures

_FACTS = {
    "probe_http_status_code": "Status code of the answer.",
    "probe_http_redirects": "Redirects that were followed.",
    "probe_http_ssl": "1 where the last address was https.",
    "probe_http_version": "HTTP version of the answer.",
    "probe_http_content_length": "Content-Length of the answer, -1 without one.",
    "probe_http_uncompressed_body_length": "Bytes of the body that were read.",
    "probe_failed_due_to_regex": "1 where the body was not as wanted.",
    "probe_ssl_earliest_cert_expiry": "When the certificate expires, epoch seconds.",
    "probe_dns_lookup_time_seconds": "Time of the look-up.",
    "probe_dns_answer_rrs": "Answers that came.",
    "probe_ip_protocol": "4 or 6.",
    "probe_icmp_rtt_seconds": "Round trip of the echo.",
    "mamimon_disk_full_in_seconds": "Seconds until the disk is full at the rate of the last hours.",
    "mamimon_clock_offset_seconds": "How far the clock is, or may be, off.",
    "mamimon_processes": "Processes found.",
    "mamimon_systemd_failed_units": "Units of systemd that failed.",
}


class HealthNumbers(Collector):
    """Collects from what `read` returns."""

    def __init__(self, read: Callable[[], Iterable[Figures]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """No description ahead of time: the checks are known only once the room is open."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The states; one that is unknown or in maintenance has no `mamimon_check_up` sample."""
        labels = ["name", "kind"]
        up = GaugeMetricFamily(
            "mamimon_check_up", "1 up or degraded, 0 down; absent: unknown, maintenance.", labels=labels
        )
        slow = GaugeMetricFamily("mamimon_check_degraded", "1 while the check is degraded.", labels=labels)
        tells = GaugeMetricFamily(
            "mamimon_check_alert_on", "1 where this state becomes an alert.", labels=[*labels, "state"]
        )
        works = GaugeMetricFamily(
            "mamimon_check_maintenance", "1 while the check is in maintenance.", labels=labels
        )
        took = GaugeMetricFamily("mamimon_check_duration_seconds", "Time of the last run.", labels=labels)
        runs = CounterMetricFamily("mamimon_check_runs", "Runs of the check.", labels=labels)
        failed = CounterMetricFamily("mamimon_check_failures", "Runs that failed.", labels=labels)
        success = GaugeMetricFamily("probe_success", "1 where the last run succeeded.", labels=labels)
        duration = GaugeMetricFamily("probe_duration_seconds", "Time of the last run.", labels=labels)
        facts = {name: GaugeMetricFamily(name, about, labels=labels) for name, about in _FACTS.items()}
        for one in self._read():
            status = one.status
            values = [status.name, status.kind]
            tells.add_metric([*values, "degraded"], 1.0 if status.alert_on == "degraded" else 0.0)
            tells.add_metric([*values, "down"], 0.0 if status.alert_on == "nothing" else 1.0)
            works.add_metric(values, 1.0 if status.state == "maintenance" else 0.0)
            if status.state not in {"unknown", "maintenance"}:
                up.add_metric(values, 0.0 if status.state == "down" else 1.0)
                slow.add_metric(values, 1.0 if status.state == "degraded" else 0.0)
            if status.latency_s is not None:
                took.add_metric(values, status.latency_s)
            runs.add_metric(values, one.runs)
            failed.add_metric(values, one.failed)
            if one.last is not None and one.last.state != "unknown":
                success.add_metric(values, 0.0 if one.last.state == "down" else 1.0)
                duration.add_metric(values, one.last.latency_s)
                for name, value in one.last.facts.items():
                    facts[name].add_metric(values, value)
        yield from (up, slow, tells, works, took, runs, failed, success, duration)
        yield from (family for family in facts.values() if family.samples)
