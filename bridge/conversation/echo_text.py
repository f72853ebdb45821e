"""Keeps the agent's own words, when they come back as the caller's, from interrupting it or being answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from bridge.hearing.events import Heard, Partial, SpeechStarted, Transcript
from bridge.line.call import CallObserver
from bridge.line.utterance import Utterance
from bridge.turns.echo_words import is_echo
from bridge.turns.words import words

ECHO_LATE_S: Final = 1.0
"""How long before a sound is noticed the agent may have said what it is the echo of: half of it for the way, half for
the detector."""
UNNOTICED_S: Final = 3.0
"""The same for words of which no beginning was told."""
WORD_MS: Final = 300
"""How much of the agent's speech is looked at that has not been played: the rest of a word that was cut off."""
REMEMBERED_FRAMES: Final = 500
"""How many frames of the agent's sound are remembered: the last ten seconds."""


class EchoText(CallObserver):
    """Compares what is heard in one call with what the agent was saying at the time."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._playing: Utterance | None = None
        self._frames: deque[tuple[float, Utterance, int]] = deque(maxlen=REMEMBERED_FRAMES)
        """When each frame of the agent's left, in which utterance, and where in it the frame ends."""
        self._onset_s: float | None = None
        """When the sound began whose words have not been told in full."""

    def without_echo(self, event: Heard) -> Heard | None:
        """Returns what is left of an event: nothing of an echo's partial words, no words of its transcript."""
        if isinstance(event, SpeechStarted):
            if self._onset_s is None or self._onset_s < self._now_s() - UNNOTICED_S:
                self._onset_s = self._now_s()
        elif isinstance(event, Partial):
            return None if self._is_echo(event.text) else event
        elif isinstance(event, Transcript):
            echo = self._is_echo(event.text)
            self._onset_s = None
            return Transcript("", event.audio_start_ms) if echo else event
        return event

    def said_since(self, at_s: float) -> str:
        """Returns the words that the agent has said from `at_s` on, as far back as is remembered."""
        begins: dict[Utterance, int] = {}
        ends: dict[Utterance, int] = {}
        for left_s, utterance, end_samples in self._frames:
            if left_s >= at_s:
                begins.setdefault(utterance, end_samples)
                ends[utterance] = end_samples
        texts = []
        for utterance, begin in begins.items():
            until = ends[utterance] + WORD_MS * utterance.rate_hz // 1000
            texts.append(utterance.heard_text(until)[len(utterance.heard_text(begin)) :])
        return " ".join(texts)

    def _is_echo(self, text: str) -> bool:
        if not text or not self._frames:
            return False
        now_s = self._now_s()
        since_s = now_s - UNNOTICED_S if self._onset_s is None else self._onset_s - ECHO_LATE_S
        return is_echo(words(text), words(self.said_since(since_s)))

    def utterance_started(self, utterance: Utterance) -> None:
        self._playing = utterance

    def frame_sent(self, pcm: bytes, rate_hz: int) -> None:
        playing = self._playing
        if playing is None:
            return
        if not self._frames or self._frames[-1][1:] != (playing, playing.played_samples):
            self._frames.append((self._now_s(), playing, playing.played_samples))
        if playing.done:
            self._playing = None
