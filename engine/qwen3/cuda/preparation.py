"""A new sentence's prompt, worked off piece by piece between the frames of those that speak already.

A named voice's prompt is there at once from what was kept of it. A voice cloned in context brings a hundred positions
and as many frames that the codec has to have heard: no step does more of them than fits between two frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from engine.qwen3.batch.sentence import CHUNK_RAMP
from engine.qwen3.cuda.prefill import PREFILL_POSITIONS, PrefillGraphs
from engine.qwen3.cuda.sound_graphs import SoundGraphs
from engine.qwen3.model.prompt import Prompt

PREPARED_OF: Final = 4
"""A step works on one prompt, and on one more for each so many that wait: their queue must not grow for ever."""
HEARD_A_STEP: Final = 4
"""The pieces of a recording that the codec hears in one step, each of eight frames at most."""


@dataclass(eq=False, slots=True)
class Preparation:
    """How far a sentence's slot has been prepared."""

    slot: int
    prompt: Prompt
    begun: bool = False
    keep: bool = False
    """True where the prompt's constant part is new, and is to be kept for later sentences."""
    position: int = 0
    """The positions whose keys and values are there."""
    heard: int = 0
    """The frames of the recording that the codec has heard."""

    @property
    def unheard(self) -> int:
        """The frames of the recording that the codec has yet to hear."""
        codes = self.prompt.reference_codes
        return 0 if codes is None else len(codes) - self.heard

    @property
    def done(self) -> bool:
        return self.begun and self.position >= self.prompt.last and not self.unheard

    def next_positions(self) -> Tensor:
        """Returns what the talker reads next of the prompt, [N, hidden]."""
        return self.prompt.embeds[self.position : min(self.prompt.last, self.position + PREFILL_POSITIONS[-1])]

    def next_codes(self) -> Tensor:
        """Returns what the codec hears next, [T, 16], T a size that has a graph, since padding would be heard too."""
        assert self.prompt.reference_codes is not None
        size = max(frames for frames in CHUNK_RAMP if frames <= self.unheard)
        return self.prompt.reference_codes[self.heard : self.heard + size]


def hear(sound: SoundGraphs, preparation: Preparation) -> None:
    """Has the codec hear one step's share of the recording, on the current stream."""
    for _ in range(HEARD_A_STEP):
        if preparation.unheard:
            codes = preparation.next_codes()
            sound.hear(preparation.slot, codes)
            preparation.heard += len(codes)


def read_prompt(graphs: PrefillGraphs, preparation: Preparation) -> None:
    """Has the talker read one step's share of the prompt, on the current stream."""
    embeds = preparation.next_positions()
    if len(embeds):
        graphs.run(preparation.slot, preparation.position, embeds)
        preparation.position += len(embeds)
