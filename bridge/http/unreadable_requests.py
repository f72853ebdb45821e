"""What is logged of requests that are no HTTP: strangers can send thousands of them a second."""

from __future__ import annotations

import logging
from typing import Final

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from bridge.line.sparse_log import SparseLog

log = structlog.get_logger(__name__)


class UnreadableRequests(logging.Filter):
    """Has aiohttp's log tell of them in a line a second; it would write a traceback for each."""

    def __init__(self) -> None:
        super().__init__()
        self.log = SparseLog()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        self.log.write(log.info, "request cannot be read", error=type(error).__name__)
        return False


FILTER: Final = UnreadableRequests()


def log_sparsely() -> None:
    """Has the log of all servers pass through one filter."""
    logging.getLogger("aiohttp.server").addFilter(FILTER)
