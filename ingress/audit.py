"""The audit log: one line for each thing that an administrator did, or tried to do.

A line of its own kind (``event`` is ``admin_action``) among the others on standard output, whatever
``LOG_LEVEL`` is. It never holds a token, nor a body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from ingress.errors import ApiError

__all__ = ["AuditEntry", "audited", "write_access_changed"]

_UNKNOWN = "unknown"
_log = structlog.wrap_logger(
    None,  # the configured one
    wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
)


@dataclass(slots=True)
class AuditEntry:
    """What is known of an action so far; whoever learns more puts it in."""

    action: str
    """Method and path, with the names of its parameters instead of their values."""
    target: Mapping[str, str]
    """The values of those parameters: the object that it is about."""
    who: str = _UNKNOWN
    """Name of the token, or ``jwt:`` and its subject."""
    query: dict[str, Any] = field(default_factory=dict)
    """The query's fields, once they have been validated."""


@contextmanager
def audited(entry: AuditEntry) -> Iterator[AuditEntry]:
    """Write the line when the block ends, however it ends."""
    outcome = "done"
    details: dict[str, str] = {}
    try:
        yield entry
    except ApiError as error:
        # A refusal for now may have done half of it: a 5xx says that it is to be done again.
        outcome = "refused" if error.status < 500 else "failed"
        details = {"code": error.code}
        raise
    except asyncio.CancelledError:
        outcome = "interrupted"
        raise
    except Exception as error:
        outcome, details = "failed", {"code": type(error).__name__}
        raise
    finally:
        _log.info(
            "admin_action",
            who=entry.who,
            action=entry.action,
            target=dict(entry.target),
            query=entry.query,
            outcome=outcome,
            **details,
        )


def write_access_changed(names: list[str]) -> None:
    """Write that tokens, keys or secrets were replaced, by their variables."""
    _log.info("access_changed", changed=names)
