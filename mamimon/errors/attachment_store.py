"""Files that come after their event, in an envelope of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mamimon.errors.model import Attachment
from mamimon.errors.packing import pack, unpack

MAX_FILES = 20


def attach(
    raw: sqlite3.Connection, project: int, event_id: str, files: Sequence[tuple[Attachment, bytes]]
) -> int:
    """Add files to an event of the project; returns how many are new."""
    row = raw.execute("SELECT body FROM event WHERE event_id = ?", (event_id,)).fetchone()
    if row is None:
        return 0
    event = unpack(row[0])
    if event.project != project:
        return 0
    fresh = [one for one in files if one[0] not in event.attachments]
    fresh = fresh[: max(0, MAX_FILES - len(event.attachments))]
    if not fresh:
        return 0
    raw.executemany(
        "INSERT INTO attachment VALUES (?, ?, ?, ?, ?)",
        [
            (event_id, number, about.name, about.type, body)
            for number, (about, body) in enumerate(fresh, len(event.attachments))
            if body
        ],
    )
    event.attachments = [*event.attachments, *(about for about, _ in fresh)]
    raw.execute("UPDATE event SET body = ? WHERE event_id = ?", (pack(event), event_id))
    return len(fresh)
