"""Records a call: a stereo WAV (caller left, agent right) and a JSON transcript, written off the event loop."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import structlog

from bridge.conversation.recording_writer import (
    MAX_WAITING_BYTES,
    RecordingWriter,
    check_free_space,
    create,
    create_pair,
)
from bridge.hearing.gap_filler import GapFiller
from bridge.line.call import Call, CallObserver
from engine.audio import RateConverter

log = structlog.get_logger(__name__)

WRITE_S: Final = 2
"""How much audio is gathered before it is written."""
MAX_AHEAD_S: Final = 10
"""How far one side may be ahead of the other; beyond that the other is written as silence."""


class _Side:
    """The audio of one side that has not been written yet."""

    def __init__(self, rate_hz: int) -> None:
        self.audio = bytearray()
        self._converter = RateConverter(rate_hz)
        self._owed_bytes = 0
        """How much silence was written in place of audio that had not come; the audio is left out when it comes."""

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Adds audio of any rate."""
        audio = self._converter.push(pcm, rate_hz).tobytes()
        late = min(self._owed_bytes, len(audio))
        self._owed_bytes -= late
        self.audio += audio[late:]

    def flush(self) -> None:
        """Adds what the conversion of the rate still holds."""
        self.audio += self._converter.flush().tobytes()

    def take(self, length: int) -> bytes:
        """Removes and returns so many bytes, with silence for those that have not come."""
        taken = bytes(self.audio[:length])
        del self.audio[:length]
        self._owed_bytes += length - len(taken)
        return taken.ljust(length, b"\0")


class CallRecording:
    """The recording of one call. Both sides begin at the answer; at the end the shorter is padded with silence."""

    def __init__(self, folder: Path, call_id: str, writer: RecordingWriter) -> None:
        self.wav_path = folder / f"{call_id}.wav"
        """Where it is written; another name if there was a recording of that name already."""
        self._call_id = call_id
        self._writer = writer
        self._rate_hz = 0
        self._sides: dict[str, _Side] = {}
        self._dropped_bytes = 0
        self._file: BinaryIO | None = None
        self._wav: wave.Wave_write | None = None
        self._failed = False

    @property
    def json_path(self) -> Path:
        """Where the transcript is written."""
        return self.wav_path.with_suffix(".json")

    def caller(self, pcm: bytes, rate_hz: int) -> None:
        """Adds the caller's audio, whose gaps have been filled."""
        self._push("caller", pcm, rate_hz)

    def agent(self, pcm: bytes, rate_hz: int) -> None:
        """Adds the agent's audio as it left for the wire."""
        self._push("agent", pcm, rate_hz)

    def close(self, transcript: dict[str, Any]) -> None:
        """Writes the rest of the audio, and the transcript."""
        for side in self._sides.values():
            side.flush()
        self._write(max((len(side.audio) for side in self._sides.values()), default=0))
        if self._dropped_bytes:
            transcript = {**transcript, "audio_dropped_ms": self._dropped_bytes * 500 // self._rate_hz}
            log.error("recording incomplete", call=self._call_id, dropped_ms=transcript["audio_dropped_ms"])
        size_bytes = sum(len(entry["text"]) for entry in transcript.get("transcript", ()))
        if not self._writer.submit(size_bytes, partial(self._finish, transcript), MAX_WAITING_BYTES):
            log.error("transcript dropped: the disk does not keep up", call=self._call_id)

    def _push(self, name: str, pcm: bytes, rate_hz: int) -> None:
        if not self._sides:
            self._rate_hz = rate_hz
            self._sides = {side: _Side(rate_hz) for side in ("caller", "agent")}
        self._sides[name].push(pcm, rate_hz)
        least, most = sorted(len(side.audio) for side in self._sides.values())
        if most >= MAX_AHEAD_S * self._rate_hz * 2:
            self._write(most)
        elif least >= WRITE_S * self._rate_hz * 2:
            self._write(least)

    def _write(self, length: int) -> None:
        sides = [self._sides[name].take(length) if self._sides else b"" for name in ("caller", "agent")]
        if not self._writer.submit(2 * length, partial(self._append, *sides)):
            if not self._dropped_bytes:
                log.error("the disk does not keep up: audio of recordings is dropped", call=self._call_id)
            self._dropped_bytes += length

    def _append(self, caller: bytes, agent: bytes) -> None:
        """Appends to the WAV file. Runs in the writer's thread."""
        if self._failed:
            return
        try:
            if self._wav is None:
                self._file, self.wav_path = create_pair(self.wav_path.parent, self._call_id)
                self._wav = wave.open(self._file, "wb")  # noqa: SIM115  closed by _finish
                self._wav.setnchannels(2)
                self._wav.setsampwidth(2)
                self._wav.setframerate(self._rate_hz or 8_000)
            check_free_space(self.wav_path.parent)
            stereo = np.column_stack((np.frombuffer(caller, np.int16), np.frombuffer(agent, np.int16)))
            self._wav.writeframesraw(stereo.tobytes())
        except OSError as error:
            self._failed = True
            log.error("recording failed", path=str(self.wav_path), error=str(error))

    def _finish(self, transcript: dict[str, Any]) -> None:
        """Closes the WAV file and writes the transcript. Runs in the writer's thread."""
        text = json.dumps(transcript, ensure_ascii=False, indent=2) + "\n"
        data = text.encode(errors="replace")  # before the file is made: a lone surrogate must not leave it empty
        try:
            if self._wav is not None and self._file is not None:
                with self._file:
                    self._wav.close()
        except OSError as error:
            log.error("recording failed", path=str(self.wav_path), error=str(error))
        try:
            with create(self.json_path) as file:
                file.write(data)
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
