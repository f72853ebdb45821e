"""Decoding frame by frame gives what decoding the whole utterance gives, however the frames are cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.qwen3.model.codec import MAX_CHUNK_FRAMES, CodecState, decode
from engine.qwen3.model.codec_weights import CodecWeights, take_codec

FRAMES = 90  # more than the transformer's window of 72
TOLERANCE = 1e-4


class Codec:
    """Upstream's decoder, our weights of it, and two utterances decoded whole."""

    def __init__(self, upstream: Any) -> None:
        decoder = upstream("custom_voice").tts.model.speech_tokenizer.model.decoder
        with torch.inference_mode():
            self.weights: CodecWeights = take_codec(decoder, "cpu", torch.float32)
            self.codes = torch.randint(0, 2048, (2, FRAMES, 16), generator=torch.Generator().manual_seed(5))
            self.whole: Tensor = decoder(self.codes.transpose(1, 2))[:, 0]
        assert self.whole.abs().max() < 1, "a clipped reference would hide differences"
        assert self.whole.std() > 0.1


@pytest.fixture(scope="module")
def codec(upstream: Any) -> Codec:
    return Codec(upstream)


def in_chunks(codec: Codec, state: CodecState, slots: list[int], sizes: Sequence[int]) -> Tensor:
    at, out = 0, []
    for size in sizes:
        out.append(decode(codec.weights, state, torch.tensor(slots), codec.codes[: len(slots), at : at + size]))
        at += size
    return torch.cat(out, dim=1)


def test_a_frame_is_80_ms(codec: Codec) -> None:
    assert codec.weights.samples_per_frame == 1920


@pytest.mark.usefixtures("no_grad")
def test_ramp_over_the_whole_window(codec: Codec) -> None:
    """1, 2, 4, 8, 8, … frames, two calls side by side in slots that are not their rows."""
    state = CodecState.allocate(codec.weights, 4)
    sizes = [1, 2, 4, *[8] * 10, 3]
    sound = in_chunks(codec, state, [3, 1], sizes)
    assert sound.shape == codec.whole.shape
    assert (sound - codec.whole).abs().max() < TOLERANCE


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_split_gives_the_same_sound(codec: Codec, data: st.DataObject) -> None:
    """A slot that was used before, any chunk sizes, and a neighbour that goes its own way in between."""
    sizes: list[int] = []
    frames = data.draw(st.integers(1, 24))
    while sum(sizes) < frames:
        sizes.append(data.draw(st.integers(1, min(MAX_CHUNK_FRAMES, frames - sum(sizes)))))
    with torch.inference_mode():
        state = CodecState.allocate(codec.weights, 2)
        decode(codec.weights, state, torch.tensor([0]), codec.codes[1:, 40:45])
        state.reset(0)
        at = 0
        for size in sizes:
            sound = decode(codec.weights, state, torch.tensor([0]), codec.codes[:1, at : at + size])
            expected = codec.whole[:1, at * 1920 : (at + size) * 1920]
            assert (sound - expected).abs().max() < TOLERANCE
            at += size
            decode(codec.weights, state, torch.tensor([1]), codec.codes[1:, :1])


@pytest.mark.usefixtures("no_grad")
def test_a_kept_state_goes_on_where_it_was_read(codec: Codec) -> None:
    """How a cloned voice begins: its recording has been heard once, and every sentence starts from there."""
    state = CodecState.allocate(codec.weights, 3)
    in_chunks(codec, state, [0], [8, 8, 4])
    kept = state.read(0)
    in_chunks(codec, state, [2], [8])
    for slot in (2, 1):
        state.write(slot, kept)
        sound = decode(codec.weights, state, torch.tensor([slot]), codec.codes[:1, 20:28])
        assert (sound - codec.whole[:1, 20 * 1920 : 28 * 1920]).abs().max() < TOLERANCE


@pytest.mark.usefixtures("no_grad")
def test_padding_rows_disturb_nobody(codec: Codec) -> None:
    state = CodecState.allocate(codec.weights, 2)
    scratch = 2
    for at in range(3):
        codes = torch.cat((codec.codes[:1], codec.codes[1:], codec.codes[1:]))[:, at : at + 1]
        sound = decode(codec.weights, state, torch.tensor([1, scratch, scratch]), codes)[:1]
        assert (sound - codec.whole[:1, at * 1920 : (at + 1) * 1920]).abs().max() < TOLERANCE
