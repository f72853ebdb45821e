"""FlashAttention in the plain layers: what the package is asked for, and that it gives what plain attention gives."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.qwen3.batch.eager_runner import EagerRunner
from engine.qwen3.batch.slots import Slots
from engine.qwen3.model import flash, layers
from engine.qwen3.model.checkpoint import load
from engine.qwen3.settings import QwenSettings
from tests.engine.qwen3.batch.test_runner import a_sentence, finish, sound_of

pytestmark = pytest.mark.usefixtures("no_grad")


class Package(ModuleType):
    """flash-attn, by scaled_dot_product_attention; keeps the shapes of what it was asked for."""

    def __init__(self) -> None:
        super().__init__("flash_attn")
        self.asked: list[tuple[Any, ...]] = []

    def flash_attn_with_kvcache(
        self,
        q: Tensor,
        k_cache: Tensor,
        v_cache: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        cache_seqlens: Tensor,
        cache_batch_idx: Tensor | None,
        causal: bool,
    ) -> Tensor:
        # What the real one checks before it starts.
        assert causal
        assert cache_seqlens.dtype == torch.int32
        assert cache_seqlens.is_contiguous()
        assert all(each.stride(-1) == 1 for each in (q, k_cache, v_cache, k, v))
        if cache_batch_idx is None:
            assert len(k_cache) == len(q)
            rows = list(range(len(q)))
        else:
            assert cache_batch_idx.dtype == torch.int32
            rows = cache_batch_idx.tolist()
        self.asked.append((tuple(q.shape), tuple(k_cache.shape), tuple(k.shape), cache_batch_idx is not None))
        out = torch.empty_like(q)
        for i, (row, start) in enumerate(zip(rows, cache_seqlens.tolist(), strict=True)):
            end = start + q.shape[1]
            k_cache[row, start:end], v_cache[row, start:end] = k[i], v[i]
            # Aligned to the bottom right: the last query sees everything.
            seen = torch.ones(q.shape[1], end, dtype=torch.bool).tril(start)
            keys, values = (cache[row, :end].transpose(0, 1)[None] for cache in (k_cache, v_cache))
            attended = F.scaled_dot_product_attention(
                q[i : i + 1].transpose(1, 2), keys, values, attn_mask=seen, enable_gqa=True
            )
            out[i] = attended[0].transpose(0, 1)
        return out


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    package = Package()
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    return package


@pytest.mark.parametrize(
    ("steps", "slots"), [(1, [3, 0, 2]), (5, [1, 3, 0]), (2, None)], ids=["frame", "prompt", "rows"]
)
def test_it_is_what_plain_attention_is(package: Package, steps: int, slots: list[int] | None) -> None:
    torch.manual_seed(1)
    rows, heads, kv_heads, dim, most = 3, 4, 2, 16, 40
    q = torch.randn(rows, steps, heads, dim)
    k, v = torch.randn(2, rows, steps, kv_heads, dim)
    caches = [torch.randn(2, 4, kv_heads, most, dim)]
    caches.append(caches[0].clone())
    starts = torch.tensor([0, 7, 30]) if slots else torch.tensor([6, 6, 6])
    positions = starts[:, None] + torch.arange(steps)
    mask = (torch.arange(most) <= positions[:, :, None])[:, None]
    at = None if slots is None else torch.tensor(slots)
    plain = layers.attend(q, k, v, caches[0], positions, at, mask, most)
    fast = flash.flash_attend()(q, k, v, caches[1], positions, at, mask, most)
    torch.testing.assert_close(fast, plain)
    torch.testing.assert_close(caches[1], caches[0])
    held = 4 if slots else rows
    assert package.asked == [((rows, steps, heads, dim), (held, most, kv_heads, dim), k.shape, slots is not None)]


def test_prompts_frames_and_codes_go_through_it(checkpoint: Any, package: Package) -> None:
    """Every layer of talker and predictor, prefill included: the sound is the plain layers'."""
    ours = checkpoint("custom_voice")
    sounds = []
    talker, predictor = flash.with_flash(ours.model.talker, ours.model.predictor)
    for model in (ours.model, replace(ours.model, talker=talker, predictor=predictor)):
        runner = EagerRunner(Slots(model, ours.codec, 2, 256, 128, 2**20))
        sentences = [a_sentence(ours, text) for text in ("Hello there.", "Bye")]
        assert all(runner.admit(sentence) for sentence in sentences)
        made = finish(runner)
        sounds.append([sound_of(made, sentence) for sentence in sentences])
    for plain, fast in zip(*sounds, strict=True):
        assert plain.shape == fast.shape
        assert abs(plain - fast).max() < 1e-4
    steps = {asked[0][1] for asked in package.asked}
    assert steps == {1, 2, 9}, "a position, the predictor's first two, a prompt's nine"


def test_why_it_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: Package) -> None:
    settings, cuda = QwenSettings(dtype="bfloat16"), torch.device("cuda")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    assert flash.why_not(settings, cuda) == "this GPU is sm_75; it needs sm_80 or newer"
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (8, 0))
    assert flash.why_not(settings, cuda) is None
    assert flash.why_not(settings, torch.device("cpu")) == "it needs a CUDA device and 16-bit weights"
    assert flash.why_not(QwenSettings(dtype="float32"), cuda) == "it needs a CUDA device and 16-bit weights"
    monkeypatch.setitem(sys.modules, "flash_attn", ModuleType("flash_attn"))
    assert "cannot be used" in (flash.why_not(settings, cuda) or ""), "too old"
    monkeypatch.delitem(sys.modules, "flash_attn")
    assert flash.why_not(settings, cuda) == "flash-attn is not installed"
    (tmp_path / "flash_attn.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert flash.why_not(settings, cuda) == (
        "flash-attn cannot be used (libcudart.so.12: cannot open shared object file)"
    )


def test_falling_back_is_said(checkpoint_folder: Any, logged: list[Any]) -> None:
    folder = str(checkpoint_folder("custom_voice"))
    model = load(QwenSettings(model_id=folder, device="cpu", dtype="float32", attention="flash_attention_2"))
    (warning,) = model.warnings
    assert warning == "ATTENTION=flash_attention_2: it needs a CUDA device and 16-bit weights; using sdpa"
    assert warning in str(logged)
    assert model.model.talker.stack.attend is None


def test_loading_with_it(checkpoint_folder: Any, monkeypatch: pytest.MonkeyPatch, package: Package) -> None:
    """Our layers take it; upstream's modules ask transformers, which finds no real package here."""
    monkeypatch.setattr(flash, "why_not", lambda settings, device: None)
    folder = str(checkpoint_folder("custom_voice"))
    model = load(QwenSettings(model_id=folder, device="cpu", dtype="float32", attention="flash_attention_2"))
    assert model.model.talker.stack.attend is not None
    assert model.model.predictor.stack.attend is not None
    (warning,) = model.warnings
    assert warning.startswith("ATTENTION=flash_attention_2: not for upstream's modules")
