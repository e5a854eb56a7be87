"""Logs: one JSON object a line on standard output, from structlog and from the libraries."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, Processor

__all__ = ["configure_logging"]


def configure_logging(level: str, process: str | None = None) -> None:
    """Set up logging for this process. ``level`` is a name such as ``INFO``.

    ``process``: its name among those that write to one place; it stands in every line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        *([] if process is None else [_Named(process)]),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # Without local variables: they hold messages and tokens.
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_encode)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(number, shared)


class _Named:
    """Puts the name of the process into every line."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        event["process"] = self._process
        return event


def _route_standard_logging(level: int, shared: list[Processor]) -> None:
    """Give records of the libraries the same form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_encode_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Every request has its own line here already.
    logging.getLogger("uvicorn.access").disabled = True
    # It would log what it sends: answers to people.
    logging.getLogger("sse_starlette").setLevel(max(level, logging.INFO))
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))


def _encode(event: Any, **_: object) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _encode_text(event: Any, **_: object) -> str:
    return _encode(event).decode()
