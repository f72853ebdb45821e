"""What is logged of something that happens over and over."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from bridge.line.sparse_log import SparseLog

log = structlog.get_logger(__name__)


def test_an_event_is_written_once_a_second_with_the_number_of_connections() -> None:
    now_s = 7.0
    sparse = SparseLog(lambda: now_s)
    with capture_logs() as logs:
        for number in range(1_000):
            now_s = 7.0 + number / 400
            sparse.write(log.info, "connection sent no UUID")
    assert [entry["connections"] for entry in logs] == [1, 400, 400]


def test_each_event_has_its_own_second() -> None:
    sparse = SparseLog(lambda: 0.0)
    with capture_logs() as logs:
        for _ in range(3):
            sparse.write(log.info, "connection sent no UUID")
            sparse.write(log.warning, "call refused", reason="full")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("connection sent no UUID", "info"),
        ("call refused", "warning"),
    ]
    assert logs[1]["reason"] == "full"
