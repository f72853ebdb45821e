"""One codec frame of 80 ms for a batch: talker step, sampling, 15 predictor forwards, next input.

This is the unit that a CUDA graph replays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.qwen3.model import predictor, talker
from engine.qwen3.model.layers import run_layer
from engine.qwen3.model.sampling import SamplingRows, choose, gumbel_noise, penalize
from engine.qwen3.model.state import DecodeState
from engine.qwen3.model.weights import PredictorWeights, TalkerWeights

CONTROL_CODES: Final = 1024
"""The number of control codes, the last ones of the talker's vocabulary; only end of speech is ever drawn of them."""
MIN_FRAMES: Final = 2
"""The frames before end of speech may be drawn, as upstream's min_new_tokens."""


@dataclass(frozen=True, slots=True)
class FrameModel:
    """All that `decode_frame` reads and never writes."""

    talker: TalkerWeights
    predictor: PredictorWeights
    pad: Tensor  # [hidden]: the projected tts_pad embedding, added once the text has all gone in
    allowed: Tensor  # [3072] bool: what code 0 may be, end of speech included
    eos: int  # end of speech, 2150
    layer_of: Callable[..., Tensor] = run_layer  # or one that compile.py made

    @staticmethod
    def build(talker: TalkerWeights, predictor: PredictorWeights, pad: Tensor, eos: int) -> FrameModel:
        vocabulary = talker.embedding.shape[0]
        allowed = torch.arange(vocabulary, device=pad.device) < vocabulary - CONTROL_CODES
        allowed[eos] = True
        return FrameModel(talker, predictor, pad, allowed, eos)

    def valid(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tells of each frame, [B, 16] in host memory, whether all its codes are ones that may be drawn."""
        first, others = codes[:, 0], codes[:, 1:]
        sounding = (first >= 0) & (first < self.talker.embedding.shape[0] - CONTROL_CODES)
        in_table = (others >= 0) & (others < self.predictor.embeddings.shape[1])
        valid: NDArray[np.bool_] = (sounding | (first == self.eos)) & in_table.all(1)
        return valid


def decode_frame(model: FrameModel, state: DecodeState, slots: Tensor, kv_length: int, codes: Tensor) -> None:
    """Makes the next frame of B slots, and what each of them needs for the one after.

    slots [B] int64, different but for the scratch slot; kv_length: static, more than every row's position;
    codes [B, 16] int64, written: where code 0 is `model.eos` the call has ended and the other codes mean nothing.
    Works in place on `state`; no host sync.
    """
    position, frame = state.position[slots], state.frame[slots]
    hidden, logits = talker.step(
        model.talker, state.x[slots], position, state.plain_kv, slots, kv_length, model.layer_of
    )

    vocabulary, sub_vocabulary = logits.shape[1], model.predictor.embeddings.shape[1]
    noise = gumbel_noise(state.seed[slots], frame, vocabulary + (codes.shape[1] - 1) * sub_vocabulary)
    seen = state.seen[slots]
    logits = penalize(logits, seen, state.repetition_penalty[slots])
    logits = logits.masked_fill(~model.allowed, float("-inf"))
    early = (frame < MIN_FRAMES)[:, None] & (torch.arange(vocabulary, device=logits.device) == model.eos)
    logits = logits.masked_fill(early, float("-inf"))
    rows = SamplingRows(state.temperature[slots], state.top_k[slots], state.top_p[slots])
    first = choose(logits, rows, noise[:, :vocabulary])
    codes[:, 0] = first
    state.seen[slots] = seen.scatter(1, first[:, None], True)

    sub_rows = SamplingRows(state.sub_temperature[slots], state.sub_top_k[slots], state.sub_top_p[slots])

    def pick(sub_logits: Tensor, group: int) -> Tensor:
        start = vocabulary + (group - 1) * sub_vocabulary
        return choose(sub_logits, sub_rows, noise[:, start : start + sub_vocabulary])

    embedded = model.talker.embedding[first]
    total = predictor.predict(model.predictor, hidden, embedded, state.predictor_kv, pick, codes, model.layer_of)
    last = state.text.shape[1] - 1
    text = torch.where((frame < state.text_length[slots])[:, None], state.text[slots, frame.clamp(max=last)], model.pad)
    state.x[slots] = (embedded + total + text).to(state.x.dtype)
    state.position[slots] = (position + 1).clamp(max=state.talker_kv.max_positions - 1)
    # The scratch slot stays at its first position: its rows would read all positions up to its own.
    state.position[state.scratch].zero_()
    state.frame[slots] = frame + 1
