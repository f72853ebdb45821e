"""One utterance: its audio, how far it was played, and which part of its text was heard. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Final

from bridge.line.heard import LETTERS_PER_SECOND, heard_words, spoken_letters

SAMPLE_BYTES: Final = 2
KEPT_BEHIND_MS: Final = 3_500
"""How much played audio is kept for `rewind`: more than any word lasts, and than it takes to know hold music."""
_ids: Final = count(1)


@dataclass(slots=True)
class _Span:
    """The place of a sentence or of a word in the audio, or of a pause, without text. It ends where the next starts."""

    text: str
    start_samples: int


@dataclass(slots=True, eq=False)
class Utterance:
    """One text on its way to the caller: its audio as it is made, and the text that the audio speaks."""

    interruptible: bool = True
    id: str = field(default_factory=lambda: f"utt_{next(_ids)}")
    rate_hz: int = 0
    """The rate of the audio, which `open` sets before the first write."""
    played_samples: int = 0
    """The number of samples handed to the wire so far."""
    ended: bool = False
    """All of its audio has been written."""
    done: bool = False
    """It has been played to its end, or cut."""
    interrupted: bool = False
    letters_per_second: float = LETTERS_PER_SECOND
    """The voice's pace, as far as it is known."""
    _audio: bytearray = field(default_factory=bytearray)
    _audio_start_samples: int = 0
    _written_samples: int = 0
    _spans: list[_Span] = field(default_factory=list)
    _heard: str | None = None
    """The heard text of an utterance that was cut. It is kept, because the cut forgets the audio not played and with it
    the sentence's length."""

    def open(self, rate_hz: int) -> None:
        """Sets the rate at which the audio will come."""
        assert not self._written_samples, "the rate is set before the first write"
        self.rate_hz = rate_hz

    def write(self, pcm: bytes, text: str = "", *, is_pause: bool = False) -> None:
        """Appends audio (16-bit little-endian mono). A non-empty `text` is the sentence or word that begins with it.

        A pause is no part of the word before it: whoever has heard all of "Yes." has heard it, however long the pause.
        """
        if self.done:
            return
        if text or (is_pause and self._spans and self._spans[-1].text.strip()):
            self._spans.append(_Span(text, self._written_samples))
        self._audio += pcm
        self._written_samples += len(pcm) // SAMPLE_BYTES

    def end(self) -> None:
        """Marks that all of its audio has been written."""
        self.ended = True

    @property
    def started(self) -> bool:
        return self.played_samples > 0

    @property
    def played_ms(self) -> int:
        return self._to_ms(self.played_samples)

    @property
    def available_samples(self) -> int:
        """The number of samples made but not played."""
        return self._written_samples - self.played_samples

    @property
    def buffered_ms(self) -> int:
        """The duration of the audio that was made but not played."""
        return self._to_ms(self.available_samples)

    def heard_text(self, until_samples: int | None = None) -> str:
        """Returns the text played so far, or of its first `until_samples`, to the word.

        What lies before the last span is known exactly; of the last span the words are counted by the share of its
        audio that was played. A word counts from its middle on, where a listener knows it more often than not.
        """
        if until_samples is None:
            until_samples = self.played_samples
            if self._heard is not None:
                return self._heard
            if self.done:
                return "".join(span.text for span in self._spans)
        heard: list[str] = []
        for index, span in enumerate(self._spans):
            played = until_samples - span.start_samples
            if played <= 0:
                break
            heard.append(heard_words(span.text, played / self._span_samples(index)))
        return "".join(heard)

    def rewind(self, ms: int) -> None:
        """Plays the last `ms` milliseconds again, as far as they are kept."""
        back = min(ms * self.rate_hz // 1000, self.played_samples - self._audio_start_samples)
        self.played_samples -= max(back, 0)

    def take(self, samples: int) -> bytes:
        """Returns the next `samples` samples of audio, fewer at the end, and advances the position."""
        pcm = self.peek(samples)
        self.played_samples += len(pcm) // SAMPLE_BYTES
        self._forget_played()
        return pcm

    def peek(self, samples: int) -> bytes:
        """Returns the next `samples` samples of audio without advancing the position."""
        start = (self.played_samples - self._audio_start_samples) * SAMPLE_BYTES
        return bytes(self._audio[start : start + samples * SAMPLE_BYTES])

    def cut(self) -> None:
        """Drops what was not played."""
        self._heard = self.heard_text()
        self.interrupted = self.done = True
        self._audio.clear()
        self._audio_start_samples = self._written_samples = self.played_samples

    def _span_samples(self, index: int) -> float:
        """Returns the length of a span's audio, guessed from its text while it is still being made."""
        start = self._spans[index].start_samples
        if index + 1 < len(self._spans):
            return max(self._spans[index + 1].start_samples - start, 1)
        written = self._written_samples - start
        if self.ended:
            return max(written, 1)
        return max(written, spoken_letters(self._spans[index].text) / self.letters_per_second * self.rate_hz, 1)

    def pace(self) -> float | None:
        """Returns the letters spoken a second, or None if the utterance was cut or is empty."""
        letters = sum(spoken_letters(span.text) for span in self._spans)
        spoken = self._written_samples - sum(
            self._span_samples(index) for index, span in enumerate(self._spans) if not span.text.strip()
        )
        if self.interrupted or not letters or spoken <= 0:
            return None
        return letters * self.rate_hz / spoken

    def _forget_played(self) -> None:
        kept = KEPT_BEHIND_MS * self.rate_hz // 1000
        behind = self.played_samples - self._audio_start_samples
        if behind > kept + self.rate_hz:  # in strides, so that the memory is seldom moved
            del self._audio[: (behind - kept) * SAMPLE_BYTES]
            self._audio_start_samples += behind - kept

    def _to_ms(self, samples: int) -> int:
        return samples * 1000 // self.rate_hz if self.rate_hz else 0


class UtteranceObserver:
    """Is told what becomes of utterances. Each method does nothing until it is overridden."""

    def sentence_begun(self, utterance: Utterance) -> None:
        """A sentence of the utterance is complete and goes to the engine."""

    def utterance_made(self, utterance: Utterance) -> None:
        """The first audio of the utterance has been made."""

    def utterance_whole(self, utterance: Utterance) -> None:
        """All of the utterance's audio has been made."""

    def utterance_started(self, utterance: Utterance) -> None:
        """The first frame of the utterance is about to leave. If an observer cuts it now, nothing of it is heard."""

    def utterance_underrun(self, utterance: Utterance) -> None:
        """A frame of silence is about to leave inside the utterance, because its audio was not made in time."""

    def utterance_done(self, utterance: Utterance) -> None:
        """The last frame of the utterance has left, or it was cut."""
