"""Structured logs, one JSON object a line (or coloured text for a person), on standard error."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(r"secret|password|token|assertion|authorization|database_url|dsn", re.IGNORECASE)
_IN_TEXT = re.compile(
    r"(?P<user>://[^/\s:@]*:)[^\s/]+(?P<end>@)"  # up to the last @, which a password may hold too
    r"|(?P<name>(?:password|token|secret|assertion)=)[^&\s'\"]+"  # of a query or a form
    r"|(?P<bearer>Bearer )\S+",
    re.IGNORECASE,
)


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Hide what must not reach a log, at any depth, by the name it goes under or by its look (a password in a URL)."""
    # structlog's own entries (`_record`) go on to the renderer as they are.
    return {name: value if name.startswith("_") else _shown(name, value) for name, value in event.items()}


def _shown(name: Any, value: Any) -> Any:
    if _SECRET.search(str(name)):
        return "[hidden]"
    if isinstance(value, dict):
        return {each: _shown(each, item) for each, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _IN_TEXT.sub(_hidden, value if isinstance(value, str) else repr(value))


def _hidden(match: re.Match[str]) -> str:
    kept = match["user"] or match["name"] or match["bearer"]
    return f"{kept}[hidden]{match['end'] or ''}"


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
