"""The whole engine once, nothing replaced: its process, upstream's loading code, a cloned voice, PCM out."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from safetensors.torch import load_file, save_file

from engine.api import add_speech_routes
from engine.child import pack, read
from engine.fallback import FallbackEngine
from engine.pipeline import speak
from engine.qwen3.host.engine import Qwen3Engine
from engine.qwen3.messages import NotReady
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker import main as serve
from engine.settings import SpeechSettings, VoiceSettings
from engine.speech import Priority, SpeechError, Style, VoiceReference
from engine.text import SENTENCE_PAUSE_MS
from engine.word_times import WordTimes
from tests.engine.qwen3.host.test_voices import write_wav
from tests.engine.qwen3.model.test_frame import a_recording
from tests.support.fakes import LETTER_SAMPLES, FakeEngine
from tests.support.qwen3.checkpoints import EOS

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


async def pcm_of(engine: Qwen3Engine, text: str, **style: Any) -> np.ndarray:
    chunks = [pcm async for pcm in engine.stream(text, Style(**style))]
    assert all(len(pcm) >= 480 for pcm in chunks), "20 ms each at least"
    return np.concatenate(chunks)


@pytest.mark.parametrize("device", DEVICES)
async def test_speaks(checkpoint_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path.endswith(("stand_ins", "site"))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_wav(tmp_path / "ryan.wav")
    settings = QwenSettings(
        model_id=str(checkpoint_folder("base")),
        device=device,
        dtype="float32",
        max_batch=4,
        max_positions=192,
    )
    engine = Qwen3Engine(settings, voices := VoiceSettings(voices_dir=tmp_path), 300.0)
    await engine.start()
    try:
        first, *others = await asyncio.gather(*(pcm_of(engine, "Hello.", language="en", seed=5) for _ in range(3)))
        assert first.size > 2400
        # As `systemctl stop` does, to every process of the service.
        os.kill(engine.status().details["pid"], signal.SIGTERM)
        assert np.abs(first).max() > 1000
        for other in others:
            # Sums run in another order in another batch, which may round a sample differently.
            assert other.shape == first.shape, "the seed decides, not who is beside it"
            assert np.abs(other.astype(int) - first).max() <= 2

        reference = VoiceReference(a_recording(1.5), 24000, "I said this.")
        cloned = await pcm_of(engine, "Hello.", language="en", seed=5, reference=reference)
        assert cloned.shape != first.shape or np.abs(cloned.astype(int) - first).max() > 100

        async with aclosing(engine.stream("A longer sentence, cut short by its caller.", Style())) as stream:
            await anext(stream)
        chunks = [chunk async for chunk in speak(engine, "One sentence. And another one.", Style(seed=1))]
        assert [chunk.text.strip() for chunk in chunks if chunk.text] == ["One sentence.", "And another one."]
        times = WordTimes(engine.sample_rate_hz)
        words = [word for chunk in chunks for word in times.take(chunk)] + [*times.finish()]
        assert [word.word for word in words if not word.is_estimated] == ["One", "And"], "only sentences are exact"
        assert words[2].start_s - words[1].end_s == pytest.approx(SENTENCE_PAUSE_MS / 1000, abs=1e-6)
        assert words[-1].end_s == pytest.approx(sum(chunk.pcm.size for chunk in chunks) / engine.sample_rate_hz)

        app = web.Application()
        add_speech_routes(app, engine, SpeechSettings(), voices, CollectorRegistry())
        async with TestClient(TestServer(app)) as client:
            body = {"input": "Hello.", "voice": "alloy", "response_format": "pcm", "seed": 5, "language": "en"}
            async with client.post("/v1/audio/speech", json=body) as answer:
                assert answer.status == 200
                over_http = np.frombuffer(await answer.read(), np.int16)
            assert over_http.size == pytest.approx(first.size, abs=4800)
            async with client.get("/health") as answer:
                health = await answer.json()
            assert health["model_loaded"] is True
            assert health["engine"] == "qwen3"
            assert health["cuda"] is (device == "cuda")
            assert any("VOICES_DIR" in warning for warning in health["warnings"])

        status = engine.status().told()
        assert status["model_loaded"] is True
        assert status["faults"] == 0
        assert status["model_type"] == "base"
        assert status["voice_cache_size"] == 2
        assert (status.get("gpu_allocated_mb", 0) > 0) is status["cuda"] is (device == "cuda")
    finally:
        await engine.close()


async def test_a_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process itself says so in one line, and ends."""
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path.endswith(("stand_ins", "site"))))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"tts_model_type": "custom_voice"}')
    settings = QwenSettings(model_id=str(tmp_path / "model"), device="cpu", dtype="float32")
    engine = Qwen3Engine(settings, VoiceSettings(), 300.0)
    with pytest.raises(SpeechError, match=r"the folder lacks speech_tokenizer/config\.json, vocab\.json"):
        await engine.start()
    assert engine.status().model_loaded is False
    await engine.close()


def test_a_package_that_fails_as_it_is_imported_does_not_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not be needed, and whoever needs it reports it then."""
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('not on this machine')")
    monkeypatch.syspath_prepend(tmp_path)  # type: ignore[no-untyped-call]
    monkeypatch.setattr(serve, "IMPORTED", ("broken_package",))
    monkeypatch.setattr(serve, "send_logs", lambda *_: None)
    settings = QwenSettings(model_id=str(tmp_path / "nowhere"), device="cpu", dtype="float32")
    events = io.BytesIO()
    serve.serve(io.BytesIO(pack(settings)), events)
    told = read(io.BytesIO(events.getvalue()))
    assert isinstance(told, NotReady)
    assert "there is no such folder" in told.message


LONG = "and so on, " * 40


def without_an_end(checkpoint: Path, folder: Path) -> str:
    """A copy whose sentences do not end before their text has gone in: LONG keeps its place until it is closed."""
    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    weights["talker.codec_head.weight"][EOS] = 0.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


async def test_a_full_batch(checkpoint_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences in the batch go on; calls go before others; without a place a call takes its fallback, HTTP a 503."""
    monkeypatch.setenv("PYTHONPATH", ":".join(path for path in sys.path if path.endswith(("stand_ins", "site"))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = QwenSettings(
        model_id=without_an_end(checkpoint_folder("custom_voice"), tmp_path / "model"),
        device="cpu",
        dtype="float32",
        max_batch=1,
        max_positions=1024,
    )
    spare = FakeEngine()
    steady = Style(language="en", temperature=0.0)
    qwen = Qwen3Engine(settings, voices := VoiceSettings(voices_dir=tmp_path), 300.0)
    engine = FallbackEngine(qwen, spare)
    await engine.start()
    try:
        async with aclosing(qwen.stream(LONG, steady)) as speaking:
            await anext(speaking)
            assert [pcm.size async for pcm in engine.stream("Hello.", Style())] == [LETTER_SAMPLES] * 6
            assert engine.status().sentences_by_spare == 1

            finished: list[str] = []

            async def say(name: str, **how: Any) -> None:
                await pcm_of(qwen, "Hello.", language="en", **how)
                finished.append(name)

            soon_s = asyncio.get_running_loop().time() + 60
            waiting = [
                asyncio.create_task(say("bulk", priority=Priority.BULK)),
                asyncio.create_task(say("a call's next sentence", needed_at_s=soon_s)),
            ]
            while qwen.status().queue_depth < 3:  # noqa: ASYNC110 (two turns of the loop at most)
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert finished == ["a call's next sentence", "bulk"]

        app = web.Application()
        add_speech_routes(app, engine, SpeechSettings(), voices, CollectorRegistry())
        async with TestClient(TestServer(app)) as client, aclosing(qwen.stream(LONG, steady)) as speaking:
            await anext(speaking)
            others = [asyncio.create_task(say("other", priority=Priority.HTTP)) for _ in range(5)]
            while qwen.status().queue_depth < 6:  # noqa: ASYNC110 (two turns of the loop at most)
                await asyncio.sleep(0)
            body = {"input": "Hello.", "response_format": "pcm", "language": "en"}
            async with client.post("/v1/audio/speech", json=body) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
                assert (await answer.json())["code"] == "QUEUE_FULL"
            async with client.get("/health") as answer:
                assert (await answer.json())["engine_status"]["refused"] == 2
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
    finally:
        await engine.close()
