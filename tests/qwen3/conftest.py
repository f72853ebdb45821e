"""The Qwen3-TTS tests run upstream's `qwen-tts` as the reference, on a CPU torch, over a tiny checkpoint made here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install talkspurt[qwen3-test]")

try:
    import torchaudio  # noqa: F401
except (ImportError, OSError):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.path.append(str(Path(__file__).parent / "stand_ins"))

pytest.importorskip("qwen_tts", reason="qwen-tts is not installed: pip install --no-deps qwen-tts==0.1.1")
