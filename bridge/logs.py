"""Sets up the log on stderr, for our lines and the libraries' alike: JSON for machines or text for people."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from bridge.masking import Masker


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def show_no_locals() -> None:
    """Has a command that sets up no log show plain tracebacks: structlog's own show what callers said, and keys."""
    if not structlog.is_configured():
        structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _for_people()])


def warn_on_stderr() -> None:
    """Logs only warnings and errors, as text on stderr, for a command that prints its results on standard output."""
    show_no_locals()
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
    )


def set_up_logs(log_format: Literal["json", "text"], level: str, masker: Masker | None = None) -> None:
    """Configures structlog and the standard library's logging, with secrets replaced by `masker`. It is called once.

    Tracebacks are plain and without locals, which hold secrets and would take seconds of the event loop to format.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
        if log_format == "json"
        else [_for_people()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )

    def mask(logger: Any, method: str, line: Any) -> Any:
        return masker(line) if masker is not None else line

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, mask],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    if level == "info":
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells every request's URL, with its password
    if level != "debug":
        logging.getLogger("mcp").setLevel(
            logging.CRITICAL
        )  # it tells sessions' ids, and what tools are sent and answer
