"""Where the engine keeps what the next start need not find out again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns $XDG_CACHE_HOME/talkspurt, by default ~/.cache/talkspurt."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "talkspurt"
