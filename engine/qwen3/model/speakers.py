"""Makes speakers: the checkpoint's own, and voices taken from recordings with upstream's encoders."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from engine.errors import first_line
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.model.prompt import ReferenceSpeech, Speaker
from engine.speech import Pcm, SpeechError

# An in-context clone reads 12.5 positions a second of its recording, before its first sound and in every later step.
IN_CONTEXT_MAX_S: Final = 15.0


def named_speaker(checkpoint: Checkpoint, name: str) -> Speaker:
    """Returns one of a CustomVoice model's speakers."""
    token = checkpoint.ids.speakers[name]
    embedding = checkpoint.model.talker.embedding[token]
    return Speaker(f"speaker:{name}", embedding, dialect=checkpoint.ids.dialects.get(name))


def designed_speaker() -> Speaker:
    """Returns the speaker of a VoiceDesign model, which makes a voice after its instruction."""
    return Speaker("designed")


@torch.inference_mode()
def cloned_speaker(
    checkpoint: Checkpoint, key: str, pcm: Pcm, sample_rate_hz: int, text: str | None, keep: bool = False
) -> Speaker:
    """Returns the voice of a recording: with its text in context, which is closer, else by its embedding alone.

    pcm [samples] int16; `key` is the recording's digest; `keep`: what is learnt is kept on disk. Raises SpeechError
    where the model cannot clone or the recording cannot be used.
    """
    if checkpoint.encoders is None:
        raise SpeechError(f"a {checkpoint.kind} model cannot clone voices; a Base model can")
    in_context = bool(text) and pcm.size <= IN_CONTEXT_MAX_S * sample_rate_hz
    kept = checkpoint.voices.get(key) if keep else None
    if kept is None:
        try:
            found, codes = checkpoint.encoders.voice(
                pcm.astype(np.float32) / np.float32(32768), sample_rate_hz, text if in_context else None
            )
        except (RuntimeError, ValueError, AssertionError) as error:
            raise SpeechError(f"the recording cannot be used: {first_line(error)}") from error
        if not bool(torch.isfinite(found).all()):
            raise SpeechError("the recording cannot be used: no voice was found in it")
        if keep:
            checkpoint.voices.put(key, found, codes)
    else:
        found, codes = kept
    like = checkpoint.model.talker.embedding
    embedding = found.to(like.device, like.dtype)
    reference = None
    if codes is not None and text:
        reference = ReferenceSpeech(tuple(checkpoint.tokenizer.reference(text)), codes.to(like.device))
    return Speaker(key, embedding, reference)
