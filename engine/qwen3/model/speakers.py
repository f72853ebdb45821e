"""Makes speakers: the checkpoint's own, and voices taken from recordings with upstream's encoders."""

from __future__ import annotations

from typing import Any, Final

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
def cloned_speaker(checkpoint: Checkpoint, key: str, pcm: Pcm, sample_rate_hz: int, text: str | None) -> Speaker:
    """Returns the voice of a recording: with its text in context, which is closer, else by its embedding alone.

    pcm [samples] int16. Raises SpeechError where the model cannot clone or the recording cannot be used.
    """
    if checkpoint.kind != "base":
        raise SpeechError(f"a {checkpoint.kind} model cannot clone voices; a Base model can")
    in_context = bool(text) and pcm.size <= IN_CONTEXT_MAX_S * sample_rate_hz
    sound = pcm.astype(np.float32) / 32768
    try:
        item: Any = checkpoint.upstream.create_voice_clone_prompt(
            (sound, sample_rate_hz), ref_text=text if in_context else None, x_vector_only_mode=not in_context
        )[0]
    except (RuntimeError, ValueError, AssertionError) as error:
        raise SpeechError(f"the recording cannot be used: {first_line(error)}") from error
    like = checkpoint.model.talker.embedding
    embedding = item.ref_spk_embedding.to(like.device, like.dtype)
    if not bool(torch.isfinite(embedding).all()):
        raise SpeechError("the recording cannot be used: no voice was found in it")
    reference = None
    if in_context and text:
        codes = item.ref_code.to(like.device, torch.int64)
        reference = ReferenceSpeech(tuple(checkpoint.tokenizer.reference(text)), codes)
    return Speaker(key, embedding, reference)
