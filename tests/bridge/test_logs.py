"""Log lines as a process writes them to stderr."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, structlog
from bridge.logs import set_up_logs, show_no_locals, warn_on_stderr

def fail(key):
    raise ValueError("it failed")

if sys.argv[1] == "warnings":
    warn_on_stderr()
elif sys.argv[1] == "commands":
    show_no_locals()
else:
    set_up_logs(sys.argv[1], "info")
try:
    fail("hunter" + "2")
except ValueError:
    structlog.get_logger().exception("ours")
    logging.getLogger("library").exception("theirs")
logging.getLogger("httpx2").info("HTTP Request: POST http://user:hunter2@llm/v1/chat/completions")
"""


@pytest.mark.parametrize("log_format", ["json", "text", "warnings", "commands"])
def test_a_traceback_shows_no_locals_and_a_request_no_url(log_format):
    logged = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    assert logged.count("it failed") >= 2  # both have their traceback
    assert logged.count("fail") > logged.count("it failed"), "its frames are named"
    assert "hunter2" not in logged
