"""A call on its way to its recording, on the whole application."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk
from tests.support.whole_app import whole_app


async def test_a_recording_and_its_transcript(tmp_path: Path) -> None:
    async with whole_app(greeting="Hello.", record_dir=tmp_path) as bench:
        peer = await bench.call()
        for _ in range(20):
            await peer.hear(voiced=True)
        gone = asyncio.Event()
        bench.app.calls.find(peer.id).end_listeners.append(lambda reason: gone.set())
        await peer.close()
        await gone.wait()
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
        call = bench.app.calls.find(peer.id)
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
        while (call := bench.app.calls.find(peer.id)) is None:
            await peer.receive()
        sent: asyncio.Queue[int] = asyncio.Queue()
        call.frame_listeners.append(lambda pcm, rate_hz: sent.put_nowait(rate_hz))
        assert await sent.get() == 8_000, "before the call's rate is known"
        peer.send(Kind.SLIN16, tone.tobytes())
        await peer.hear(voiced=True)
        await peer.close()
    with wave.open(str(tmp_path / f"{peer.id}.wav")) as wav:
        assert wav.getframerate() == 16_000
        caller = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)[::2]
    assert tone.tobytes() in caller.tobytes(), "sample for sample"
