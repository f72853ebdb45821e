"""Uploads are decoded in a process of their own, which may take so much and no more."""

from __future__ import annotations

import io
import signal
import subprocess
import sys

import av
import numpy as np
import pytest

from engine import upload
from engine.recording import InvalidRecording
from engine.upload import read_upload
from tests.engine.test_recording import SOUND, wav
from tests.support.decoders import likeness
from tests.support.tone_engine import RATE_HZ


def bounded(code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python that is bounded as the decoder is, but for a second of CPU."""
    code = f"from engine.upload import bound; bound(cpu_s=1)\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def film(codec: str, *, picture: bool = True) -> bytes:
    """A Matroska file of SOUND in `codec`, with a picture."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        audio = container.add_stream(codec, rate=RATE_HZ)
        audio.codec_context.layout = "mono"
        if picture:
            container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
            container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(SOUND[None, :], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return file.getvalue()


async def test_a_recording_is_read_to_the_sample() -> None:
    reference = await read_upload(wav(), min_s=1, max_s=60, text="what is said")
    assert (reference.sample_rate_hz, reference.text) == (RATE_HZ, "what is said")
    assert np.array_equal(reference.pcm, SOUND)


async def test_what_cannot_be_used_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRecording, match="not audio that can be decoded"):
        await read_upload(b"not audio at all", min_s=1, max_s=60)


async def test_of_a_film_the_sound_is_read() -> None:
    reference = await read_upload(film("pcm_s16le"), min_s=1, max_s=60)
    assert likeness(reference.pcm, SOUND) > 0.99


async def test_a_codec_that_nobody_records_with_is_refused() -> None:
    with pytest.raises(InvalidRecording, match="codec, tta, is not read"):
        await read_upload(film("tta", picture=False), min_s=1, max_s=60)


def test_its_memory_is_bounded() -> None:
    assert "MemoryError" in bounded("bytearray(2**30)").stderr


def test_its_time_is_bounded() -> None:
    assert bounded("while True: pass").returncode in (-signal.SIGXCPU, -signal.SIGKILL)


async def test_a_file_that_ends_the_decoder_is_refused_and_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(upload, "WORKER", (str(tmp_path / "dies.py"),))
    with pytest.raises(InvalidRecording, match="too much memory or time"):
        await read_upload(wav(), min_s=1, max_s=60)


async def test_a_decoder_that_was_broken_into_runs_nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """It can answer what it likes: a pickle would be run by whoever reads it."""
    trace = tmp_path / "trace"
    (tmp_path / "evil.py").write_text(
        "import pickle, struct, sys\n"
        "class Evil:\n"
        f"    def __reduce__(self): return open, ({str(trace)!r}, 'w')\n"
        "payload = pickle.dumps(Evil())\n"
        "sys.stdout.buffer.write(struct.pack('<I', len(payload)) + payload)\n"
    )
    monkeypatch.setattr(upload, "WORKER", (str(tmp_path / "evil.py"),))
    with pytest.raises(InvalidRecording, match="cannot be decoded"):
        await read_upload(wav(), min_s=1, max_s=60)
    assert not trace.exists()


@pytest.mark.parametrize(
    "answer", ["struct.pack('<I', 2**31)", "struct.pack('<IBIB', 6, 0, 8000, 0)", "struct.pack('<I', 0)"]
)
async def test_an_answer_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path, answer: str) -> None:
    """Two gigabytes, half a sample, nothing."""
    (tmp_path / "evil.py").write_text(f"import struct, sys\nsys.stdout.buffer.write({answer})\n")
    monkeypatch.setattr(upload, "WORKER", (str(tmp_path / "evil.py"),))
    with pytest.raises(InvalidRecording):
        await read_upload(wav(), min_s=1, max_s=60)
