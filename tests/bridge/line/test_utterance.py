"""The heard text of an utterance, to the word, and how much of its audio is kept."""

from bridge.line.utterance import Utterance

RATE_HZ = 8_000
FRAME = 160


def opened():
    utterance = Utterance()
    utterance.open(RATE_HZ)
    return utterance


def hear(utterance, frames):
    for _ in range(frames):
        utterance.take(FRAME)


def test_heard_text_is_exact_by_sentence_and_by_share_within_one():
    utterance = opened()
    utterance.write(bytes(2 * FRAME * 10), "One two three. ")
    utterance.write(bytes(2 * FRAME * 10), "Four five six seven.")
    utterance.end()
    assert utterance.heard_text() == ""
    hear(utterance, 10)
    assert utterance.heard_text() == "One two three. "
    hear(utterance, 5)
    assert utterance.heard_text() == "One two three. Four five "
    hear(utterance, 5)
    assert utterance.heard_text() == "One two three. Four five six seven."


def test_heard_text_is_exact_by_word_where_words_come_with_their_audio():
    utterance = opened()
    utterance.write(bytes(2 * FRAME * 10), "Incomprehensibilities, ")
    utterance.write(bytes(2 * FRAME * 2), "I ")
    utterance.write(bytes(2 * FRAME * 6), "say.")
    utterance.end()
    hear(utterance, 4)
    assert utterance.heard_text() == "", "not yet half of it"
    hear(utterance, 1)
    assert utterance.heard_text() == "Incomprehensibilities, "
    hear(utterance, 6)
    assert utterance.heard_text() == "Incomprehensibilities, I "
    hear(utterance, 4)
    utterance.cut()
    assert utterance.heard_text() == "Incomprehensibilities, I say."


def test_text_without_audio_of_its_own_is_heard_with_what_was_before_it():
    utterance = opened()
    utterance.write(bytes(2 * FRAME * 2), "One ")
    utterance.write(b"", "two. ")
    utterance.write(bytes(2 * FRAME * 4), "Three.")
    utterance.write(b"", " Four")
    utterance.end()
    hear(utterance, 3)
    assert utterance.heard_text() == "One two. "
    hear(utterance, 3)
    utterance.done = True
    assert utterance.heard_text() == "One two. Three. Four"


def test_what_is_played_again_is_not_heard_twice():
    utterance = opened()
    for word in ("One ", "two ", "three."):
        utterance.write(bytes(2 * FRAME * 5), word)
    utterance.end()
    hear(utterance, 10)
    assert utterance.heard_text() == "One two "
    utterance.rewind(100)
    hear(utterance, 5)
    assert utterance.heard_text() == "One two "


def test_a_sentence_still_being_made_is_not_taken_for_heard():
    utterance = opened()
    utterance.write(
        bytes(2 * FRAME * 10), "A long sentence of which only the beginning has been made so far by the engine."
    )
    hear(utterance, 10)
    assert utterance.heard_text() in ("A ", "A long ")


def test_long_speech_is_forgotten_as_it_is_played_but_words_can_still_be_repeated():
    utterance = opened()
    utterance.write(bytes(2 * RATE_HZ * 60))
    hear(utterance, 50 * 59)
    assert len(utterance._audio) < 2 * RATE_HZ * 6
    utterance.rewind(1_000)
    assert utterance.played_ms == 58_000


def test_a_pause_belongs_to_no_word():
    utterance = opened()
    utterance.write(bytes(2 * FRAME * 5), "No. ")
    utterance.write(bytes(2 * FRAME * 10), is_pause=True)
    utterance.write(bytes(2 * FRAME * 5), "Yes.")
    utterance.end()
    hear(utterance, 6)
    assert utterance.heard_text() == "No. "
    hear(utterance, 9)
    assert utterance.heard_text() == "No. "
    hear(utterance, 5)
    assert utterance.heard_text() == "No. Yes."


def test_a_pause_in_the_text_is_not_taken_for_slow_speech():
    paces = []
    for pause in (1, 500):
        utterance = opened()
        utterance.write(bytes(2 * FRAME * 10), "One two. ")
        utterance.write(bytes(2 * FRAME * pause), " ")
        utterance.write(bytes(2 * FRAME * 10), "Three.")
        utterance.end()
        hear(utterance, 10 + pause // 2)
        assert utterance.heard_text().strip() == "One two."
        paces.append(utterance.pace())
    assert paces[0] == paces[1]
