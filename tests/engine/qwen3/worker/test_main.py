"""The model's process from outside, without a model: how it ends."""

from __future__ import annotations

import subprocess
import sys

from engine.child import Log, pack, read
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker.worker import FAULT_STATUS

BROKEN = """
import logging, runpy
from engine.qwen3.worker import build, worker

class Broken:
    patience_s = 0.0

    def __init__(self, *_): pass

    def turn(self):
        logging.getLogger("gpu").error("it broke")
        raise SystemExit(worker.FAULT_STATUS)

    def close(self): pass

build.build, worker.Worker = str, Broken
runpy.run_module("engine.qwen3.worker.main", run_name="__main__")
"""


def test_after_a_fault_it_has_said_all_and_ends_with_its_status_though_its_commands_go_on() -> None:
    command = [sys.executable, "-c", BROKEN]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(pack(QwenSettings()))
        process.stdin.flush()
        said = read(process.stdout)
        assert process.wait(60) == FAULT_STATUS
        assert b"Fatal" not in process.stderr.read()
    assert isinstance(said, Log)
    assert said.event == "it broke"
