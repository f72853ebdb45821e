"""Records a call: a stereo WAV (caller left, agent right) and a JSON transcript, written off the event loop."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from bridge.hearing.gap_filler import GapFiller
from bridge.line.call import Call, CallObserver
from engine.audio import RateConverter

log = structlog.get_logger(__name__)

WRITE_S: Final = 2
"""How much audio is gathered before it is written."""


class CallRecording:
    """The recording of one call. Both sides begin at the answer; at the end the shorter is padded with silence."""

    def __init__(self, folder: Path, call_id: str, writer: ThreadPoolExecutor) -> None:
        self.wav_path = folder / f"{call_id}.wav"
        self.json_path = folder / f"{call_id}.json"
        self._writer = writer
        self._rate_hz = 0
        self._converters: dict[str, RateConverter] = {}
        self._caller = bytearray()
        self._agent = bytearray()
        self._file: wave.Wave_write | None = None
        self._failed = False

    def caller(self, pcm: bytes, rate_hz: int) -> None:
        """Adds the caller's audio, whose gaps have been filled."""
        self._caller += self._at_our_rate("caller", pcm, rate_hz)
        self._write_some()

    def agent(self, pcm: bytes, rate_hz: int) -> None:
        """Adds the agent's audio as it left for the wire."""
        self._agent += self._at_our_rate("agent", pcm, rate_hz)

    def close(self, transcript: dict[str, Any]) -> None:
        """Writes the rest of the audio, and the transcript."""
        for side, audio in (("caller", self._caller), ("agent", self._agent)):
            if side in self._converters:
                audio += self._converters[side].flush().tobytes()
        length = max(len(self._caller), len(self._agent))
        self._submit(length)
        self._writer.submit(self._finish, transcript)

    def _at_our_rate(self, side: str, pcm: bytes, rate_hz: int) -> bytes:
        self._rate_hz = self._rate_hz or rate_hz
        converter = self._converters.setdefault(side, RateConverter(self._rate_hz))
        return converter.push(pcm, rate_hz).tobytes()

    def _write_some(self) -> None:
        both = min(len(self._caller), len(self._agent))
        if both >= WRITE_S * self._rate_hz * 2:
            self._submit(both)

    def _submit(self, length: int) -> None:
        caller = bytes(self._caller[:length]).ljust(length, b"\0")
        agent = bytes(self._agent[:length]).ljust(length, b"\0")
        del self._caller[:length], self._agent[:length]
        self._writer.submit(self._append, caller, agent)

    def _append(self, caller: bytes, agent: bytes) -> None:
        """Appends to the WAV file. Runs in the writer's thread."""
        if self._failed:
            return
        try:
            if self._file is None:
                self.wav_path.parent.mkdir(parents=True, exist_ok=True)
                self._file = wave.open(str(self.wav_path), "wb")  # noqa: SIM115  closed by _finish
                self._file.setnchannels(2)
                self._file.setsampwidth(2)
                self._file.setframerate(self._rate_hz or 8_000)
            stereo = np.column_stack((np.frombuffer(caller, np.int16), np.frombuffer(agent, np.int16)))
            self._file.writeframesraw(stereo.tobytes())
        except OSError as error:
            self._failed = True
            log.error("recording failed", path=str(self.wav_path), error=str(error))

    def _finish(self, transcript: dict[str, Any]) -> None:
        try:
            if self._file is not None:
                self._file.close()
            self.json_path.parent.mkdir(parents=True, exist_ok=True)
            self.json_path.write_text(json.dumps(transcript, ensure_ascii=False, indent=2) + "\n")
        except OSError as error:
            log.error("transcript not written", path=str(self.json_path), error=str(error))


class SentAudio(CallObserver):
    """Hands what a call sends to its recording, in step with the caller's audio."""

    def __init__(self, call: Call, recording: CallRecording, now_s: Callable[[], float]) -> None:
        self._call = call
        self._recording = recording
        self._now_s = now_s
        self._gaps = GapFiller(now_s())
        self._early_frames = 0

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        if not self._call.rate_known.is_set():
            self._early_frames += 1  # silence, which must not set the recording's rate
            return
        pcm, self._early_frames = bytes(self._early_frames * len(pcm)) + pcm, 0
        self._recording.agent(self._gaps.push(pcm, rate_hz, self._now_s()), self._gaps.rate_hz)
