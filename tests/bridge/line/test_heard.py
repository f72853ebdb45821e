"""The words heard for a share of the audio that was played."""

from bisect import bisect_right
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.line.heard import heard_words, spoken_letters
from engine.hibari.messages import Speak
from engine.hibari.synthesis import Synthesizer

TEXT = "Your order of 25 chairs ships on Monday, and it arrives by Friday. "


def test_nothing_and_everything():
    assert heard_words(TEXT, 0.0) == ""
    assert heard_words(TEXT, 1.0) == TEXT


def test_a_word_counts_once_half_of_it_was_heard():
    share_of_first = spoken_letters("Your ") / spoken_letters(TEXT)
    assert heard_words(TEXT, share_of_first * 0.4) == ""
    assert heard_words(TEXT, share_of_first * 0.6) == "Your "


def test_digits_take_longer_than_letters():
    assert spoken_letters("25") > spoken_letters("of")


@given(st.text(max_size=80), st.floats(0, 1))
def test_always_a_beginning_of_the_text_that_grows_with_the_share(text, share):
    heard = heard_words(text, share)
    assert text.startswith(heard)
    assert len(heard_words(text, share / 2)) <= len(heard)


SENTENCES = [
    "Good morning, and thank you for calling the town library.",
    "Your appointment is on Monday, the third of June, at half past nine.",
    "The museum opens at nine in the morning and closes at six in the evening.",
    "There is a garden behind the house, with old trees, a small pond, and benches in the shade.",
    "The restaurant on the second floor serves breakfast, lunch and dinner to everybody who visits us.",
    "You can leave your coat and your bag with the friendly people at the front desk, free of charge.",
    "The next guided tour begins in twenty minutes and takes about one hour and a half to finish.",
    "I will put you through to my colleague in the sales department now.",
]


def test_the_share_is_right_to_a_word_at_nearly_every_place_of_a_sentence():
    """The guess serves engines that do not tell when their words begin; it is compared with hibari, which does."""
    synthesizer = Synthesizer()
    off = []
    for text in SENTENCES:
        starts: list[int] = []
        samples = sum(chunk.size for chunk in synthesizer.speak(Speak(text), starts.extend))
        middles = [(start + end) / 2 for start, end in pairwise([*starts, samples])]
        off += [
            len(heard_words(text, played / samples).split()) - bisect_right(middles, played)
            for played in range(0, samples, 480)
        ]
    print(
        f"{np.mean(np.abs(off) <= 1):.1%} of {len(off)} places right to a word, {np.mean(np.array(off) == 0):.1%} exact"
    )
    assert np.mean(np.abs(off) <= 1) >= 0.97
    assert np.max(np.abs(off)) <= 3
