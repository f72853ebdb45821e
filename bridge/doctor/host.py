"""Looks at the machine that this process runs on: its clock, and the disk that recordings go to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bridge.doctor.finding import Finding, advice, ok, wrong

MIN_FREE_BYTES: Final = 2 * 2**30
"""Some 17 hours of one call's recording, two channels of 16 bits at 8 kHz."""


def check_clock() -> list[Finding]:
    """Tells whether the clock is kept by a time server: web-hooks, logs and call records are compared by the time."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return []  # a container, most likely: its host keeps the clock
    if done.returncode or done.stdout.strip() not in ("yes", "no"):
        return []
    if done.stdout.strip() == "yes":
        return [ok("the clock is synchronised")]
    return [advice("the clock is not synchronised", "timedatectl set-ntp true")]


def check_disk(folder: Path | None) -> list[Finding]:
    """Tells whether there is room for recordings."""
    if folder is None:
        return []
    existing = next((place for place in (folder, *folder.parents) if place.is_dir()), None)
    if existing is None:
        return [wrong(f"RECORD_DIR={folder} is not there", f"install -d -o talkspurt -m 700 {folder}")]
    free = shutil.disk_usage(existing).free
    fact = f"RECORD_DIR={folder} has {free / 2**30:.1f} GiB free"
    return [ok(fact)] if free >= MIN_FREE_BYTES else [wrong(fact, "delete old recordings, or let the server do it")]
