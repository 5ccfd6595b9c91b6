"""A dashboard built as "Node Exporter Full" is: its kinds of panels, variables and queries, in our own words.

101 graphs, 6 gauges, 5 single stats and 16 rows in schema 26, over every collector of node_exporter.
"""

from __future__ import annotations

from itertools import count
from typing import Any

NODE = 'instance="$node",job="$job"'
# Row → the counters and gauges of a collector; a counter's graph shows its rate.
COLLECTORS: dict[str, list[str]] = {
    "CPU / Memory / Net / Disk": [
        "cpu_seconds_total",
        "memory_MemTotal_bytes",
        "network_receive_bytes_total",
        "filesystem_size_bytes",
        "disk_reads_completed_total",
        "disk_io_time_seconds_total",
    ],
    "Memory Meminfo": [
        f"memory_{name}_bytes"
        for name in (
            "Active",
            "Inactive",
            "Committed_AS",
            "CommitLimit",
            "Mapped",
            "Shmem",
            "Writeback",
            "Dirty",
            "KernelStack",
            "Percpu",
            "Bounce",
            "VmallocUsed",
            "Hugepagesize",
            "DirectMap4k",
            "AnonPages",
            "Unevictable",
        )
    ],
    "Memory Vmstat": ["vmstat_pgpgin", "vmstat_pswpin", "vmstat_pgfault", "vmstat_oom_kill"],
    "System Timesync": [
        "timex_estimated_error_seconds",
        "timex_offset_seconds",
        "timex_tick_seconds",
        "timex_sync_status",
    ],
    "System Processes": [
        "procs_running",
        "procs_blocked",
        "forks_total",
        "processes_threads",
        "processes_max_threads",
        "schedstat_running_seconds_total",
        "schedstat_waiting_seconds_total",
    ],
    "System Misc": [
        "context_switches_total",
        "load1",
        "interrupts_total",
        "entropy_available_bits",
        "time_seconds",
        "cpu_scaling_frequency_hertz",
        "arp_entries",
    ],
    "Hardware Misc": ["hwmon_temp_celsius", "cooling_device_cur_state", "power_supply_online"],
    "Systemd": ["systemd_socket_accepted_connections_total", "systemd_units"],
    "Storage Disk": [
        f"disk_{name}"
        for name in (
            "writes_completed_total",
            "read_bytes_total",
            "read_time_seconds_total",
            "io_now",
            "io_time_weighted_seconds_total",
            "reads_merged_total",
            "discards_completed_total",
            "discarded_sectors_total",
            "flush_requests_total",
        )
    ],
    "Storage Filesystem": [
        "filesystem_avail_bytes",
        "filefd_allocated",
        "filesystem_files_free",
        "filesystem_device_error",
        "filesystem_readonly",
    ],
    "Network Traffic": [
        f"network_{name}"
        for name in (
            "receive_packets_total",
            "receive_errs_total",
            "receive_drop_total",
            "receive_compressed_total",
            "receive_multicast_total",
            "receive_fifo_total",
            "receive_frame_total",
            "transmit_carrier_total",
            "transmit_colls_total",
            "speed_bytes",
            "mtu_bytes",
            "up",
            "transmit_queue_length",
            "carrier",
        )
    ],
    "Network Sockstat": [
        f"sockstat_{name}"
        for name in (
            "TCP_alloc",
            "UDP_inuse",
            "FRAG_inuse",
            "TCP_mem_bytes",
            "UDP_mem_bytes",
            "FRAG_memory",
            "sockets_used",
        )
    ],
    "Network Netstat": [
        f"netstat_{name}"
        for name in (
            "IpExt_InOctets",
            "Ip_Forwarding",
            "Icmp_InMsgs",
            "Icmp_InErrors",
            "Udp_InDatagrams",
            "Udp_InErrors",
            "Tcp_InSegs",
            "TcpExt_ListenOverflows",
            "TcpExt_SyncookiesSent",
            "Tcp_CurrEstab",
            "Tcp_ActiveOpens",
        )
    ],
    "Node Exporter": [
        "scrape_collector_duration_seconds",
        "scrape_collector_success",
        "textfile_scrape_error",
        "exporter_build_info",
        "uname_info",
        "boot_time_seconds",
    ],
}


def node_exporter_full() -> dict[str, Any]:
    """The document."""
    ids, panels, y = count(1), [], 0

    def place(kind: str, title: str, wide: int, high: int, x: int, **more: Any) -> dict[str, Any]:
        grid = {"x": x, "y": y, "w": wide, "h": high}
        return {
            "id": next(ids),
            "type": kind,
            "title": title,
            "gridPos": grid,
            "datasource": "${DS_PROMETHEUS}",
            **more,
        }

    panels.append(place("row", "Quick CPU / Mem / Disk", 24, 1, 0, collapsed=False, panels=[]))
    y += 1
    busy = (
        f'(sum by(instance) (irate(node_cpu_seconds_total{{mode!="idle",{NODE}}}[$__rate_interval]))) * 100'
    )
    for i in range(6):
        fields = {
            "defaults": {
                "unit": "percent",
                "min": 0,
                "max": 100,
                "thresholds": {
                    "mode": "absolute",
                    "steps": [
                        {"color": "rgba(50, 172, 45, 0.97)", "value": None},
                        {"color": "rgba(237, 129, 40, 0.89)", "value": 85},
                        {"color": "rgba(245, 54, 54, 0.9)", "value": 95},
                    ],
                },
            }
        }
        options = {"reduceOptions": {"calcs": ["mean"], "fields": "", "values": False}}
        panels.append(
            place(
                "gauge",
                f"Pressure {i}",
                3,
                4,
                3 * i,
                fieldConfig=fields,
                options=options,
                targets=[{"expr": busy, "refId": "A", "step": 240}],
            )
        )
    for i in range(5):
        panels.append(
            place(
                "singlestat",
                f"Count {i}",
                2,
                2,
                18 + 2 * (i % 3),
                format="s",
                valueName="current",
                thresholds="",
                gauge={"show": False, "minValue": 0, "maxValue": 100},
                targets=[{"expr": f"time() - node_boot_time_seconds{{{NODE}}}", "refId": "A"}],
            )
        )
    panels.append(place("row", "Basic CPU / Mem / Net / Disk", 24, 1, 0, collapsed=False, panels=[]))
    for title, metrics in COLLECTORS.items():
        y += 4
        inner = []
        for i, metric in enumerate(metrics):
            series = f"node_{metric}{{{NODE}}}"
            counter = metric.endswith("_total") or metric.startswith(("vmstat", "netstat"))
            expr = f"rate({series}[$__rate_interval])" if counter else series
            targets = [
                {"expr": expr, "legendFormat": "{{ device }} – in", "refId": "A", "intervalFactor": 1},
                {"expr": f"- topk(5, {expr}) and on() vector(1)", "legendFormat": "out", "refId": "B"},
                {"expr": f"{expr} offset 1d > 0", "refId": "C", "hide": True},
            ]
            inner.append(
                place(
                    "graph",
                    metric,
                    12,
                    10,
                    12 * (i % 2),
                    targets=targets,
                    stack=i % 3 == 0,
                    lines=True,
                    yaxes=[
                        {"format": "bytes" if "bytes" in metric else "short", "logBase": 1, "min": "0"},
                        {"format": "short"},
                    ],
                    thresholds=[],
                )
            )
        panels.append(place("row", title, 24, 1, 0, collapsed=True, panels=inner))
    prometheus = {
        "type": "query",
        "datasource": "${DS_PROMETHEUS}",
        "includeAll": False,
        "multi": False,
        "hide": 0,
    }
    custom = {
        "type": "custom",
        "name": "diskdevices",
        "hide": 2,
        "query": "[a-z]+|nvme[0-9]+n[0-9]+",
        "current": {"text": "[a-z]+|nvme[0-9]+n[0-9]+", "value": "[a-z]+|nvme[0-9]+n[0-9]+"},
    }
    variables = [
        {"type": "datasource", "name": "DS_PROMETHEUS", "query": "prometheus", "hide": 0},
        {**prometheus, "name": "job", "label": "Job", "query": "label_values(node_uname_info, job)"},
        {**prometheus, "name": "node", "query": 'label_values(node_uname_info{job="$job"}, instance)'},
        custom,
    ]
    return {
        "title": "Node Exporter Full",
        "schemaVersion": 26,
        "panels": panels,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables},
        "gnetId": 1860,
    }
