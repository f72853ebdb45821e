"""Words that are read otherwise."""

from __future__ import annotations

import tracemalloc

import pytest

from engine.lexicon import Lexicon, Reading

SEQUEL, JIF, YORK, OLD, PLUS = (Reading(say=say) for say in ("sequel", "jif", "yawk", "old yawk", "see plus plus"))
WORDS = {"en": {"SQL": SEQUEL, "gif": JIF, "York": YORK, "New York": OLD, "c++": PLUS}, "any": {"Talkspurt": YORK}}


def found(text: str, language: str = "en", lexicon: Lexicon | None = None) -> list[tuple[str, str]]:
    return [
        (text[begins:ends], reading.say) for begins, ends, reading in (lexicon or Lexicon(WORDS)).find(text, language)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use SQL, not sql.", [("SQL", "sequel")]),
        ("GIFs, a Gif and a GIF's end", [("Gif", "jif"), ("GIF", "jif")]),
        ("New York and York, in Yorkshire", [("New York", "old yawk"), ("York", "yawk")]),
        ("C++ or C+", [("C++", "see plus plus")]),
        ("talkspurt, Talkspurt!", [("Talkspurt", "yawk")]),
        ("SQL-based", [("SQL", "sequel")]),
        ("", []),
    ],
)
def test_finds_words_as_they_are_written_or_in_any_case(text: str, words: list[tuple[str, str]]) -> None:
    assert found(text) == words


def test_a_language_has_words_of_its_own() -> None:
    assert found("SQL with Talkspurt", "de") == [("Talkspurt", "yawk")]
    assert found("SQL", "en-GB") == [("SQL", "sequel")]


def test_an_agents_words_count_before_those_of_all() -> None:
    lexicon = Lexicon(WORDS, {"shop": {"any": {"SQL": JIF}, "en": {"gif": YORK}}})
    assert found("SQL gif York", lexicon=lexicon.of_agent("shop")) == [
        ("SQL", "jif"),
        ("gif", "yawk"),
        ("York", "yawk"),
    ]
    assert found("SQL", lexicon=lexicon.of_agent("desk")) == [("SQL", "sequel")]
    assert found("SQL", "de", lexicon.of_agent("shop")) == [("SQL", "jif")]


def test_the_words_of_all_are_kept_once_however_many_agents_there_are() -> None:
    """Ten thousand words and fifty agents took 6 s to read again and 130 MB, and held the event loop for 0.4 s."""
    words = {"en": {f"word{number}": SEQUEL for number in range(2_000)}}

    def bytes_with(agents: int) -> int:
        tracemalloc.start()
        kept = Lexicon(words, {str(number): {"en": {"SQL": JIF}} for number in range(agents)})
        try:
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            assert kept

    assert bytes_with(agents=50) < 2 * bytes_with(agents=0)


def test_the_longest_word_counts_whether_it_is_the_agents_or_not() -> None:
    lexicon = Lexicon(WORDS, {"shop": {"en": {"new": JIF, "York Road": PLUS, "sql": JIF}}}).of_agent("shop")
    assert found("New York, a new York Road, SQL", lexicon=lexicon) == [
        ("New York", "old yawk"),
        ("new", "jif"),
        ("York Road", "see plus plus"),
        ("SQL", "jif"),
    ]


def test_an_empty_one_is_nothing() -> None:
    assert not Lexicon()
    assert not Lexicon({"en": {}})
    assert Lexicon(WORDS)


def test_a_longer_word_with_another_beginning_hides_no_shorter_one() -> None:
    lexicon = Lexicon({"en": {"New York": OLD, "new": JIF}})
    assert found("a new one in New York", lexicon=lexicon) == [("new", "jif"), ("New York", "old yawk")]
