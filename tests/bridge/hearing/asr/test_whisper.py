"""Whisper on a voice: how long it takes goes by how long the speech is, and no word is lost at its end."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bridge.hearing.asr.whisper import Whisper, installed
from bridge.turns.words import words
from tests.support.voices import caller_says, silence

pytestmark = pytest.mark.skipif(not installed("en"), reason="faster-whisper and its weights are in the extra [demo]")


SENTENCES = (
    "I would like to speak to the sales department.",
    "I have a question about my invoice.",
    "Could you tell me your opening hours?",
    "I need to change my appointment to next Thursday.",
)


def test_a_sentence_is_recognised_sooner_than_a_speech_and_both_to_the_end() -> None:
    model, took_s = Whisper("en"), []
    for count in (1, 4):
        said = [part for text in SENTENCES[-count:] for part in (caller_says(text, 16_000), silence(200, 16_000))]
        pcm = np.concatenate(said).tobytes()
        model.recognise(pcm)  # which warms it up
        begun_s = time.process_time()
        heard = words(model.recognise(pcm).text)
        took_s.append(time.process_time() - begun_s)
        assert heard[-3:] == ["to", "next", "thursday"]
        assert abs(len(heard) - len(words(" ".join(SENTENCES[-count:])))) <= 3, "nothing is left out, or told twice"
    assert took_s[0] < took_s[1], "whoever has said one sentence waits for no more than that"
