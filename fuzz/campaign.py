"""Runs harnesses, each in a process of its own, on the corpus that earlier runs have left."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
INPUT_S: Final = 30
"""An input that takes longer is a find, on a busy machine too."""
MEMORY_MB: Final = 2_048
"""What a harness may take."""
START_S: Final = 300
"""The time for a harness to start and to go through its corpus, beside the time for which it is run."""
LAST_LINES: Final = 40
"""How much of a harness's output is told where it fails."""
_INPUTS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_FOUND: Final = re.compile(r"Test unit written to (\S+)")


def harnesses() -> list[str]:
    """Returns the names of the harnesses."""
    return sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))


@dataclass(frozen=True, slots=True)
class Run:
    """What came of running one harness."""

    inputs: int
    seconds: float
    failed: bool
    found: Path | None
    """The input by which it failed."""
    output: str
    """The last lines of what it printed."""


class Campaign:
    """Many runs of harnesses: their corpora, what they have found, and how many inputs they had."""

    def __init__(self, folder: Path, start_s: float = START_S) -> None:
        self._folder, self._start_s = folder, start_s
        self._counts = folder / "counts.json"

    def run(self, module: str, seconds: int, seed: int = 0, inputs: int = -1) -> Run:
        """Runs the harness of a module for so long, or until it has had so many inputs, and returns what came of it.

        Two runs with the same seed on the same corpus try the same inputs; 0 makes each run another one. How many they
        try in a time is the machine's affair, so only those that are limited by `inputs` try the same on every machine.
        """
        name = module.rpartition(".fuzz_")[2]
        corpus, found = self._folder / "corpus" / name, self._folder / "found"
        corpus.mkdir(parents=True, exist_ok=True)
        found.mkdir(exist_ok=True)
        options = {
            "max_total_time": seconds,
            "runs": inputs,
            "seed": seed,
            "timeout": INPUT_S,
            "rss_limit_mb": _memory_mb(),
            "artifact_prefix": f"{found}/{name}-",
            "print_final_stats": 1,
            "verbosity": 0,
        }
        began_s = time.monotonic()
        told = (f"-{option}={value}" for option, value in options.items())
        command: tuple[str | Path, ...] = (sys.executable, "-m", module, *told, corpus)
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=os.environ | ({"PYTHONHASHSEED": str(seed)} if seed else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds + self._start_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return Run(0, time.monotonic() - began_s, True, None, str(error))
        tried, written = _INPUTS.search(done.stdout), _FOUND.search(done.stdout)
        return Run(
            int(tried[1]) if tried else 0,
            time.monotonic() - began_s,
            done.returncode != 0 or tried is None,
            Path(written[1]) if written else None,
            "\n".join(done.stdout.splitlines()[-LAST_LINES:]),
        )

    def count(self, name: str, inputs: int) -> int:
        """Adds the inputs of a run to those of earlier ones, and returns their number."""
        counts = Counter[str](json.loads(self._counts.read_text()) if self._counts.exists() else {})
        counts[name] += inputs
        self._counts.write_text(json.dumps(dict(sorted(counts.items())), indent=1))
        return counts[name]


def _memory_mb() -> int:
    """Returns the limit for a harness's peak. Linux counts it from the peak of the process that starts it."""
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return max(MEMORY_MB, peak_mb + 512)
