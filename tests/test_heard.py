"""From a share of the audio to the words heard."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.heard import heard_words, spoken_letters

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
