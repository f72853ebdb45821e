"""Both sides of a call on their way to its recording, in step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.conversation.recording import CallRecording
from bridge.hearing.gap_filler import GapFiller
from bridge.hearing.listening import Listening
from bridge.line.call import Call


class Tap:
    """Of one call, from its answer to its end."""

    def __init__(self, call: Call, recording: CallRecording, now_s: Callable[[], float]) -> None:
        self._call = call
        self._recording = recording
        self._now_s = now_s
        self._sent = GapFiller(now_s())
        self._early_frames = 0

    def start(self, listening: Listening) -> None:
        """Record what `listening` hears of the caller, and every frame of the agent's as it leaves."""
        listening.audio_listeners.append(self._recording.caller)
        self._call.frame_listeners.append(self._frame)

    def close(self, transcript: dict[str, Any]) -> None:
        """The call is over."""
        self._recording.close(transcript)

    def _frame(self, pcm: bytes, rate_hz: int) -> None:
        if not self._call.rate_known.is_set():
            self._early_frames += 1  # silence, which must not set the recording's rate
            return
        pcm, self._early_frames = bytes(self._early_frames * len(pcm)) + pcm, 0
        self._recording.agent(self._sent.push(pcm, rate_hz, self._now_s()), self._sent.rate_hz)
