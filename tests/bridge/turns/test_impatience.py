"""Who only asks if anybody is there has made their sound before they can have known of the answer."""

from __future__ import annotations

from bridge.turns.impatience import MOST_SOUNDS, REACTION_S, Impatience


def test_a_sound_counts_by_when_it_began_and_not_by_when_its_words_came() -> None:
    impatience = Impatience()
    impatience.sound_began(1.0)
    impatience.heard(2.0)
    assert impatience.was_late(5.0)
    assert impatience.words_complete(5.0)


def test_the_words_of_two_sounds_are_told_apart_in_their_order() -> None:
    impatience = Impatience()
    impatience.sound_began(1.0)
    impatience.heard(2.0)
    impatience.sound_began(2.0 + REACTION_S)
    assert impatience.words_complete(6.0), "the first was begun before the answer"
    assert not impatience.words_complete(6.0), "the second by somebody who heard it"


def test_words_without_a_sound_before_them_count_as_of_now() -> None:
    impatience = Impatience()
    impatience.heard(2.0)
    assert impatience.was_late(2.5)
    assert not impatience.was_late(2.0 + REACTION_S)


def test_the_next_answer_is_waited_for_anew() -> None:
    impatience = Impatience()
    impatience.shown = True
    impatience.heard(2.0)
    impatience.sound_began(4.0)
    impatience.over()
    assert impatience.shown is False
    assert impatience.was_late(9.0), "nothing of the next answer has been heard"


def test_a_caller_whose_words_never_come_is_remembered_no_longer_than_so_many_sounds() -> None:
    impatience = Impatience()
    impatience.sound_began(1.0)
    impatience.heard(2.0)
    for number in range(MOST_SOUNDS):
        impatience.sound_began(10.0 + number)
    assert not impatience.was_late(30.0)
