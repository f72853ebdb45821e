"""Holds a running server against its own OpenAPI document: schemathesis, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.support.draws import SEED

ROOT = Path(__file__).parents[2]


async def schemathesis(url: str, config: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Returns exit status and output of a run over `url`'s document."""
    if seed := os.environ.get(SEED):
        arguments = (*arguments, "--seed", seed)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}/openapi.json"),
        *("--no-color", "--url", url, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
