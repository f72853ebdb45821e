"""Programs out of Debian's packages: those that are installed, or unpacked into the cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("TALKSPURT_CACHE") or Path(__file__).parents[2] / ".cache")


def installed(program: str, package: str) -> str:
    """The path of a program of this machine. Skips the test where it is not installed."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return path or pytest.skip(f"no {program} here: apt-get install {package}")


def unpacked(program: str, packages: Sequence[str]) -> Path:
    """The folder that holds `usr/bin/program` and what else the packages have. Skips the test where there is none."""
    folder = CACHE / program
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test processes one fetches
        if not (folder / "usr/bin" / program).exists():
            try:
                _unpack(folder, packages)
            except (OSError, subprocess.SubprocessError) as error:
                reason = f"Debian's {program} cannot be had: {error}"
                pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return folder


def _unpack(folder: Path, packages: Sequence[str]) -> None:
    download = ["apt-get", "download", *packages]
    quiet = {"cwd": folder, "check": True, "capture_output": True, "timeout": 120}
    try:
        subprocess.run(download, **quiet)
    except subprocess.CalledProcessError:  # a fresh machine has no package lists yet
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(download, **quiet)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, capture_output=True)
        package.unlink()
