"""Operational logs: JSON lines on standard error, beside the decision records on standard output.

Exceptions are logged by type and place without their values: a local variable could hold a token.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(level: str) -> None:
    """Set up the process's logs; ``level`` is debug, info, warning or error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
