"""The sound of a recorded call."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest

from bridge.console.call_sound import CallSound, NoSound
from bridge.conversation.recording import MAX_WAV_FRAMES
from tests.support.processor_time import least_s

RATE_HZ = 8_000


def write(path, frames, *, told_frames=None):
    """A recording as it is, or, with `told_frames`, as it is while it is written."""
    data = frames.astype("<i2").tobytes()
    with wave.open(str(path), "wb") as wav:
        wav.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
        wav.writeframes(data)
    if told_frames is not None:
        with open(path, "r+b") as file:
            file.seek(40)
            file.write(struct.pack("<I", told_frames * 4))
    return path


def two_sides(seconds):
    frames = np.zeros((seconds * RATE_HZ, 2))
    frames[RATE_HZ : 2 * RATE_HZ, 0] = 16_384 * np.sin(np.arange(RATE_HZ))
    frames[2 * RATE_HZ :, 1] = -32_768
    return frames


def test_each_side_is_loud_where_it_speaks(tmp_path):
    sound = CallSound.of(write(tmp_path / "call.wav", two_sides(3)))
    assert sound.duration_ms == 3_000
    peaks = np.frombuffer(sound.peaks(0, 4_000, 4), np.uint8).reshape(4, 2).tolist()
    assert peaks == [[0, 0], [pytest.approx(127, abs=2), 0], [0, 255], [0, 0]]  # beyond the end is silence


def test_a_stretch_is_as_fine_as_one_wants(tmp_path):
    sound = CallSound.of(write(tmp_path / "call.wav", two_sides(3)))
    assert len(sound.peaks(900, 1_100, 200)) == 400
    assert len(sound.peaks(0, 3_000, 10**9)) <= 8_000
    assert sound.peaks(9_000, 9_001, 50) == bytes(100)
    assert sound.peaks(2_000, 1_000, 1) == bytes([0, 255])


def test_what_is_read_is_the_file(tmp_path):
    path = write(tmp_path / "call.wav", two_sides(2))
    sound, whole = CallSound.of(path), path.read_bytes()
    assert sound.size_bytes == len(whole)
    assert sound.read(0, 10**9) == whole
    for start, length in ((0, 10), (20, 60), (43, 2), (44, 100), (len(whole) - 3, 100), (len(whole), 5)):
        assert sound.read(start, length) == whole[start : start + length]


def test_a_recording_that_is_being_written_is_as_long_as_it_is_now(tmp_path):
    path = write(tmp_path / "call.wav", two_sides(2), told_frames=MAX_WAV_FRAMES)
    sound = CallSound.of(path)
    assert sound.duration_ms == 2_000
    with wave.open(io.BytesIO(sound.read(0, sound.size_bytes))) as wav:
        assert wav.getnframes() == 2 * RATE_HZ


@pytest.mark.parametrize("content", [b"", b"RIFF", b"x" * 100], ids=["empty", "short", "none"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    with pytest.raises(NoSound):
        CallSound.of(path)


def test_an_hour_is_bounded(tmp_path):
    path = tmp_path / "call.wav"
    write(path, np.zeros((1, 2)), told_frames=MAX_WAV_FRAMES)
    with open(path, "r+b") as file:
        file.truncate(44 + 3_600 * RATE_HZ * 4)
    sound = CallSound.of(path)
    assert len(sound.peaks(0, 3_600_000, 2_000)) == 4_000
    assert least_s(lambda: sound.peaks(0, 3_600_000, 2_000), enough_s=0.25) < 0.5
