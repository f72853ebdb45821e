"""One sentence: what was asked for, its place in the batch, how much of it has been made, why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from engine.qwen3.batch.end_guard import EndGuard
from engine.qwen3.messages import Speak
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling
from engine.speech import Pcm

FRAME_S: Final = 0.08
"""The duration of one codec frame."""
CHUNK_RAMP: Final = (1, 2, 4, 8)
"""Frames of the first, second, … chunk; the last one goes on. The first sound is early, the later ones cost less."""
PATIENCE_S: Final = 1.0
"""A sentence that nobody listens to live goes without a frame for this long at most while there is room at all."""


def chunk_frames(chunks: int) -> int:
    """Returns how many frames are wanted for the chunk that comes after so many others."""
    return CHUNK_RAMP[min(chunks, len(CHUNK_RAMP) - 1)]


class End(Enum):
    """Why a sentence is over."""

    SPOKEN = "spoken"
    BUDGET = "budget"
    GUARD = "guard"
    INVALID_CODE = "invalid_code"
    """A code was drawn that may not be drawn: nothing after it would be speech."""


@dataclass(eq=False, slots=True)
class Sentence:
    """One sentence, from the request for it to its last sound.

    The worker makes it and builds its prompt, a runner gives it a slot and makes its frames, the scheduler says when.
    """

    request: Speak
    needed_at_s: float = 0.0
    """When its sound is needed, on the worker's clock."""

    number: int = field(init=False)
    priority: int = field(init=False)
    """The sentence with the lower number goes first."""

    # What is spoken: known once `build` has been called, before a runner gets it.
    prompt: Prompt = field(init=False, repr=False)
    sampling: Sampling = field(init=False, repr=False)
    text_tokens: int = 0

    # Its place in the batch, and when it has to end there.
    slot: int = -1
    blocked: bool = False
    """True while its prompt is not worked off yet."""
    budget: int = 0
    """The most frames that it may have."""
    guard: EndGuard = field(init=False, repr=False)

    # How far it is, in frames.
    made: int = 0
    """Frames made; the last of them may not have left the GPU."""
    sounded: int = 0
    """Frames that are being decoded to sound or have been."""
    handed_out: int = 0
    """Frames whose sound has been handed out. The fast runner alone counts them: it hands out one step later."""
    chunks: int = 0
    """Chunks of sound that the sounded frames went into."""
    rest: Pcm = field(default_factory=lambda: np.zeros(0, np.int16), repr=False)
    """What follows on the sound handed out if that was the last of it: none but in narrowband."""
    codes: list[Sequence[int]] = field(default_factory=list, repr=False)
    """The codes of each frame that have reached the host; code 0 alone where the sound is made from the GPU's copy."""

    # What the scheduler decides by; times are on the runner's clock.
    arrived_s: float = 0.0
    """When it came into the batch."""
    begins_s: float = 0.0
    """Its playback begins then at the earliest, where that is known ahead."""
    begun_s: float | None = None
    """When its first sound was handed out: its playback begins then at the earliest."""
    last_s: float = 0.0
    """When it last got a frame, or else when it came."""
    finished: bool = False
    """True once no more frames are to be made; those made may still have to be decoded."""

    # How it ends.
    end: End | None = None
    length: int | None = None
    """How many frames it has, once that is known. Later ones, made meanwhile, are dropped."""

    def __post_init__(self) -> None:
        self.number, self.priority = self.request.number, self.request.priority

    def build(self, prompt: Prompt, sampling: Sampling, text_tokens: int) -> Sentence:
        """Sets what is spoken. Returns the sentence."""
        self.prompt, self.sampling, self.text_tokens = prompt, sampling, text_tokens
        return self

    @property
    def built(self) -> bool:
        """Whether `build` has been called."""
        return self.text_tokens > 0

    @property
    def position(self) -> int:
        """The position at which the talker reads next."""
        return self.prompt.last + self.made

    @property
    def waiting(self) -> int:
        """Frames made and not yet decoded to sound."""
        return self.made - self.sounded

    @property
    def over(self) -> bool:
        """Whether all its sound has been handed out."""
        return self.length is not None and self.handed_out >= self.length

    def runs_out_s(self, frames: int) -> float:
        """Returns when so many frames will have been played; a time long past for a call that waits for its first.

        What was heard already is not played: frames have to be made for it as if it had been heard too late.
        """
        if self.begun_s is None and self.begins_s <= self.arrived_s:
            return self.arrived_s - PATIENCE_S
        return max(self.begins_s, self.begun_s or 0.0) + frames * FRAME_S - self.request.heard_s
