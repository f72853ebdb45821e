import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio import LIMIT_KNEE, RateConverter, Resampler, alaw_encode, resample, soft_limit, ulaw_encode
from engine.speech import Pcm
from tests.support.g711 import alaw_decode, ulaw_decode

ENGINE_HZ = 24000
WIRE_RATES_HZ = (8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000)  # AudioSocket kinds 0x10 to 0x18
PAIRS = [(ENGINE_HZ, wire) for wire in WIRE_RATES_HZ]
PAIRS += [(8000, 16000), (8000, 24000), (16000, 24000), (16000, 8000), (48000, 24000), (22050, 24000)]


def tone(freq_hz: float, rate_hz: int, seconds: float = 1.0, amplitude: float = 16000) -> Pcm:
    return np.rint(amplitude * np.sin(2 * np.pi * freq_hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(
        np.int16
    )


def db(ratio: float) -> float:
    return 20 * float(np.log10(ratio + 1e-12))


def middle(pcm: Pcm) -> np.ndarray:
    """Without the first and last tenth, where a tone is switched on and off."""
    return pcm[pcm.size // 10 : -(pcm.size // 10)].astype(float)


def noise(samples: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_twenty_ms_pushes_equal_the_whole(from_hz: int, to_hz: int) -> None:
    pcm = noise(from_hz + 37)
    resampler, step = Resampler(from_hz, to_hz), from_hz // 50
    parts = [resampler.push(pcm[i : i + step]) for i in range(0, pcm.size, step)]
    np.testing.assert_array_equal(np.concatenate([*parts, resampler.flush()]), resample(pcm, from_hz, to_hz))


@settings(max_examples=150, deadline=None)
@given(
    pair=st.sampled_from([*PAIRS, (44100, 8000), (8000, 8000)]),
    cuts=st.lists(st.integers(0, 3000), max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_chunking_gives_the_same_bits(pair: tuple[int, int], cuts: list[int], seed: int) -> None:
    pcm = noise(sum(cuts), seed)
    resampler = Resampler(*pair)
    parts = [resampler.push(part) for part in np.split(pcm, np.cumsum(cuts))]
    chunked = np.concatenate([*parts, resampler.flush()])
    np.testing.assert_array_equal(chunked, resample(pcm, *pair))
    assert chunked.size == (2 * pcm.size * pair[1] + pair[0]) // (2 * pair[0])


def test_long_push_equals_short_ones() -> None:
    pcm = noise(100_000)
    resampler = Resampler(24000, 44100)
    whole = np.concatenate((resampler.push(pcm), resampler.flush()))
    parts = [resampler.push(part) for part in np.split(pcm, range(0, pcm.size, 777))]
    np.testing.assert_array_equal(np.concatenate([*parts, resampler.flush()]), whole)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_passband_is_flat_and_not_delayed(from_hz: int, to_hz: int) -> None:
    edge_hz = 0.85 * min(from_hz, to_hz) / 2
    for freq_hz in (100, 1000, edge_hz / 2, edge_hz):
        out, ideal = middle(resample(tone(freq_hz, from_hz), from_hz, to_hz)), middle(tone(freq_hz, to_hz))
        assert abs(db(np.std(out) / np.std(ideal))) < 0.01
        assert db(np.std(out - ideal) / np.std(ideal)) < -80  # nothing but rounding: no lag, no images


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(24000, 8000), (24000, 12000), (24000, 16000), (16000, 8000), (48000, 24000)]
)
def test_tones_above_the_new_nyquist_do_not_alias(from_hz: int, to_hz: int) -> None:
    for freq_hz in np.linspace(to_hz / 2, from_hz / 2, 40, endpoint=False):
        source = tone(freq_hz, from_hz)
        assert db(np.std(middle(resample(source, from_hz, to_hz))) / np.std(source)) < -80 or np.ptp(source) == 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_an_impulse_comes_out_where_it_went_in(from_hz: int, to_hz: int) -> None:
    pcm = np.zeros(from_hz // 10, np.int16)
    pcm[from_hz // 20] = 30000
    out = resample(pcm, from_hz, to_hz)
    assert int(np.argmax(np.abs(out))) == pytest.approx(from_hz // 20 * to_hz / from_hz, abs=0.5)
    assert out.size == round(pcm.size * to_hz / from_hz)


def test_holds_back_under_five_milliseconds() -> None:
    for pair in PAIRS:
        resampler = Resampler(*pair)
        out = sum(resampler.push(noise(pair[0] // 50)).size for _ in range(10))
        assert (0.2 - out / pair[1]) < 0.005
        assert 0.2 - out / pair[1] == pytest.approx(resampler.held_back_s, abs=1.5 / min(pair))


@pytest.mark.parametrize("from_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_four_seconds_at_once_are_no_work_for_other_threads(from_hz: int) -> None:
    """On a busy machine whoever shares the work waits for the others to get a core, and with it the event loop."""
    pcm = np.zeros(4 * from_hz, np.int16)

    def works_alone(to_hz: int) -> bool:
        resampler = Resampler(from_hz, to_hz)
        began_s, ours_s = time.process_time(), time.thread_time()
        resampler.push(pcm)
        ours_s, all_s = time.thread_time() - ours_s, time.process_time() - began_s
        return all_s < ours_s * 1.1 + 0.001

    for to_hz in (8_000, 16_000, 24_000, 48_000):
        # A thread that an earlier test has left may be at work during one of them.
        assert any(works_alone(to_hz) for _ in range(5)), f"{from_hz} to {to_hz} Hz"


def test_starts_anew_after_flush() -> None:
    pcm = noise(5000)
    resampler = Resampler(24000, 8000)
    first = np.concatenate((resampler.push(pcm), resampler.flush()))
    assert resampler.flush().size == 0
    np.testing.assert_array_equal(np.concatenate((resampler.push(pcm), resampler.flush())), first)


def test_full_scale_clips_and_does_not_wrap() -> None:
    square = np.where(np.arange(24000) // 12 % 2, 32767, -32768).astype(np.int16)
    out = resample(square, 24000, 8000).astype(int)
    assert out.max() == 32767
    assert np.abs(np.diff(np.sign(out))).sum() / 2 == pytest.approx(2000, abs=2)  # a 1 kHz square, no wrapped spikes


def test_same_rate_passes_through() -> None:
    pcm = noise(480)
    resampler = Resampler(24000, 24000)
    assert resampler.push(pcm) is pcm
    assert resampler.flush().size == 0


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Resampler(24000, 0)
    with pytest.raises(ValueError, match="23999/24000"):
        Resampler(24000, 23999)
    with pytest.raises(ValueError, match="int16"):
        Resampler(24000, 8000).push(np.zeros(10))  # type: ignore[arg-type]


@pytest.mark.parametrize(("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)])
def test_g711_decodes_to_within_its_steps(encode, decode) -> None:  # type: ignore[no-untyped-def]
    pcm = tone(440, 8000)
    data = encode(pcm)
    assert len(data) == pcm.size
    assert db(np.std(decode(data) - pcm.astype(float)) / np.std(pcm)) < -35
    assert encode(decode(bytes(range(256)))) in (
        bytes(range(256)),
        bytes(range(127)) + b"\xff" + bytes(range(128, 256)),
    )


def test_g711_known_values() -> None:
    assert ulaw_encode(np.array([0, 32767, -32768], np.int16)) == b"\xff\x80\x00"
    assert alaw_encode(np.array([0, 32767, -32768], np.int16)) == b"\xd5\xaa\x2a"


def test_limiter_bends_only_what_is_loud() -> None:
    ramp = np.linspace(-3, 3, 2001, dtype=np.float32)
    out = soft_limit(ramp)
    quiet = np.abs(ramp) <= LIMIT_KNEE
    np.testing.assert_array_equal(out[quiet], ramp[quiet])
    assert np.abs(out).max() <= 1
    assert (np.diff(out) >= 0).all()
    assert np.abs(np.diff(out)).max() <= np.diff(ramp).max() * 1.001  # no step at the knee


def test_importing_warns_of_nothing() -> None:
    command = [sys.executable, "-W", "error", "-c", "import engine.audio"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_a_stream_that_changes_its_rate_comes_out_at_one() -> None:
    converter = RateConverter(16_000)
    assert converter.flush().size == 0
    tone = np.full(1_600, 1_000, np.int16)
    out = [converter.push(tone.tobytes(), 8_000), converter.push(tone.tobytes(), 16_000), converter.flush()]
    held_back = round(Resampler(8_000, 16_000).held_back_s * 16_000)
    assert out[0].size == pytest.approx(3_200 - held_back, abs=2)
    np.testing.assert_array_equal(out[1], tone)
