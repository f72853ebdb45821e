import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.audio import Resampler, resample, ulaw_encode
from engine.hibari.chunks import chunked
from engine.hibari.engine import JOB_CHARS, jobs_of
from engine.hibari.messages import Speak
from engine.hibari.synthesis import MAX_SAMPLES, Synthesizer
from engine.hibari.vocoder import Vocoder, _envelope
from engine.hibari.voices import VARIANTS
from engine.speech import Pcm
from engine.text import break_words
from tests.support.g711 import ulaw_decode
from tests.support.recognition import recognise, word_error_rate, word_times

RATE_HZ = 24000
TEXT = "Please stay on the line, and somebody will be with you shortly."


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer()


@pytest.fixture(scope="module")
def voices(synthesizer: Synthesizer) -> dict[str, Pcm]:
    """The same sentence in every voice."""
    return {voice: speak(synthesizer, Speak(TEXT, voice)) for voice in VARIANTS}


def speak(synthesizer: Synthesizer, job: Speak) -> Pcm:
    return np.concatenate(list(synthesizer.speak(job)))


def predict(synthesizer: Synthesizer, text: str) -> list[NDArray[np.float32]]:
    hibari = synthesizer._hibari
    ids = np.array([hibari.ids(hibari.phonemize(text)[0])], np.int64)
    *outputs, _ = hibari.sess.run(None, {"ids": ids, "speed": np.ones(1, np.float32)})
    return [output[0] for output in outputs]


def pitch_hz(pcm: Pcm) -> float:
    """The median over voiced stretches, by autocorrelation."""
    found = []
    for frame in np.lib.stride_tricks.sliding_window_view(pcm.astype(float), 1200)[::480]:
        if frame.std() < 800:
            continue
        power = np.abs(np.fft.rfft((frame - frame.mean()) * np.hanning(1200), 4096)) ** 2
        correlation = np.fft.irfft(power)
        lag = 60 + int(np.argmax(correlation[60:440]))
        if correlation[lag] > 0.3 * correlation[0]:
            found.append(RATE_HZ / lag)
    return float(np.median(found))


def level_db(pcm: Pcm) -> float:
    frames = pcm[: pcm.size // 2400 * 2400].astype(float).reshape(-1, 2400).std(1)
    return 20 * float(np.log10(np.sqrt(np.mean(frames[frames > 500] ** 2)) / 32768))


def test_blocks_make_the_sound_that_hibari_makes_whole(synthesizer: Synthesizer) -> None:
    from hibari import dsp

    outputs = predict(synthesizer, TEXT)
    outputs[2] = np.full_like(outputs[2], -50)  # noise is drawn block by block: leave it out
    blocks = np.concatenate(list(Vocoder(outputs, 0).blocks()))
    whole = dsp.synth(*outputs, np.random.default_rng(0))
    assert blocks.size == whole.size
    delay = (
        dsp.N_FFT // 2
    )  # of a block that does not wait for the window's other half; it falls into the silence before
    np.testing.assert_allclose(blocks[delay:], whole[:-delay], atol=1e-4)


@pytest.mark.parametrize("f0_hz", [75.0, 195.0, 233.3])
def test_harmonics_that_are_drawn_where_they_were_stay_as_they_were(f0_hz: float) -> None:
    rng = np.random.default_rng(0)
    harmonic, theta = rng.standard_normal((2, 601, 3), np.float32)
    f0 = np.full(3, f0_hz, np.float32)
    drawn, phases = _envelope(harmonic, theta, f0, f0)
    spacing = f0_hz / 20
    around = slice(int(spacing / 2) + 1, int((600 // spacing) * spacing))  # of the first harmonic to the last
    np.testing.assert_allclose(drawn[around], harmonic[around], atol=1e-3)
    np.testing.assert_array_equal(phases[around], theta[around])


@pytest.mark.parametrize("text", ["For how many people?", "I see.", "Of course.", "That is no problem at all."])
def test_a_sentence_is_heard_at_once_and_begins_without_a_click(synthesizer: Synthesizer, text: str) -> None:
    level = np.abs(next(synthesizer.speak(Speak(text))).astype(int))
    heard_ms = int(np.flatnonzero(level > 100)[0]) / 24
    assert heard_ms < 4, "silence before it is only a longer wait for the caller"
    assert level[0] < 100


def test_the_same_job_gives_the_same_samples(synthesizer: Synthesizer) -> None:
    np.testing.assert_array_equal(speak(synthesizer, Speak(TEXT)), speak(synthesizer, Speak(TEXT)))
    assert not np.array_equal(speak(synthesizer, Speak(TEXT)), speak(synthesizer, Speak(TEXT, seed=1)))


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.7, 1.5, 2.0, 4.0])
def test_speed_is_what_was_asked_for(synthesizer: Synthesizer, voices: dict[str, Pcm], speed: float) -> None:
    pcm = speak(synthesizer, Speak(TEXT, speed=speed))
    assert voices["heart"].size / pcm.size == pytest.approx(speed, rel=0.08)
    assert pitch_hz(pcm) == pytest.approx(pitch_hz(voices["heart"]), rel=0.12)


@pytest.mark.parametrize("voice", VARIANTS)
def test_a_voice_is_as_its_table_says(voices: dict[str, Pcm], voice: str) -> None:
    heart, variant = voices["heart"], VARIANTS[voice]
    assert pitch_hz(voices[voice]) == pytest.approx(pitch_hz(heart) * variant.pitch, rel=0.12)
    assert heart.size / voices[voice].size == pytest.approx(variant.pace, rel=0.04)
    assert abs(level_db(voices[voice]) - level_db(heart)) < 4
    assert np.abs(voices[voice]).max() < 32767


def test_voices_can_be_told_apart() -> None:
    """In pitch, formants, melody and pace, each in steps of what is clearly heard, every pair is far apart."""
    steps = np.log([1.08, 1.04, 1.35, 1.07])
    points = [
        np.log([variant.pitch, variant.formant_percent / 100, variant.melody, variant.pace]) / steps
        for variant in VARIANTS.values()
    ]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(points, 2)) > 1.5


def test_voices_sound_different(voices: dict[str, Pcm]) -> None:
    """The long-term spectra, which hold pitch and formants, differ by more than heart's between two sentences."""

    def spectrum(pcm: Pcm) -> NDArray[np.float64]:
        frames = np.lib.stride_tricks.sliding_window_view(pcm.astype(float), 1024)[::512] * np.hanning(1024)
        return 10 * np.log10(np.mean(np.abs(np.fft.rfft(frames)) ** 2, 0)[4:170] + 1)

    spectra = {voice: spectrum(pcm) for voice, pcm in voices.items()}
    for (one, this), (other, that) in itertools.combinations(spectra.items(), 2):
        assert np.abs(this - that).mean() > 1.0, (one, other)


@pytest.mark.parametrize("voice", ["onyx", "uncle_fu", "ono_anna"])
async def test_voices_are_understood_over_the_telephone(voices: dict[str, Pcm], voice: str) -> None:
    line = ulaw_decode(ulaw_encode(resample(voices[voice], RATE_HZ, 8000)))
    assert word_error_rate([TEXT], [await recognise(line, 8000)]) <= 0.1


@pytest.mark.parametrize("text", ["你好", "。", "   "])
def test_no_sounds_no_chunks(synthesizer: Synthesizer, text: str) -> None:
    assert list(synthesizer.speak(Speak(text))) == []


def longest_pause_s(pcm: Pcm) -> float:
    loud = np.flatnonzero(np.abs(pcm) > 100)
    return float(np.diff(loud).max()) / RATE_HZ


def test_lines_and_very_long_sentences_have_no_holes(synthesizer: Synthesizer) -> None:
    assert longest_pause_s(speak(synthesizer, Speak("This line was\nonly wrapped\nand goes on."))) < 0.15
    long = "the very long list of things that nobody would ever say without a breath, " * 8
    assert len(synthesizer._hibari.phonemize(long)) > 1
    assert longest_pause_s(speak(synthesizer, Speak(long))) < 0.45


@pytest.mark.parametrize("voice", ["heart", "onyx", "ono_anna"])
@pytest.mark.parametrize("text", ["A.", "Yes.", TEXT])
def test_chunks_are_20_to_200_ms(synthesizer: Synthesizer, voice: str, text: str) -> None:
    assert all(480 <= chunk.size <= 4800 for chunk in synthesizer.speak(Speak(text, voice, speed=4.0)))


def word_starts(synthesizer: Synthesizer, job: Speak) -> tuple[Pcm, list[int]]:
    starts: list[int] = []
    pcm = np.concatenate(list(synthesizer.speak(job, starts.extend)))
    return pcm, starts


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "A",
        "Order #4711 costs $25.50, and Dr. Smith - who is away - calls at 3:45 p.m.",
        "I paid 1,234 dollars.  Really? Yes!",
        "the very long list of things that nobody would ever say without a breath, " * 8,
    ],
)
def test_tells_when_each_word_begins_and_changes_no_sample(synthesizer: Synthesizer, text: str) -> None:
    pcm, starts = word_starts(synthesizer, Speak(text, speed=1.5))
    assert len(starts) == len(text.split())
    assert starts == sorted(starts)
    assert starts[0] < RATE_HZ // 10
    assert starts[-1] < pcm.size
    np.testing.assert_array_equal(pcm, speak(synthesizer, Speak(text, speed=1.5)))


def test_words_are_told_of_before_their_sound(synthesizer: Synthesizer) -> None:
    text = "the very long list of things that nobody would ever say without a breath, " * 8
    starts: list[int] = []
    told, made = 0, 0
    for chunk in synthesizer.speak(Speak(text), starts.extend):
        assert all(start >= made for start in starts[told:])
        told, made = len(starts), made + chunk.size
    assert told == len(text.split())


@pytest.mark.parametrize(
    "job", [Speak(TEXT), Speak(TEXT, "onyx"), Speak(TEXT, "ono_anna", speed=1.3), Speak(TEXT, speed=0.7)]
)
async def test_words_begin_where_a_recogniser_hears_them(synthesizer: Synthesizer, job: Speak) -> None:
    pcm, starts = word_starts(synthesizer, job)
    heard = [begin for _, begin, _ in await word_times(pcm, RATE_HZ)]
    off_s = np.array(starts) / RATE_HZ - heard
    after_pause = TEXT.split().index("and")  # the recogniser takes the pause at a comma for the next word's beginning
    assert np.abs(np.delete(off_s, after_pause)).max() < 0.15 / job.speed
    assert abs(float(np.median(off_s))) < 0.06 / job.speed


# ---- chunking ----


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=12), st.integers(80, 118))
def test_chunking_keeps_every_sample(blocks: list[int], percent: int) -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, sum(blocks)).astype(np.int16)
    chunks = list(chunked(iter(np.split(pcm, np.cumsum(blocks))), Resampler(percent, 100)))
    whole = resample(pcm, percent, 100)
    assert all(480 <= chunk.size <= 4800 for chunk in chunks)
    joined = np.concatenate(chunks) if chunks else np.empty(0, np.int16)
    np.testing.assert_array_equal(joined[: whole.size], whole)
    assert not joined[whole.size :].any()


KILLERS = ["a-" * 214, "9," * 45, "9," * 150, "9-" * 150, "A1" * 150, "W" * 300, "W " * 150, "% " * 140, "9 " * 150]


PROSE = (
    "The clock above the old station says ten past nine, and nobody has come to wind it since the spring, when the man "
)
PROSE += "who had the key left for the coast with all that he owned in a small brown case. So it is."


@pytest.mark.parametrize("text", KILLERS)
@pytest.mark.parametrize("speed", [1.0, 0.25])
def test_no_sentence_takes_a_worker_much_longer_than_prose(synthesizer: Synthesizer, text: str, speed: float) -> None:
    """Calls wait for as long as the worker has one job: it took 7 s for the first of these, and prose takes 0.1 s."""

    def work_s(job: Speak) -> tuple[float, int]:
        started_s = time.thread_time()
        samples = sum(chunk.size for chunk in synthesizer.speak(job))
        return time.thread_time() - started_s, samples

    assert JOB_CHARS * 0.95 < len(PROSE) < JOB_CHARS * 1.05
    prose_s, _ = work_s(Speak(PROSE))
    for job in jobs_of(break_words(text[:300].strip()), int(JOB_CHARS * speed)):
        taken_s, samples = work_s(Speak(job, speed=speed))
        for _ in range(4):
            if taken_s < prose_s * 4:
                break
            (prose_s, _), (taken_s, samples) = work_s(Speak(PROSE)), work_s(Speak(job, speed=speed))
        assert taken_s < prose_s * 4
        assert samples <= MAX_SAMPLES
