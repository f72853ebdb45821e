"""What a benchmark ran on: facts for its head, and how busy processes were meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def facts() -> list[tuple[str, str]]:
    """Returns machine, versions, date, command and commit, as rows of a table."""
    cores = len(os.sched_getaffinity(0))
    memory_gib = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES / 2**30
    load = os.getloadavg()[0]
    return [
        ("processor", f"{_processor()}, {cores} cores, {memory_gib:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("load before", f"{load:.2f} (1 minute)"),
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", _commit()),
        ("command", " ".join([f"python -m benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])),
    ]


def gpu_facts() -> list[tuple[str, str]]:
    """Returns `facts` with the GPU and the version of torch."""
    import torch  # most benchmarks run where there is none

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return [*facts(), ("GPU", card), ("torch", torch.__version__)]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with uncommitted changes" if changed else "")


def memory_bytes(pid: int) -> int:
    """Returns the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time used up to a moment, in seconds."""

    at_s: float
    machine_s: float
    """The time used by everything that runs on the machine."""
    process_s: float
    own_s: float

    @classmethod
    def now(cls, pid: int) -> Self:
        """Returns what the machine, process `pid` and this one have used until now."""
        user, nice, system, _, _, irq, softirq, steal = map(int, _first_line("/proc/stat").split()[1:9])
        return cls(
            float(_first_line("/proc/uptime").split()[0]),
            (user + nice + system + irq + softirq + steal) / _TICKS_PER_S,
            _process_s(str(pid)),
            _process_s("self"),
        )

    def share_since(self, before: Usage) -> tuple[float, float, float]:
        """Returns shares of one core since `before`: the process's, this one's, and all others' together."""
        wall_s = self.at_s - before.at_s
        process = (self.process_s - before.process_s) / wall_s
        own = (self.own_s - before.own_s) / wall_s
        return process, own, max(0.0, (self.machine_s - before.machine_s) / wall_s - process - own)


def _first_line(path: str) -> str:
    return Path(path).read_text().partition("\n")[0]


def _process_s(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
