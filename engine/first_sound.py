"""Notices an engine that makes nothing but silence where there are words to be said. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from engine.speech import Pcm, SpeechError, Style

FLOOR: Final = 32
"""The loudest sample of what counts as silence, -60 dBFS: two steps of A-law, where nobody hears anything."""
LONGEST_S: Final = 2.0
"""An engine trims the silence before a sentence, so one that makes so much of it has no sound to come."""


class Soundless(SpeechError):
    """The engine has made silence of words."""

    def __init__(self) -> None:
        super().__init__("the engine has made nothing but silence")


class FirstSound:
    """Holds back what an engine tells and makes of one sentence until there is a sound in it."""

    def __init__(self, sentence: str, sample_rate_hz: int) -> None:
        self._heard = not any(map(str.isalnum, sentence))
        """Whether there was a sound; of a sentence without words none is asked."""
        self._held: list[Pcm] = []
        self._left = round(LONGEST_S * sample_rate_hz)
        self._tell: Callable[[Sequence[int]], None] | None = None
        self._starts: list[int] = []
        """The beginnings of words that were told before any sound."""

    def style(self, style: Style) -> Style:
        """Returns the style with which the engine is to be asked, so that it tells no words that it does not make."""
        self._tell = style.on_word_starts
        return style if self._tell is None else replace(style, on_word_starts=self._word_starts)

    def take(self, pcm: Pcm) -> Sequence[Pcm]:
        """Returns what may be passed on now that this piece was made. Raises Soundless after too much silence."""
        if self._heard:
            return (pcm,)
        self._held.append(pcm)
        if pcm.size and (pcm.max() > FLOOR or pcm.min() < -FLOOR):
            self._heard = True
            self._word_starts(())
            return self._held
        self._left -= pcm.size
        if self._left < 0:
            raise Soundless
        return ()

    def end(self) -> None:
        """Takes the end of the sentence. Raises Soundless if no sound has come."""
        if not self._heard:
            raise Soundless

    def _word_starts(self, starts: Sequence[int]) -> None:
        self._starts += starts
        if self._heard and self._starts and self._tell is not None:
            told, self._starts = self._starts, []
            self._tell(told)
