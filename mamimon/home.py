"""Whose work is being done: the project's, by its slug; empty is the first one's and the server's.

Set a request and a background task, and copied into threads with the rest of their context, so that what
mamimon logs about a project reaches that project's own lines and no other's.
"""

from __future__ import annotations

from contextvars import ContextVar

current_project: ContextVar[str] = ContextVar("mamimon_project", default="")
