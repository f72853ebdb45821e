"""WAV files in and out, and what a telephone would have played."""

import wave

import numpy as np
import pytest
from scipy.io import wavfile

from bridge.dial.caller import Caller
from bridge.dial.reception import Reception
from bridge.dial.wav import both_sides, heard, read_wav, write_wav
from bridge.line.audiosocket import Kind, encode

TONE = (10_000 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)).astype(np.int16)


def frame(level):
    return encode(Kind.SLIN8, np.full(160, level, "<i2").tobytes())


def kept(*frames_at_s):
    reception = Reception(8_000, keep_audio=True)
    for at_s, level in frames_at_s:
        reception.feed(frame(level), at_s)
    return reception


def test_what_was_written_is_read(tmp_path):
    write_wav(tmp_path / "tone.wav", TONE, 24_000)
    assert np.array_equal(read_wav(tmp_path / "tone.wav", 24_000), TONE)


def test_another_rate_is_resampled(tmp_path):
    write_wav(tmp_path / "tone.wav", TONE, 24_000)
    assert read_wav(tmp_path / "tone.wav", 8_000)[100:-100] == pytest.approx(TONE[::3][100:-100], abs=20)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
def test_other_sample_formats_are_read(tmp_path, dtype):
    scaled = TONE / 32768
    samples = {
        np.float32: scaled.astype(np.float32),
        np.int32: (scaled * 2**31).astype(np.int32),
        np.uint8: np.rint(scaled * 127 + 128).astype(np.uint8),
    }[dtype]
    wavfile.write(tmp_path / "tone.wav", 24_000, samples)
    assert read_wav(tmp_path / "tone.wav", 24_000) == pytest.approx(TONE, abs=300 if dtype is np.uint8 else 1)


def test_stereo_is_mixed_down(tmp_path):
    write_wav(tmp_path / "both.wav", np.stack((TONE, TONE), axis=1), 24_000)
    with wave.open(str(tmp_path / "both.wav")) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, TONE.size)
    assert read_wav(tmp_path / "both.wav", 24_000) == pytest.approx(TONE, abs=2)


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("This is not sound. " * 50)
    with pytest.raises(ValueError, match=r"text\.wav"):
        read_wav(tmp_path / "text.wav", 8_000)
    with pytest.raises(OSError, match="No such file"):
        read_wav(tmp_path / "missing.wav", 8_000)


def test_frames_play_without_a_seam_although_they_come_unevenly():
    played = heard(kept((10.000, 1), (10.035, 2), (10.041, 3)), 10.0)
    assert played.tolist() == [1] * 160 + [2] * 160 + [3] * 160


def test_a_frame_later_than_the_phones_buffer_leaves_a_hole():
    played = heard(kept((10.0, 1), (10.120, 2)), 10.0)
    assert played.tolist() == [1] * 160 + [0] * 800 + [2] * 160


def test_after_a_hole_silence_is_left_out_until_the_recording_is_on_time_again():
    late = [(10.120, 500), (10.121, 0), (10.122, 501), (10.123, 0), (10.124, 0), (10.125, 0), (10.140, 0)]
    played = heard(kept((10.0, 499), *late, (10.160, 502)), 10.0)
    assert played[:160].tolist() == [499] * 160
    assert played[960:].tolist() == [500] * 160 + [0] * 160 + [501] * 160 + [502] * 160


def test_what_came_before_the_start_of_a_recording_does_not_shift_it():
    assert heard(kept((10.0, 1), (10.020, 2)), 10.005).tolist() == [1] * 160 + [2] * 160


def test_the_start_of_a_recording_is_silent_until_the_first_frame():
    assert heard(kept((10.010, 1)), 10.0).tolist() == [0] * 80 + [1] * 160


def test_frames_of_another_rate_play_at_the_calls():
    reception = Reception(16_000, keep_audio=True)
    reception.feed(frame(1000), 0.0)
    reception.feed(encode(Kind.SLIN16, np.full(320, 2000, "<i2").tobytes()), 0.020)
    played = heard(reception, 0.0)
    assert played.size == 640
    assert played[100:200] == pytest.approx(np.full(100, 1000), abs=30)
    assert (played[320:] == 2000).all()


def test_both_sides_of_a_call():
    caller = Caller(keep_audio=True)
    caller.handset.speak(np.full(160, 5, "<i2").tobytes())
    caller.handset.tick()
    caller.first_sent_s = 10.0
    caller.received.feed(frame(7), 10.020)
    caller.received.feed(frame(8), 10.040)
    sides = both_sides(caller)
    assert sides[:, 0].tolist() == [5] * 160 + [0] * 320
    assert sides[:, 1].tolist() == [0] * 160 + [7] * 160 + [8] * 160
