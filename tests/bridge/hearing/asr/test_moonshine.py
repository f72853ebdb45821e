"""Moonshine on a voice, where its weights are installed, and its tokens."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bridge.hearing.asr.moonshine import PACKAGE, Moonshine, read_tokens, weights
from bridge.turns.words import words
from tests.support.voices import caller_says, silence


def test_tokens_stand_behind_their_length() -> None:
    long = b"x" * 300
    assert read_tokens(b"\x02ab\x00\x01c" + bytes([128 + 300 % 128, 300 // 128]) + long) == [b"ab", b"", b"c", long]


@pytest.mark.skipif(weights() is None, reason="moonshine-voice 0.1.0 is in the extra [demo]")
def test_it_recognises_a_sentence_and_knows_when_it_does_not() -> None:
    model = Moonshine()
    said = "What time do you open on Sunday?"
    found = model.recognise(caller_says(said, 16_000).tobytes())
    assert words(found.text) == words(said)
    cough = np.random.default_rng(1).standard_normal(16_000) * np.exp(-np.arange(16_000) / 1_600) * 3_000
    for nothing in (b"", silence(500, 16_000).tobytes(), cough.astype(np.int16).tobytes()):
        assert model.recognise(nothing).text == "", "a cough must not cost the agent's answer"
    turned = model.recognise(caller_says(said, 16_000)[::-1].tobytes())
    assert turned.confidence < found.confidence - 0.1
    assert PACKAGE not in sys.modules, "its code is not imported: it is native, and can download things"
