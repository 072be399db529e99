"""Structured logs, one JSON object a line (or coloured text for a person), on standard error."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(r"secret|password|token|assertion|authorization|database_url|dsn", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)([^/\s:@]+):[^@\s/]+@")


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Hide what must not reach a log, by the name it goes under or by its look (a password inside a URL)."""
    for name, value in event.items():
        if _SECRET.search(name):
            event[name] = "[hidden]"
        elif isinstance(value, str):
            event[name] = _CREDENTIALS.sub(r"\1:[hidden]@", value)
    return event


def configure(*, service: str, instance: str, level: str, format: str) -> None:  # noqa: A002
    renderer: Any = structlog.processors.JSONRenderer() if format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
    # The libraries' own records go through the same processors, so that nothing escapes the redaction.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
