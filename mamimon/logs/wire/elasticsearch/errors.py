"""Errors in Elasticsearch's own words."""

from __future__ import annotations

from typing import Any

from mamimon.problems import Kind, Problem


class EsError(Exception):
    """An answer that is an error: the status and Elasticsearch's name for it."""

    def __init__(self, status: int, type: str, reason: str, **extra: Any) -> None:
        super().__init__(reason)
        self.status = status
        self.type = type
        self.reason = reason
        self.extra = extra
        self.bare = False

    def body(self) -> dict[str, Any]:
        """The error object as Elasticsearch nests it; what no handler took is a text there."""
        if self.bare:
            return {"error": self.reason, "status": self.status}
        cause = {"type": self.type, "reason": self.reason, **self.extra}
        return {"error": {"root_cause": [cause], **cause}, "status": self.status}


_TYPES = {
    Kind.BAD_INPUT: "parsing_exception",
    Kind.NOT_FOUND: "resource_not_found_exception",
    Kind.TOO_LARGE: "content_too_long_exception",
    Kind.UNSUPPORTED: "media_type_header_exception",
    Kind.TOO_MANY: "es_rejected_execution_exception",
    Kind.UNAVAILABLE: "cluster_block_exception",
    Kind.TIMEOUT: "timeout_exception",
}


def of_problem(problem: Problem) -> EsError:
    """Our own error in Elasticsearch's words."""
    kind = None
    if problem.detail.startswith(("Failed to parse query", "regular expression")):
        kind = "query_shard_exception"
    elif problem.detail.startswith(("failed to parse date field", "date math")):
        kind = "parse_exception"
    elif problem.detail.startswith("unknown time zone"):
        kind = "illegal_argument_exception"
    return EsError(
        problem.status, kind or _TYPES.get(problem.kind, "illegal_argument_exception"), problem.detail
    )


def illegal(reason: str) -> EsError:
    """An argument that is not allowed."""
    return EsError(400, "illegal_argument_exception", reason)


def parsing(reason: str) -> EsError:
    """A body that cannot be read."""
    return EsError(400, "parsing_exception", reason)


def unknown_field(owner: str, name: str) -> EsError:
    """A key that an object does not have."""
    return EsError(400, "x_content_parse_exception", f"[{owner}] unknown field [{name[:80]}]")


def unparsed(owner: str, name: str, why: str) -> EsError:
    """A key whose value cannot be read, and why."""
    cause = {"type": "illegal_argument_exception", "reason": why}
    return EsError(
        400, "x_content_parse_exception", f"[{owner}] failed to parse field [{name}]", caused_by=cause
    )


def unbuilt(owner: str, why: str) -> EsError:
    """An object whose keys do not make a whole, and why."""
    cause = {"type": "illegal_argument_exception", "reason": why}
    return EsError(
        400,
        "x_content_parse_exception",
        f"Failed to build [{owner}] after last required field arrived",
        caused_by=cause,
    )


def bad_date(text: str, form: str = "") -> EsError:
    """A date that cannot be read."""
    shown_form = form or "strict_date_optional_time||epoch_millis"
    return EsError(
        400,
        "parse_exception",
        f"failed to parse date field [{text[:80]}] with format [{shown_form[:80]}]",
    )


def unknown_index(name: str) -> EsError:
    """There is no such index."""
    return EsError(
        404,
        "index_not_found_exception",
        f"no such index [{name}]",
        **{"resource.type": "index_or_alias", "resource.id": name, "index_uuid": "_na_", "index": name},
    )


def no_handler(method: str, path: str) -> EsError:
    """A call that Elasticsearch has and a log store does not, or that nobody has."""
    return bare(400, f"no handler found for uri [{path}] and method [{method}]")


def bare(status: int, reason: str) -> EsError:
    """An answer whose error is a text."""
    error = EsError(status, "illegal_argument_exception", reason)
    error.bare = True
    return error
