"""Client libraries that do not go into the tests' own environment: each runs in one that is made once, in the cache."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.debian_package import CACHE

HERE = Path(__file__).parent
INSTALL_S = 200


def interpreter(library: str) -> Path:
    """The Python of an environment with what `library`.txt lists, each file by its hash.

    The first time downloads the library. Skips the test where that fails.
    """
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if uv is None:
        pytest.skip("no uv here: pip install uv")
    requirements = HERE / f"{library}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = CACHE / "clients" / library
    folder.mkdir(parents=True, exist_ok=True)
    python, stamp = folder / "venv/bin/python", folder / "installed"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test processes one installs
        if not (stamp.exists() and stamp.read_text() == wanted):
            install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", python]
            try:
                for command in ([uv, "venv", "--quiet", "--clear", folder / "venv"], [*install, "-r", requirements]):
                    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", b"") or b""
                reason = f"{library} cannot be had: {error} {said.decode()[-500:]}"
                pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
            stamp.write_text(wanted)
    return python


async def speak(library: str, base_url: str, model: str, text: str, path: Path) -> None:
    """Has a library speak a text into the file at `path`, which is to be WAV."""
    python = await asyncio.to_thread(interpreter, library)
    process = await asyncio.create_subprocess_exec(
        *(python, HERE / f"{library}_speech.py", base_url, model, text, path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()[-3000:]
