"""A call's recording: both sides in step, whole, and with its transcript."""

from __future__ import annotations

import json
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bridge.conversation.recording import CallRecording
from engine.audio import resample


def frame(value: int, samples: int = 160) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def test_stereo_in_step_and_the_shorter_side_made_up(tmp_path: Path) -> None:
    writer = ThreadPoolExecutor(1)
    recording = CallRecording(tmp_path / "calls", "c1", writer)
    for index in range(250):
        recording.agent(frame(index), 8_000)
        if index < 200:
            recording.caller(frame(1000 + index), 8_000)
    recording.close({"id": "c1", "transcript": [{"who": "agent", "text": "Grüß Gott"}]})
    writer.shutdown()
    with wave.open(str(recording.wav_path)) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getnframes()) == (2, 8_000, 250 * 160)
        stereo = np.frombuffer(wav.readframes(250 * 160), np.int16).reshape(-1, 2)[::160]
    assert stereo[:, 1].tolist() == list(range(250))
    assert stereo[:, 0].tolist() == [1000 + i for i in range(200)] + [0] * 50
    assert json.loads(recording.json_path.read_text())["transcript"][0]["text"] == "Grüß Gott"


def test_a_side_at_another_rate_is_brought_to_the_first_ones(tmp_path: Path) -> None:
    writer = ThreadPoolExecutor(1)
    recording = CallRecording(tmp_path, "c2", writer)
    recording.caller(frame(5), 8_000)
    recording.agent(frame(7, 320), 16_000)
    recording.close({})
    writer.shutdown()
    with wave.open(str(recording.wav_path)) as wav:
        assert (wav.getframerate(), wav.getnframes()) == (8_000, 160)


def test_a_side_at_another_rate_has_no_seams(tmp_path: Path) -> None:
    writer = ThreadPoolExecutor(1)
    recording = CallRecording(tmp_path, "c4", writer)
    tone = np.round(8_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    recording.caller(frame(0), 8_000)
    for start in range(0, 16_000, 320):
        recording.agent(tone[start : start + 320].tobytes(), 16_000)
    recording.close({})
    writer.shutdown()
    with wave.open(str(recording.wav_path)) as wav:
        agent = np.frombuffer(wav.readframes(8_000), np.int16)[1::2]
    assert np.array_equal(agent, resample(tone, 16_000, 8_000))


def test_a_full_disk_loses_the_recording_and_nothing_else(tmp_path: Path) -> None:
    writer = ThreadPoolExecutor(1)
    blocked = tmp_path / "file"
    blocked.write_text("")
    recording = CallRecording(blocked, "c3", writer)
    for _ in range(200):
        recording.agent(frame(1), 8_000)
        recording.caller(frame(1), 8_000)
    recording.close({})
    writer.shutdown()
    assert not recording.wav_path.exists()
