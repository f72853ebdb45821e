"""Recordings hold both sides in step and whole, with a transcript; the last tests run a whole application."""

from __future__ import annotations

import asyncio
import json
import threading
import wave
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from bridge.conversation.recording import MAX_AHEAD_S, CallRecording
from bridge.conversation.recording_retention import _is_being_written
from bridge.conversation.recording_writer import MAX_AUDIO_BYTES, RecordingWriter
from bridge.line.audiosocket import Kind
from bridge.line.call import CallObserver
from bridge.review.recorded_call import read_stereo
from engine.audio import resample
from tests.support.fakes import Asterisk
from tests.support.whole_app import whole_app


def frame(value: int, samples: int = 160) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def test_stereo_in_step_and_the_shorter_side_made_up(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path / "calls", "c1", writer)
    for index in range(250):
        recording.agent(frame(index), 8_000)
        if index < 200:
            recording.caller(frame(1000 + index), 8_000)
    recording.close({"id": "c1", "transcript": [{"who": "agent", "text": "Grüß Gott"}]})
    writer.close()
    with wave.open(str(recording.wav_path)) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getnframes()) == (2, 8_000, 250 * 160)
        stereo = np.frombuffer(wav.readframes(250 * 160), np.int16).reshape(-1, 2)[::160]
    assert stereo[:, 1].tolist() == list(range(250))
    assert stereo[:, 0].tolist() == [1000 + i for i in range(200)] + [0] * 50
    assert json.loads(recording.json_path.read_text())["transcript"][0]["text"] == "Grüß Gott"


def test_a_recording_whose_server_was_killed_can_be_read_to_its_end(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c1", writer)
    for _ in range(500):
        recording.caller(frame(1), 8_000)
        recording.agent(frame(2), 8_000)
    writer.close()  # what was handed to it is written, and the recording is not closed
    sound, rate_hz = read_stereo(recording.wav_path)
    assert len(sound) / rate_hz == pytest.approx(10, abs=0.5)
    assert np.all(sound == (1, 2))


def test_a_side_at_another_rate_is_brought_to_the_first_ones(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c2", writer)
    recording.caller(frame(5), 8_000)
    recording.agent(frame(7, 320), 16_000)
    recording.close({})
    writer.close()
    with wave.open(str(recording.wav_path)) as wav:
        assert (wav.getframerate(), wav.getnframes()) == (8_000, 160)


def test_a_side_at_another_rate_has_no_seams(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c4", writer)
    tone = np.round(8_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    recording.caller(frame(0), 8_000)
    for start in range(0, 16_000, 320):
        recording.agent(tone[start : start + 320].tobytes(), 16_000)
    recording.close({})
    writer.close()
    with wave.open(str(recording.wav_path)) as wav:
        agent = np.frombuffer(wav.readframes(8_000), np.int16)[1::2]
    assert np.array_equal(agent, resample(tone, 16_000, 8_000))


def test_a_full_disk_loses_the_recording_and_nothing_else(tmp_path: Path) -> None:
    writer = RecordingWriter()
    blocked = tmp_path / "file"
    blocked.write_text("")
    recording = CallRecording(blocked, "c3", writer)
    for _ in range(200):
        recording.agent(frame(1), 8_000)
        recording.caller(frame(1), 8_000)
    recording.close({})
    writer.close()
    assert not recording.wav_path.exists()


def test_a_recording_is_its_owners_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    folder, writer = tmp_path / "calls", RecordingWriter()
    recordings = [CallRecording(folder, "c5", writer) for _ in range(3)]
    for value, recording in enumerate(recordings):
        recording.caller(frame(value), 8_000)
        recording.close({"value": value})
    writer.close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == [
        "c5-2.json", "c5-2.wav", "c5-3.json", "c5-3.wav", "c5.json", "c5.wav"
    ]  # fmt: skip
    for value, recording in enumerate(recordings):
        assert json.loads(recording.json_path.read_text())["value"] == value
        with wave.open(str(recording.wav_path)) as wav:
            assert np.frombuffer(wav.readframes(1), np.int16)[0] == value
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_without_sound_the_journal_alone_is_written_line_by_line_and_kept_from_removal(tmp_path: Path) -> None:
    call_id = str(uuid4())
    for count in (1, 2):
        writer = RecordingWriter()
        recording = CallRecording(tmp_path, call_id, writer, keeps_sound=False)
        path = tmp_path / (f"{call_id}.jsonl" if count == 1 else f"{call_id}-2.jsonl")
        for number in (1, 2):
            written = threading.Event()
            recording.line(f'{{"number": {number}}}')
            writer.submit(0, written.set)
            assert written.wait(10)
            assert path.read_text().splitlines()[-1] == f'{{"number": {number}}}'
            assert _is_being_written(path)
        recording.close({"transcript": []})
        recording.line('{"number": 3}')  # a transfer goes on when the call has ended
        writer.close()
        assert not _is_being_written(path)
        assert len(path.read_text().splitlines()) == 3
        assert recording.journal_path == path
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl"}


def test_a_transcript_that_is_no_utf_8_is_written_all_the_same(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c6", writer)
    recording.close({"id": "c6", "transcript": [{"who": "user", "text": "one \ud800 two"}]})
    writer.close()
    assert json.loads(recording.json_path.read_text())["transcript"][0]["text"] == "one ? two"


def test_a_disk_that_does_not_keep_up_loses_audio_and_no_memory_is_filled(tmp_path: Path) -> None:
    writer, stuck = RecordingWriter(), threading.Event()
    recording = CallRecording(tmp_path, "c7", writer)
    writer.submit(0, lambda: bool(stuck.wait()))
    seconds, frame_s = 3 * MAX_AUDIO_BYTES // 64_000, 10
    with capture_logs() as lines:
        for _ in range(seconds // frame_s):
            recording.agent(frame(1, frame_s * 16_000), 16_000)
            recording.caller(frame(2, frame_s * 16_000), 16_000)
            assert writer._waiting_bytes <= MAX_AUDIO_BYTES
        recording.close({"id": "c7", "transcript": []})
    stuck.set()
    writer.close()
    kept_s = recording.wav_path.stat().st_size // 64_000
    dropped_ms = json.loads(recording.json_path.read_text())["audio_dropped_ms"]
    assert MAX_AUDIO_BYTES * 0.9 < kept_s * 64_000 <= MAX_AUDIO_BYTES
    assert kept_s + dropped_ms // 1_000 == seconds // frame_s * frame_s
    assert [line["event"] for line in lines] == [
        "the disk does not keep up: audio of recordings is dropped", "recording incomplete"
    ]  # fmt: skip


def test_a_side_that_does_not_come_is_silence_and_what_comes_late_stays_in_step(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c8", writer)
    for second in range(30):
        recording.caller(frame(second, 8_000), 8_000)
        assert len(recording._sides["caller"].audio) <= MAX_AHEAD_S * 16_000
    for second in range(31):
        recording.agent(frame(second, 8_000), 8_000)
    recording.close({})
    writer.close()
    with wave.open(str(recording.wav_path)) as wav:
        stereo = np.frombuffer(wav.readframes(31 * 8_000), np.int16).reshape(-1, 2)[::8_000]
    assert stereo[:, 0].tolist() == [*range(30), 0]
    assert stereo[:, 1].tolist() == [0] * 30 + [30]


class SentRates(CallObserver):
    """The rate of each frame that a call sends."""

    def __init__(self) -> None:
        self.rates_hz: asyncio.Queue[int] = asyncio.Queue()

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        self.rates_hz.put_nowait(rate_hz)


async def test_a_recording_and_its_transcript(tmp_path: Path) -> None:
    async with whole_app(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await bench.call()
        for _ in range(20):
            await peer.hear(voiced=True)
        await bench.ended(peer)
    transcript = json.loads((tmp_path / f"{peer.id}.json").read_text())
    assert transcript["end_reason"] == "caller hung up"
    assert (tmp_path / f"{peer.id}.wav").stat().st_size > 20 * 640


async def test_audio_of_any_length_and_rate_is_recorded(tmp_path: Path) -> None:
    async with whole_app(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await bench.call()
        for kind, length in (
            (Kind.SLIN8, 161),
            (Kind.SLIN16, 321),
            (Kind.SLIN16, 1),
            (Kind.SLIN16, 0),
            (Kind.SLIN8, 7),
        ):
            peer.send(kind, bytes(length))
        peer.send(Kind.DTMF, b"5")
        call = bench.call_of(peer)
        while not call.dtmf:
            await peer.receive()
        assert call.ended_at is None
        await peer.close()


async def test_a_16_khz_call_is_recorded_at_16_khz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.line.call.RATE_WAIT_S", 60.0)  # however busy the machine
    monkeypatch.setattr("bridge.hearing.listening.BEAT_S", 60.0)
    tone = np.round(8_000 * np.sin(2 * np.pi * 6_000 * np.arange(16_000) / 16_000)).astype(np.int16)
    async with whole_app(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await Asterisk.connect(bench.app.audiosocket_port, uuid4())
        while bench.app.calls.find(peer.id) is None:
            await peer.receive()
        sent = SentRates()
        bench.call_of(peer).observe(sent)
        assert await sent.rates_hz.get() == 8_000, "before the call's rate is known"
        peer.send(Kind.SLIN16, tone.tobytes())
        await peer.hear(voiced=True)
        await peer.close()
    with wave.open(str(tmp_path / f"{peer.id}.wav")) as wav:
        assert wav.getframerate() == 16_000
        caller = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)[::2]
    assert tone.tobytes() in caller.tobytes(), "sample for sample"
