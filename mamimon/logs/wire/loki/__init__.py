"""Loki's HTTP API: push in both encodings, and as much of LogQL as docs/loki.md says.

A pushed stream's labels stand under `labels` in the line; for lines that came by other doors the
labels are `dataset`, `service`, `host`, `environment` and `level`. Every other field is structured
metadata, so a selector or filter may name any field of any line.
"""
