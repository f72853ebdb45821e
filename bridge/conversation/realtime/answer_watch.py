"""Watches over a speech-to-speech service that should answer, and over a silence of both sides. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable


class AnswerWatch:
    """By when a service must have begun an answer, or gone on with it, and since when nobody has spoken."""

    def __init__(self, timeout_s: float, quiet_s: float, now_s: Callable[[], float]) -> None:
        """`quiet_s` is how long both may be silent; 0 for as long as they like."""
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s or math.inf
        self._now_s = now_s
        self._answer_due_s = self._sound_due_s = math.inf
        self._quiet_since_s = math.inf

    def expect(self) -> None:
        """Notes that an answer is due."""
        self._answer_due_s = self._now_s() + self._timeout_s
        self._quiet_since_s = math.inf

    def going_on(self) -> None:
        """Notes that an answer has begun, or that more of it has come."""
        self._answer_due_s = math.inf
        self._sound_due_s = self._now_s() + self._timeout_s

    def answered(self) -> None:
        """Notes that no more of the answer will come."""
        self._sound_due_s = math.inf

    def caller_speaks(self) -> None:
        """Notes that the caller has begun to speak: what was expected is not any more."""
        self._answer_due_s = self._quiet_since_s = math.inf

    def somebody_speaks(self) -> None:
        """Notes that it is not quiet."""
        self._quiet_since_s = math.inf

    def quiet(self) -> None:
        """Notes that nobody speaks from now on."""
        self._quiet_since_s = self._now_s()

    def due_s(self) -> float:
        """Returns when something is overdue; infinity for never."""
        return min(self._answer_due_s, self._sound_due_s, self._quiet_since_s + self._quiet_s)

    @property
    def expects(self) -> bool:
        """Tells whether an answer is due."""
        return self._answer_due_s < math.inf

    @property
    def is_late(self) -> bool:
        """Tells whether the service should have been heard of by now."""
        return min(self._answer_due_s, self._sound_due_s) <= self._now_s()

    def was_quiet(self) -> bool:
        """Tells, once, whether both have been silent for too long."""
        if self._quiet_since_s + self._quiet_s > self._now_s():
            return False
        self._quiet_since_s = math.inf
        return True
