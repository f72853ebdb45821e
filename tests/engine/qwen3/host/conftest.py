"""Engines whose model process is replaced by one without a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.settings import QwenSettings
from engine.settings import VoiceSettings
from tests.engine.qwen3.host.asking import FAKE, REQUEST_TIMEOUT_S
from tests.engine.qwen3.host.test_voices import write_wav


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts engines, a Base one with a recording of one voice, and closes them all."""
    engines: list[Qwen3Engine] = []
    voices = tmp_path / "recorded"
    voices.mkdir()
    write_wav(voices / "ryan.wav")

    async def start(*modes: str, start: bool = True, hang_timeout_s: float = 30.0, **settings: Any) -> Qwen3Engine:
        kind = next((mode for mode in modes if mode in ("base", "voice_design")), "CustomVoice")
        options = {"model_id": f"some/{kind}", "device": "cpu", "max_batch": 2, "voices_dir": voices}
        options |= {"prime_languages": "", "request_timeout": REQUEST_TIMEOUT_S, **settings}
        engine = Qwen3Engine(
            QwenSettings.model_validate(options),
            VoiceSettings.model_validate(options),
            options["request_timeout"],
            hang_timeout_s=hang_timeout_s,
            rebuild_delays_s=(0.0, 0.02),
            command=("-P", FAKE, *modes),
        )
        engines.append(engine)
        if start:
            await engine.start()
        return engine

    yield start
    for engine in engines:
        await engine.close()
        await engine.close()  # once more does no harm
