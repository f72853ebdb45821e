from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.encode import FORMATS, create_encoder
from engine.recording import InvalidRecording, read_recording
from engine.speech import Style
from tests.support.decoders import likeness
from tests.support.tone_engine import RATE_HZ, sound_of

SOUND = sound_of("A recording that lasts long enough to be of use to anybody, twice over, and then some.", Style())


def wav(pcm: np.ndarray = SOUND, rate_hz: int = RATE_HZ, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate_hz, format="WAV", **options)
    return file.getvalue()


def read(data: bytes, min_s: float = 1.0, max_s: float = 60.0):
    return read_recording(data, min_s=min_s, max_s=max_s)


def test_a_wav_is_read_to_the_sample():
    reference = read_recording(wav(), min_s=1, max_s=60, text="what is said")
    assert reference.sample_rate_hz == RATE_HZ
    assert reference.text == "what is said"
    assert np.array_equal(reference.pcm, SOUND)


@pytest.mark.parametrize("name", ["mp3", "opus", "aac", "flac", "wav"])
def test_formats_that_people_have_are_read(name):
    encoder = create_encoder(FORMATS[name], RATE_HZ)
    reference = read(encoder.encode(SOUND) + encoder.finish())
    assert likeness(reference.pcm, SOUND) > 0.9 or reference.sample_rate_hz != RATE_HZ
    assert reference.pcm.size / reference.sample_rate_hz == pytest.approx(SOUND.size / RATE_HZ, abs=0.3)


def test_stereo_becomes_mono():
    reference = read(wav(np.stack([SOUND, SOUND], axis=1)))
    assert reference.pcm.shape == SOUND.shape
    assert np.abs(reference.pcm.astype(int) - SOUND).max() <= 1


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT", "ULAW"])
def test_other_samples_become_16_bits(subtype):
    assert likeness(read(wav(SOUND / 32_768, subtype=subtype)).pcm, SOUND) > 0.99


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not audio at all", "decoded"),
        (wav()[:30], "decoded"),
        (wav(SOUND[: RATE_HZ // 2]), r"lasts 0\.50 s; at least 1 s"),
        (wav(np.zeros(RATE_HZ * 2, np.int16)), "silent"),
        (wav(np.full(RATE_HZ * 2, 40, np.int16)), "silent"),
        (wav(SOUND, rate_hz=4_000), "4000 Hz"),
    ],
)
def test_what_cannot_be_used_is_refused(data, reason):
    with pytest.raises(InvalidRecording, match=reason):
        read(data)


def test_a_recording_that_is_too_long_is_not_decoded_to_its_end():
    with pytest.raises(InvalidRecording, match="longer than 2 s"):
        read(wav(np.tile(SOUND, 20)), max_s=2)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    ],
)
def test_a_playlist_opens_no_other_file(playlist):
    with pytest.raises(InvalidRecording, match="decoded"):
        read(playlist.encode())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data):
    name = data.draw(st.sampled_from(["wav", "mp3", "flac", "opus"]))
    encoder = create_encoder(FORMATS[name], 8_000)
    file = bytearray(encoder.encode(SOUND[: RATE_HZ // 2]) + encoder.finish())
    for _ in range(data.draw(st.integers(1, 20))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        reference = read(bytes(file[: data.draw(st.integers(0, len(file)))]), min_s=0.1)
    except InvalidRecording:
        return
    assert reference.pcm.dtype == np.int16
    assert reference.pcm.size / reference.sample_rate_hz >= 0.1
