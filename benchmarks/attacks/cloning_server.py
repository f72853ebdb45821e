"""`serve` with an embedded voice that takes every recording for its own.

Uploads go the way that they go with Qwen3-TTS, up to its worker, and what they cost is not hidden by what a large model
takes of a small machine.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from dataclasses import replace

import bridge.app
from bridge.__main__ import main
from engine.hibari.engine import HibariEngine
from engine.speech import Pcm, Style, VoiceReference


class CloningVoice(HibariEngine):
    """Says that it can clone."""

    can_clone = True

    async def prepare_clone(self, reference: VoiceReference) -> None:
        """Needs nothing."""

    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        return super().stream(sentence, replace(style, reference=None, voice=""))


if __name__ == "__main__":
    bridge.app.create_engine = lambda *_: CloningVoice()  # type: ignore[assignment]
    sys.exit(main())
