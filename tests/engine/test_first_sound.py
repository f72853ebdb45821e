"""An engine that makes silence of words is noticed, and nobody hears that silence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from engine.fallback import FallbackEngine
from engine.first_sound import FLOOR, LONGEST_S, FirstSound, Soundless
from engine.pipeline import speak
from engine.speech import Engine, Pcm, Priority, Style
from tests.support.fakes import LEVEL, FakeEngine

RATE_HZ = FakeEngine.sample_rate_hz


class Scripted(FakeEngine):
    """Makes these pieces of every sentence, and tells two words before the first."""

    name = "scripted"

    def __init__(self, *pieces: Pcm) -> None:
        super().__init__()
        self._pieces = pieces

    async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        if style.on_word_starts is not None:
            style.on_word_starts([0, 100])
        for piece in self._pieces:
            yield piece


def silence(seconds: float, level: int = 0) -> Pcm:
    """A hum that nobody hears, up and down."""
    return np.resize(np.array([level, -level], np.int16), round(seconds * RATE_HZ))


SOUND = silence(0.1, LEVEL)


async def heard(engine: Engine, text: str, style: Style, pieces: list[Pcm] | None = None) -> list[Pcm]:
    """All of its sound; with `pieces`, also what came before an error."""
    pieces = [] if pieces is None else pieces
    async for chunk in speak(engine, text, style):
        pieces.append(chunk.pcm)
    return pieces


@pytest.mark.parametrize(
    "made",
    [(), (silence(0.5),), (silence(0.5), silence(0.5, FLOOR)), (silence(LONGEST_S), silence(60.0))],
    ids=["nothing", "zeros", "less than a line carries", "endless"],
)
async def test_silence_in_place_of_words_is_an_error_and_is_not_heard(made: tuple[Pcm, ...]) -> None:
    pieces: list[Pcm] = []
    with pytest.raises(Soundless):
        await heard(Scripted(*made), "Hello.", Style(), pieces)
    assert not pieces


async def test_a_caller_hears_the_spare_engine_instead_and_it_is_counted() -> None:
    engine = FallbackEngine(Scripted(silence(0.5)), FakeEngine())
    assert (np.concatenate(await heard(engine, "Hello.", Style())) == LEVEL).all()
    assert engine.status().sentences_by_spare == 1


async def test_an_http_request_gets_an_error_in_place_of_a_silent_file() -> None:
    engine = FallbackEngine(Scripted(silence(0.5)), FakeEngine())
    with pytest.raises(Soundless):
        await heard(engine, "Hello.", Style(priority=Priority.HTTP))


async def test_a_sound_after_a_silence_is_passed_on_with_it() -> None:
    made = (silence(0.3), silence(0.3), SOUND, silence(0.2), SOUND)
    assert (np.concatenate(await heard(Scripted(*made), "Hello.", Style())) == np.concatenate(made)).all()


async def test_of_what_has_no_words_no_sound_is_asked() -> None:
    sound = FirstSound("…?", RATE_HZ)
    assert list(map(len, sound.take(silence(5.0)))) == [5 * RATE_HZ]
    sound.end()


async def test_the_words_of_the_spare_engine_are_told_and_not_those_of_the_silent_one() -> None:
    told: list[int] = []

    class Spare(Scripted):
        async def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
            assert style.on_word_starts is not None
            style.on_word_starts([0, 900])
            yield SOUND

    def tell(starts: Sequence[int]) -> None:
        told.extend(starts)

    style = Style(on_word_starts=tell)
    silent = FallbackEngine(Scripted(silence(0.5)), Spare())
    assert [pcm.size async for pcm in silent.stream("Good day.", style)] == [SOUND.size]
    assert told == [0, 900]
    told.clear()
    speaking = FallbackEngine(Scripted(silence(0.5), SOUND), Spare())
    assert [pcm.size async for pcm in speaking.stream("Good day.", style)] == [silence(0.5).size, SOUND.size]
    assert told == [0, 100]
