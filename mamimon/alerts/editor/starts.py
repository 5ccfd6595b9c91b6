"""What a new rule can start from: one of each kind of thing that people are woken for."""

from __future__ import annotations

from mamimon.i18n import gettext


def starts() -> list[tuple[str, dict[str, str]]]:
    """Titles in the reader's language, and the fields of the editor's form."""
    return [
        (
            gettext("an endpoint fails"),
            {
                "name": "EndpointFails",
                "expr": 'sum by (path) (rate(http_requests_total{status=~"5.."}[5m]))'
                " / sum by (path) (rate(http_requests_total[5m])) > 0.05",
                "for": "2m",
                "severity": "critical",
                "summary": "{{ $value | humanizePercentage }} of the requests to {{ $labels.path }} fail",
            },
        ),
        (
            gettext("an endpoint is slow"),
            {
                "name": "EndpointSlow",
                "expr": "histogram_quantile(0.95, sum by (path, le)"
                " (rate(http_request_duration_seconds_bucket[5m]))) > 2",
                "for": "5m",
                "summary": "p95 of {{ $labels.path }} is {{ $value | humanizeDuration }}",
            },
        ),
        (
            gettext("many error lines"),
            {
                "name": "ManyErrorLines",
                "kind": "logs",
                "query": "level:(ERROR OR CRITICAL)",
                "window": "5m",
                "threshold": "20",
                "summary": "{{ $value }} error lines in five minutes",
            },
        ),
        (
            gettext("a log line is missing"),
            {
                "name": "NoNightlyBackup",
                "kind": "logs",
                "query": '"backup finished"',
                "window": "1d",
                "op": "<",
                "threshold": "1",
                "summary": "No backup has finished for a day",
            },
        ),
        (
            gettext("a new kind of error line"),
            {
                "name": "NewErrorPattern",
                "expr": 'increase(mamimon_log_patterns_new_total{level=~"ERROR|CRITICAL"}[10m]) > 0',
                "summary": "{{ $labels.dataset }} says an error that it never said before",
            },
        ),
        (
            gettext("a new error, or one that came back"),
            {
                "name": "NewError",
                "expr": "sum by (kind, project) (increase(mamimon_errors_issues_total[10m])) > 0",
                "summary": "An error of project {{ $labels.project }} is {{ $labels.kind }}; see /errors",
            },
        ),
        (
            gettext("more errors than usual"),
            {
                "name": "ErrorsSpike",
                "expr": "sum(rate(mamimon_errors_events_total[10m]))"
                " > 3 * sum(rate(mamimon_errors_events_total[1d])) + 0.02",
                "for": "5m",
                "summary": "Errors come three times as often as on an average day",
            },
        ),
        (
            gettext("a check or cron job is down"),
            {
                "name": "CheckDownNow",
                "expr": "mamimon_check_up == 0",
                "for": "1m",
                "severity": "critical",
                "summary": "{{ $labels.name }} is down",
            },
        ),
        (
            gettext("the disk is full tomorrow"),
            {
                "name": "DiskFullSoon",
                "expr": "predict_linear(system_disk_usage_percent[6h], 86400) > 100",
                "for": "30m",
                "summary": "At this rate the disk of {{ $labels.instance }} is full within a day",
            },
        ),
    ]
