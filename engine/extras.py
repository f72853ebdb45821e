"""How to install an extra of this package."""

from __future__ import annotations

from pathlib import Path


def install(extras: str) -> str:
    """Returns the command that installs `extras`, "gpu" or "demo,languages", beside what runs now.

    Nothing is published in an index: where this is a checkout, the command names its folder.
    """
    folder = Path(__file__).parents[1]
    source = folder if (folder / "pyproject.toml").is_file() else "talkspurt"
    return f"pip install '{source}[{extras}]'"
