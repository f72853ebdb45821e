"""One sentence: what is asked for, where it is in the batch, how much of it has been made and heard, why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from engine.qwen3.batch.end_guard import EndGuard
from engine.qwen3.messages import Speak
from engine.qwen3.model.prompt import Prompt
from engine.qwen3.model.sampling import Sampling

FRAME_S: Final = 0.08
"""What one frame sounds for."""
CHUNK_RAMP: Final = (1, 2, 4, 8)
"""Frames of the first, second, … chunk; the last one goes on. The first sound is early, the later ones cost less."""
PATIENCE_S: Final = 1.0
"""A sentence that nobody listens to live goes without a frame for this long at most while there is room at all."""


def chunk_frames(chunks: int) -> int:
    """How many frames are wanted for the chunk that comes after so many others."""
    return CHUNK_RAMP[min(chunks, len(CHUNK_RAMP) - 1)]


class End(Enum):
    """Why a sentence is over."""

    SPOKEN = "spoken"
    BUDGET = "budget"
    GUARD = "guard"
    INVALID_CODE = "invalid_code"
    """A code was drawn that may not be: nothing that follows it would be speech."""


@dataclass(eq=False, slots=True)
class Sentence:
    """One sentence, from the request for it to its last sound.

    The worker makes it and builds its prompt, a runner gives it a slot and makes its frames, the scheduler says when.
    """

    request: Speak
    needed_at_s: float = 0.0
    """When its sound has to be there, on the worker's clock."""

    number: int = field(init=False)
    priority: int = field(init=False)
    """Lower goes first."""

    # What is spoken: known once `build` has been called, before a runner gets it.
    prompt: Prompt = field(init=False, repr=False)
    sampling: Sampling = field(init=False, repr=False)
    text_tokens: int = 0

    # Its place in the batch, and when it has to end there.
    slot: int = -1
    blocked: bool = False
    """Its prompt is not worked off yet."""
    budget: int = 0
    """The most frames that it may take."""
    guard: EndGuard = field(init=False, repr=False)

    # How far it is, in frames.
    made: int = 0
    """Frames, of which the last may not have left the GPU."""
    sounded: int = 0
    """Those that are being decoded to sound or have been."""
    handed_out: int = 0
    """Those whose sound has been handed out, where that comes later."""
    chunks: int = 0
    """Batches of sound that the sounded frames went into."""
    codes: list[Sequence[int]] = field(default_factory=list, repr=False)
    """Each frame's codes that have reached the host: code 0 alone where the sound is made from what the GPU has."""

    # What the scheduler goes by, on its runner's clock.
    arrived_s: float = 0.0
    """When it came into the batch."""
    begun_s: float | None = None
    """When its first sound was handed over: its playback begins then at the earliest."""
    last_s: float = 0.0
    """When it last got a frame, or came."""
    finished: bool = False
    """No more frames are to be made: what is left is to be sounded."""

    # How it ends.
    end: End | None = None
    length: int | None = None
    """How many frames it has, once that is known: later ones, made meanwhile, are no sound of it."""

    def __post_init__(self) -> None:
        self.number, self.priority = self.request.number, self.request.priority

    def build(self, prompt: Prompt, sampling: Sampling, text_tokens: int) -> Sentence:
        """Says what is spoken; returns the sentence."""
        self.prompt, self.sampling, self.text_tokens = prompt, sampling, text_tokens
        return self

    @property
    def built(self) -> bool:
        return self.text_tokens > 0

    @property
    def position(self) -> int:
        """Where the talker reads next."""
        return self.prompt.last + self.made

    @property
    def waiting(self) -> int:
        """Frames made and not yet sounded."""
        return self.made - self.sounded

    @property
    def over(self) -> bool:
        """All its sound has been handed out."""
        return self.length is not None and self.handed_out >= self.length

    def runs_out_s(self, frames: int) -> float:
        """When so many frames of sound will have been played; long ago for a call that has heard nothing yet."""
        return self.arrived_s - PATIENCE_S if self.begun_s is None else self.begun_s + frames * FRAME_S
