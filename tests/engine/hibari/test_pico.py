"""German, Spanish, French and Italian without a GPU, by the real package."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from engine.hibari import HibariEngine, pico
from engine.hibari.messages import Speak
from engine.hibari.pico import M_PERTURB, Pico
from engine.speech import Pcm, Style, UnspeakableText

RATE_HZ = 24_000
SENTENCES = {
    "de": "Guten Tag, hier ist die Praxis Doktor Schmidt. Wie kann ich Ihnen helfen?",
    "es": "Buenos días, ha llamado a la consulta del doctor García. ¿En qué puedo ayudarle?",
    "fr": "Bonjour, vous êtes bien au cabinet du docteur Martin. Comment puis-je vous aider ?",
    "it": "Buongiorno, questo è lo studio del dottor Rossi. Come posso aiutarla?",
}
VOICE = Pico()


def spoken(text: str, language: str, voice: str = "heart", speed: float = 1.0) -> Pcm:
    return np.concatenate((np.zeros(0, np.int16), *VOICE.speak(Speak(text, voice, speed, language=language))))


def pitch_hz(pcm: Pcm) -> float:
    """The mean pitch of what is voiced: where each 40 ms repeats itself best, from 60 to 400 Hz."""
    frames = pcm[: pcm.size // 960 * 960].reshape(-1, 960).astype(float)
    spectrum = np.fft.rfft(frames - frames.mean(1, keepdims=True), 2_048)
    likeness = np.fft.irfft(np.abs(spectrum) ** 2)[:, :400]
    best = 60 + likeness[:, 60:].argmax(1)
    voiced = (likeness[:, 0] > 1e9) & (likeness[np.arange(len(best)), best] > 0.5 * likeness[:, 0])
    return RATE_HZ / float(np.median(best[voiced]))


@pytest.fixture
def without_pico(monkeypatch):
    monkeypatch.setattr(pico, "find_spec", lambda name: None)


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_sound_at_a_telephones_level_without_silence_around_it(language):
    pcm = spoken(SENTENCES[language], language)
    assert 4 < pcm.size / RATE_HZ < 8
    active = [block for block in np.array_split(pcm.astype(float), 20) if block.std() > 500]
    assert -23 < 20 * np.log10(np.mean([block.std() for block in active]) / 32_768) < -17
    assert np.abs(pcm).max() < 32_000, "nothing is clipped"
    assert np.abs(pcm[: RATE_HZ // 20]).max() > 100
    assert np.abs(pcm[-RATE_HZ // 20 :]).max() > 30


def test_the_languages_differ():
    made = [spoken("Angela Merkel", language) for language in SENTENCES]
    assert len({pcm.size for pcm in made}) == len(made)


def test_the_same_sentence_gives_the_same_samples_whatever_was_in_memory_before():
    """Pico reads memory that it never wrote; replies are kept as what they would be again."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        pytest.skip("this C library does not let us fill the memory")
    first = spoken(SENTENCES["de"], "de")
    mallopt(M_PERTURB, 0x5A)  # all memory that is given out is full of 0xA5
    try:
        again = spoken(SENTENCES["de"], "de")
    finally:
        mallopt(M_PERTURB, 0)
    np.testing.assert_array_equal(again, first)


def test_speed_and_voice_are_heard():
    text = SENTENCES["de"]
    own, fast, slow = (spoken(text, "de", speed=speed).size for speed in (1.0, 2.0, 0.5))
    assert fast == pytest.approx(own / 2, rel=0.25)
    assert slow == pytest.approx(own * 2, rel=0.25)
    low, heart, high = (pitch_hz(spoken(text, "de", voice)) for voice in ("onyx", "heart", "ono_anna"))
    assert low < 0.7 * heart
    assert high > 1.1 * heart


def test_chunks_are_such_as_are_sent_at_once():
    chunks = list(VOICE.speak(Speak(SENTENCES["de"], language="de")))
    assert all(chunk.dtype == np.int16 and 480 <= chunk.size <= 4_800 for chunk in chunks)


def test_what_pico_takes_for_its_own_marks_is_read():
    assert spoken("Wenn a < b und c > d ist, dann gut.", "de").size > spoken("Wenn a b", "de").size
    assert spoken("vor\x00nach", "de").size > spoken("vor", "de").size


@pytest.mark.parametrize("text", ["...", "你好", "😀", ""])
def test_a_text_without_sounds_is_none(text):
    assert spoken(text, "de").size == 0


async def test_without_the_package_no_other_language_is_claimed(without_pico):
    engine = HibariEngine()
    assert all(voice.languages == ("en",) for voice in engine.voices())
    with pytest.raises(UnspeakableText, match="English only, not 'de'"):
        await anext(engine.stream("Guten Tag.", Style(language="de")))


async def test_with_it_those_four_are_and_no_more():
    engine = HibariEngine()
    assert all(voice.languages == ("en", "de", "es", "fr", "it") for voice in engine.voices())
    with pytest.raises(UnspeakableText, match="en, de, es, fr, it, not 'pt'"):
        await anext(engine.stream("Bom dia.", Style(language="pt")))


def test_the_serving_process_does_not_load_it():
    code = "import sys, engine.hibari as hibari; hibari.HibariEngine().voices(); print('py_nanotts' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
