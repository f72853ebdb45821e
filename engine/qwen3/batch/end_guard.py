"""Decides when a sentence must stop that does not stop by itself: the model misses about one end in 300."""

from __future__ import annotations

from typing import Final

# Speech takes 3 to 4 frames a token of text, slow and expressive speech twice that. Short texts are given a start.
FRAMES_PER_TOKEN: Final = 8
FRAMES_AT_LEAST: Final = 40
# A pause within a sentence is rarely longer than a second.
SILENT_FRAMES: Final = 19
SILENCE_DBFS: Final = -50.0
# The same code 0 for this long is a held tone or noise; the longest vowel is shorter.
STUCK_FRAMES: Final = 38


def frame_budget(text_tokens: int, room: int) -> int:
    """Returns how many frames of 80 ms a text may take. room: the positions left behind its prompt."""
    return max(1, min(FRAMES_AT_LEAST + FRAMES_PER_TOKEN * text_tokens, room))


class EndGuard:
    """Watches one sentence, frame by frame, for signs that it is over though no end was drawn."""

    def __init__(self, text_frames: int) -> None:
        """text_frames: the number of frames after which all the text has gone in."""
        self._text_frames = text_frames
        self._frames = 0
        self._silent = 0
        self._spoken = False
        self._code = -1
        self._same = 0

    def over(self, code: int, level_dbfs: float) -> str | None:
        """Returns why to stop after this frame; None to go on. code: its code 0; level_dbfs: its RMS level."""
        self._frames += 1
        silent = level_dbfs < SILENCE_DBFS
        self._silent = self._silent + 1 if silent else 0
        self._spoken |= not silent
        self._same = self._same + 1 if code == self._code else 1
        self._code = code
        if self._frames < self._text_frames:
            return None
        if self._spoken and self._silent >= SILENT_FRAMES:
            return "silence"
        if self._same >= STUCK_FRAMES:
            return "stuck"
        return None
