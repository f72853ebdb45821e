"""Records a call off the event loop: a stereo WAV (caller left, agent right), its transcript and its journal."""

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
    append_to,
    check_free_space,
    create,
    create_first,
)
from bridge.hearing.gap_filler import GapFiller
from bridge.line.call import Call, CallObserver
from engine.audio import RateConverter

log = structlog.get_logger(__name__)

WRITE_S: Final = 2
"""How much audio is gathered before it is written."""
MAX_AHEAD_S: Final = 10
"""How far one side may be ahead of the other; beyond that the other is written as silence."""

MAX_WAV_FRAMES: Final = (2**32 - 1 - 36) // 4
"""How long the header says that the sound is until it is closed: one of a killed server is read to its end."""


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

    def __init__(self, folder: Path, call_id: str, writer: RecordingWriter, *, keeps_sound: bool = True) -> None:
        """Without `keeps_sound` the journal alone is written, line by line."""
        self.keeps_sound = keeps_sound
        self.wav_path = folder / f"{call_id}.wav"
        """Where it is written; another name if there was a recording of that name already."""
        self._call_id = call_id
        self._writer = writer
        self._rate_hz = 0
        self._sides: dict[str, _Side] = {}
        self._lines: list[str] = []
        """The journal's lines that have not been handed to the writer."""
        self._closed = False
        self._dropped_bytes = 0
        self._file: BinaryIO | None = None
        self._wav: wave.Wave_write | None = None
        self._failed = self._journal_failed = self._journal_begun = False

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

    @property
    def journal_path(self) -> Path:
        """Where the journal is written."""
        return self.wav_path.with_suffix(".jsonl")

    def line(self, line: str) -> None:
        """Adds a line of the call's journal; after `close` too, for a transfer may go on when the call has ended."""
        self._lines.append(line)
        if self._closed or not self.keeps_sound:
            self._write_lines()

    def close(self, transcript: dict[str, Any]) -> None:
        """Writes the rest of the audio, the transcript and the journal."""
        for side in self._sides.values():
            side.flush()
        if self.keeps_sound:
            self._write(max((len(side.audio) for side in self._sides.values()), default=0))
        if self._dropped_bytes:
            transcript = {**transcript, "audio_dropped_ms": self._dropped_bytes * 500 // self._rate_hz}
            log.error("recording incomplete", call=self._call_id, dropped_ms=transcript["audio_dropped_ms"])
        size_bytes = sum(len(entry["text"]) for entry in transcript.get("transcript", ()))
        if not self._writer.submit(size_bytes, partial(self._finish, transcript), MAX_WAITING_BYTES):
            log.error("transcript dropped: the disk does not keep up", call=self._call_id)
        self._write_lines()
        if self._lines:
            log.error("journal incomplete: the disk does not keep up", call=self._call_id)
        self._closed = True

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
        else:
            self._write_lines()

    def _write_lines(self) -> None:
        """Has the journal's lines written, which are kept for the next time where the disk does not keep up."""
        lines = "".join(f"{line}\n" for line in self._lines).encode()
        if lines and self._writer.submit(len(lines), partial(self._append_lines, lines), MAX_WAITING_BYTES):
            self._lines.clear()

    def _append_lines(self, lines: bytes) -> None:
        """Appends to the journal. Runs in the writer's thread, where the WAV file was made before, if there is one."""
        if self._journal_failed:
            return
        try:
            if not self.keeps_sound and not self._journal_begun:
                self._file, path = create_first(self.wav_path.parent, self._call_id, ".jsonl")
                self.wav_path, self._journal_begun = path.with_suffix(".wav"), True
            with (append_to if self._journal_begun else create)(self.journal_path) as file:
                self._journal_begun = True
                file.write(lines)
        except OSError as error:
            self._journal_failed = True
            log.error("journal not written", path=str(self.journal_path), error=str(error))

    def _append(self, caller: bytes, agent: bytes) -> None:
        """Appends to the WAV file. Runs in the writer's thread."""
        if self._failed:
            return
        try:
            if self._wav is None:
                self._file, self.wav_path = create_first(self.wav_path.parent, self._call_id, ".wav")
                self._wav = wave.open(self._file, "wb")  # noqa: SIM115  closed by _finish
                self._wav.setnchannels(2)
                self._wav.setsampwidth(2)
                self._wav.setframerate(self._rate_hz or 8_000)
                self._wav.setnframes(MAX_WAV_FRAMES)
            check_free_space(self.wav_path.parent)
            stereo = np.column_stack((np.frombuffer(caller, np.int16), np.frombuffer(agent, np.int16)))
            self._wav.writeframesraw(stereo.tobytes())
        except OSError as error:
            self._failed = True
            log.error("recording failed", path=str(self.wav_path), error=str(error))

    def _finish(self, transcript: dict[str, Any]) -> None:
        """Closes the file that was made first and writes the transcript. Runs in the writer's thread."""
        text = json.dumps(transcript, ensure_ascii=False, indent=2) + "\n"
        data = text.encode(errors="replace")  # before the file is made: a lone surrogate must not leave it empty
        try:
            if self._file is not None:
                with self._file:
                    if self._wav is not None:
                        self._wav.close()
        except OSError as error:
            log.error("recording failed", path=str(self.wav_path), error=str(error))
        if not self.keeps_sound:
            return
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
