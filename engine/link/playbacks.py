"""How far those who listen are behind what is made for them; no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Playback:
    needed_at_s: float | None
    """Nobody hears the sentence before: the one before it is being played. None where nobody hears it as it is made."""
    begins_s: float | None = None
    made_s: float = 0.0


class Playbacks:
    """The sentences that are being made, each of which is played from its first sound on, or once it is needed."""

    def __init__(self) -> None:
        self._playbacks: dict[object, _Playback] = {}

    def __len__(self) -> int:
        return len(self._playbacks)

    def begin(self, sentence: object, needed_at_s: float | None) -> None:
        """Notes that a sentence is asked for; with None as one that no caller waits for."""
        self._playbacks[sentence] = _Playback(needed_at_s)

    def made(self, sentence: object, seconds: float, now_s: float) -> None:
        """Notes that so much of its sound was made."""
        playback = self._playbacks[sentence]
        if playback.begins_s is None and playback.needed_at_s is not None:
            playback.begins_s = max(now_s, playback.needed_at_s)
        playback.made_s += seconds

    def end(self, sentence: object) -> None:
        """Notes that all of it was made, or that nobody listens any more."""
        self._playbacks.pop(sentence, None)

    def slack_s(self, now_s: float) -> float | None:
        """Returns the least that any listener has left to hear; None where no sentence has sounded yet."""
        left = [each.begins_s + each.made_s - now_s for each in self._playbacks.values() if each.begins_s is not None]
        return min(left, default=None)
