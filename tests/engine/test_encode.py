"""Every format is decoded again by a library that is not the one that encoded it."""

from __future__ import annotations

import gc
import io
import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.audio import resample
from engine.encode import FORMATS, UNKNOWN_SIZE, create_encoder, state_length, wav_header
from engine.speech import Style
from tests.support.decoders import decode, likeness
from tests.support.tone_engine import RATE_HZ, sound_of

TEXT = "A text long enough that its sound lasts a while."
SOUND = sound_of(TEXT, Style())
# What a codec may add at the ends, in seconds: MP3's and AAC's padding is a few of their frames.
PADDING_S = {"mp3": 0.25, "aac": 0.3}
LIKENESS = {"mp3": 0.97, "aac": 0.97, "opus": 0.9, "ogg": 0.9, "mulaw": 0.995, "alaw": 0.995}


def held_by_this_process():
    """Threads, open files and bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE")


def encode(name, pcm, rate_hz, chunk=2_400):
    encoder = create_encoder(FORMATS[name], rate_hz)
    pieces = [encoder.encode(pcm[start : start + chunk]) for start in range(0, pcm.size, chunk)]
    return [*pieces, encoder.finish()]


@pytest.mark.parametrize(
    ("name", "rate_hz"), [(name, rate_hz) for name, form in FORMATS.items() for rate_hz in form.rates_hz]
)
def test_what_is_decoded_is_what_was_encoded(name, rate_hz):
    pcm = resample(SOUND, RATE_HZ, rate_hz)
    data = b"".join(encode(name, pcm, rate_hz))
    heard, heard_hz = decode(name, data, rate_hz)
    assert heard_hz == rate_hz
    assert -0.001 <= heard.size / rate_hz - pcm.size / rate_hz <= PADDING_S.get(name, 0.001)
    assert likeness(heard, pcm) >= LIKENESS.get(name, 1.0)


@pytest.mark.parametrize("name", FORMATS)
def test_audio_leaves_as_it_is_made(name):
    """After one second of a long text most of that second is out, whatever the format."""
    second = resample(SOUND, RATE_HZ, 24_000)[:24_000]
    rate_hz = FORMATS[name].rate_hz(RATE_HZ)
    second = resample(second, 24_000, rate_hz)
    pieces = encode(name, second, rate_hz, chunk=rate_hz // 10)
    whole = b"".join(pieces)
    assert len(b"".join(pieces[:-1])) > 0.75 * len(whole)


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_of_any_size_make_the_same_sound(name):
    rate_hz = FORMATS[name].rate_hz(RATE_HZ)
    pcm = resample(SOUND, RATE_HZ, rate_hz)
    whole, _ = decode(name, b"".join(encode(name, pcm, rate_hz, chunk=pcm.size)), rate_hz)
    pieces, _ = decode(name, b"".join(encode(name, pcm, rate_hz, chunk=731)), rate_hz)
    assert abs(whole.size - pieces.size) <= 1
    size = min(whole.size, pieces.size)
    assert likeness(pieces[:size], whole[:size]) > 0.99


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_a_valid_stream_too(name):
    assert isinstance(b"".join(encode(name, np.empty(0, np.int16), FORMATS[name].rates_hz[0])), bytes)


def test_a_wav_says_its_length_once_it_is_known():
    streamed = b"".join(encode("wav", SOUND, RATE_HZ))
    assert streamed[4:8] == streamed[40:44] == UNKNOWN_SIZE.to_bytes(4, "little")
    stated = state_length(FORMATS["wav"], RATE_HZ, streamed, SOUND.size)
    with wave.open(io.BytesIO(stated)) as file:
        assert file.getnframes() == SOUND.size
        assert np.array_equal(np.frombuffer(file.readframes(SOUND.size), "<i2"), SOUND)
    assert int.from_bytes(stated[4:8], "little") == len(stated) - 8


def test_a_flac_says_its_length_once_it_is_known():
    streamed = b"".join(encode("flac", SOUND, RATE_HZ))
    stated = state_length(FORMATS["flac"], RATE_HZ, streamed, SOUND.size)
    assert len(stated) == len(streamed)
    assert soundfile.info(io.BytesIO(stated)).frames == SOUND.size
    heard, rate_hz = soundfile.read(io.BytesIO(stated), dtype="int16")
    assert rate_hz == RATE_HZ
    assert np.array_equal(heard, SOUND)


def test_a_wav_header_is_44_bytes():
    assert len(wav_header(8_000)) == 44


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "aac"])
def test_an_encoder_that_is_dropped_leaves_nothing_behind(name):
    """As when the client goes away half-way: no thread of its codec, no file, no megabyte a time."""

    def begin(times):
        for _ in range(times):
            create_encoder(FORMATS[name], 24_000).encode(SOUND[:2_400])
        gc.collect()

    begin(200)  # what is loaded once, and what the allocator keeps
    threads, files, held = held_by_this_process()
    begin(200)
    more_threads, more_files, more = held_by_this_process()
    assert more_threads <= threads
    assert more_files <= files
    assert more - held < 200 * 50_000


def test_a_format_carries_the_rate_asked_for_or_the_next_above():
    assert FORMATS["wav"].rate_hz(24_000) == 24_000
    assert FORMATS["wav"].rate_hz(24_000, 8_000) == 8_000
    assert FORMATS["opus"].rate_hz(22_050) == 24_000
    assert FORMATS["opus"].rate_hz(24_000, 44_100) == 48_000
    assert FORMATS["mp3"].rate_hz(96_000) == 48_000
    assert FORMATS["mulaw"].rate_hz(24_000) == 8_000
    assert FORMATS["mulaw"].rate_hz(24_000, 16_000) == 16_000
