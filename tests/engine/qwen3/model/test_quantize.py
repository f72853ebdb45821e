"""8-bit weights: how much they change, what they save, and what happens where they cannot be had."""

from __future__ import annotations

import importlib.util
import sys
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.qwen3.batch.slots import Slots
from engine.qwen3.model.checkpoint import Checkpoint, load
from engine.qwen3.model.frame import FrameModel, decode_frame
from engine.qwen3.model.quantize import ScaledLinear, to_bitsandbytes, to_fp8, to_int8
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.speakers import named_speaker
from engine.qwen3.model.weights import Dense, Linear, take_talker
from engine.qwen3.settings import QwenSettings
from tests.support.qwen3.convert import convert

pytestmark = pytest.mark.usefixtures("no_grad")

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def a_matrix(rows: int = 96, columns: int = 64, seed: int = 0, outlier: float = 1.0) -> Dense:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * torch.rand(rows, 1, generator=generator)
    weight[3, 5] *= outlier
    return Dense(weight, torch.randn(rows, generator=generator))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), outlier=st.sampled_from([0.0, 1.0, 100.0]))
def test_int8_is_within_half_a_step_of_each_row_s_scale(seed: int, outlier: float) -> None:
    dense = a_matrix(seed=seed, outlier=outlier)
    quantized = to_int8(dense)
    assert isinstance(quantized, ScaledLinear)
    assert quantized.weight.dtype == torch.int8
    restored = quantized.weight.double() * quantized.scale[:, None].double()
    steps = (restored - dense.weight.double()).abs() / quantized.scale[:, None].double()
    assert steps.max() <= 0.5 + 1e-4


def test_fp8_keeps_three_bits_of_mantissa() -> None:
    dense = a_matrix()
    quantized = to_fp8(dense)
    assert isinstance(quantized, ScaledLinear)
    restored = quantized.weight.float() * quantized.scale[:, None]
    assert torch.isfinite(restored).all()
    large = dense.weight.abs() > dense.weight.abs().amax(1, keepdim=True) / 64
    assert ((restored - dense.weight).abs() / dense.weight.abs())[large].max() <= 2**-4 + 1e-6


def test_a_row_of_zeros_stays_one() -> None:
    dense = Dense(torch.zeros(4, 8))
    for how in (to_int8, to_fp8):
        assert torch.equal(how(dense)(torch.ones(1, 8)), torch.zeros(1, 4))


@pytest.mark.parametrize("how", [to_int8, to_fp8, pytest.param(to_bitsandbytes, marks=needs_bitsandbytes)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_stay_close(how: Any, dtype: torch.dtype) -> None:
    dense = a_matrix(256, 128)
    x = torch.randn(5, 128, generator=torch.Generator().manual_seed(2))
    narrow = Dense(dense.weight.to(dtype), None if dense.bias is None else dense.bias.to(dtype))
    out = how(narrow)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.float() - dense(x)).std() / dense(x).std() < 0.05


def frames_of(model: FrameModel, checkpoint: Any) -> Tensor:
    slots = Slots(model, checkpoint.codec, 1, 64, 32, 2**20)
    prompt = checkpoint.prompts.build(checkpoint.tokenizer.text("Hello."), named_speaker(checkpoint, "ryan"))
    at = torch.tensor([slots.take(prompt, Sampling(temperature=0.0, sub_temperature=0.0))])
    out = []
    for _ in range(4):
        codes = torch.zeros(1, 16, dtype=torch.int64)
        decode_frame(model, slots.state, at, 64, codes)
        out.append(codes)
    return torch.cat(out)


@pytest.mark.parametrize("how", [to_int8, to_fp8, pytest.param(to_bitsandbytes, marks=needs_bitsandbytes)])
def test_the_whole_model_runs_and_is_smaller(checkpoint: Any, how: Any) -> None:
    ours = checkpoint("custom_voice", True)
    quantized = convert(ours.model, how)
    codes = frames_of(quantized, ours)
    assert ((codes >= 0) & (codes < 3072)).all()
    for before, after in zip(ours.model.talker.stack.layers, quantized.talker.stack.layers, strict=True):
        assert after.qkv.nbytes < before.qkv.nbytes / 2
        assert after.input_norm is before.input_norm


def loaded(folder: Any, **values: Any) -> Checkpoint:
    return load(QwenSettings(model_id=str(folder("custom_voice")), device="cpu", dtype="float32", **values))


def test_settings_choose(checkpoint: Any, checkpoint_folder: Any) -> None:
    plain = checkpoint("custom_voice")
    assert isinstance(plain.model.talker.stack.layers[0].o, Dense)
    assert (plain.quantized, plain.warnings) == ("none", ())
    assert QwenSettings(quantize="").quantize == "none"  # type: ignore[arg-type]
    quantized = loaded(checkpoint_folder, quantize="int8")
    assert (quantized.quantized, quantized.warnings) == ("int8", ())
    assert isinstance(quantized.model.predictor.stack.layers[0].down, ScaledLinear)
    for before, after in zip(plain.model.talker.stack.layers, quantized.model.talker.stack.layers, strict=True):
        assert isinstance(after.gate_up, ScaledLinear)
        expected = to_int8(before.gate_up)
        assert torch.equal(after.gate_up.weight, expected.weight), "the same as converted afterwards"


def test_no_more_than_one_matrix_is_there_twice(upstream: Any) -> None:
    """All of them at once would take 1 GB of the GPU more while it loads, and leave holes of it behind."""
    wide: list[weakref.ref[Tensor]] = []

    def counting(linear: Linear) -> Linear:
        assert isinstance(linear, Dense)
        assert not [each for each in wide if each() is not None]
        wide.append(weakref.ref(linear.weight))
        return to_int8(linear)

    weights = take_talker(upstream("custom_voice").tts.model.talker, 64, "cpu", counting)
    assert len(wide) == 4 * len(weights.stack.layers)


def test_fp8_without_a_gpu_falls_back_and_says_so(checkpoint_folder: Any) -> None:
    same = loaded(checkpoint_folder, quantize="fp8")
    assert isinstance(same.model.talker.stack.layers[0].o, Dense)
    assert same.quantized == "none"
    (warning,) = same.warnings
    assert warning.startswith("QUANTIZE=fp8: ")


def test_fp8_on_an_older_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.qwen3.model.quantize import _no_fp8

    for capability, works in (((8, 0), False), ((8, 6), False), ((8, 9), True), ((9, 0), True), ((12, 0), True)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda device, found=capability: found)
        assert (_no_fp8(torch.device("cuda")) is None) is works


@needs_bitsandbytes
def test_bitsandbytes_on_this_model(checkpoint_folder: Any) -> None:
    quantized = loaded(checkpoint_folder, quantize="int8", int8_backend="bitsandbytes")
    assert (quantized.quantized, quantized.warnings) == ("int8 (bitsandbytes)", ())
    assert not isinstance(quantized.model.talker.stack.layers[0].o, ScaledLinear)


def test_without_bitsandbytes_int8_is_ours(checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    quantized = loaded(checkpoint_folder, quantize="int8", int8_backend="bitsandbytes")
    assert quantized.quantized == "int8"
    assert isinstance(quantized.model.talker.stack.layers[0].o, ScaledLinear)
    (warning,) = quantized.warnings
    assert warning.startswith("INT8_BACKEND=bitsandbytes: ")
    assert warning.endswith("using weight_only")
