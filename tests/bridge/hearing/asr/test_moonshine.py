"""Moonshine on a voice, where its weights are installed, and its tokens."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from bridge.hearing.asr.moonshine import DRAFT_BYTES, PACKAGE, Moonshine, read_tokens, weights
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


@pytest.mark.skipif(weights() is None, reason="moonshine-voice 0.1.0 is in the extra [demo]")
def test_what_was_heard_before_makes_the_next_look_shorter_and_no_other() -> None:
    said = "I would like to speak to the sales department."
    pcm = caller_says(said, 16_000).tobytes()
    model, steps = Moonshine(), 0
    run = model._decoder.run

    def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return run(*args)

    model._decoder = Mock(run=counted)
    anew = model.recognise(pcm)
    steps_anew, steps = steps, 0
    assert model.recognise(pcm).text == anew.text
    assert steps <= 4, f"of {steps_anew}: the draft, what the model is not sure of, and the end"
    other = caller_says("What time do you open on Sunday?", 16_000).tobytes()
    model._drafts[other[:DRAFT_BYTES]] = model._drafts[pcm[:DRAFT_BYTES]]
    assert words(model.recognise(other).text) == words("What time do you open on Sunday?"), "a draft is no answer"
