"""TORCH_COMPILE compiles, and proves it; or says that it did not, and speech goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor.utils import run_and_get_code

from engine.qwen3.model.compile import CompiledLayer, compile_mode
from engine.qwen3.model.layers import KvCache, run_layer, run_stack
from engine.qwen3.settings import QwenSettings
from tests.engine.qwen3.model.test_quantize import frames_of

pytestmark = pytest.mark.usefixtures("no_grad")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_every_layer_runs_through_few_graphs_and_gives_the_same_codes(checkpoint: Any) -> None:
    """With dynamo's own executor in place of inductor, which would compile C++ for a minute."""
    ours = checkpoint("custom_voice")
    layer = CompiledLayer("default", backend="eager")
    assert layer.graphs == 0
    compiled = replace(ours.model, layer_of=layer)
    assert frames_of(compiled, ours).tolist() == frames_of(ours.model, ours).tolist()
    assert layer.error is None
    assert 1 <= layer.graphs <= 8
    assert layer.warning() is None
    before = layer.graphs
    frames_of(compiled, ours)
    assert layer.graphs == before, "nothing is compiled again"


@pytest.mark.skipif("TEST_INDUCTOR" not in os.environ, reason="20 to 40 s a mode of compiling C++: TEST_INDUCTOR=1")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune"])
def test_inductor_compiles_a_layer_in_each_mode(
    checkpoint: Any, mode: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By its own counters: one graph, and with max-autotune products of which it measured several kinds. The cache is
    written in place: a copy of it each step would cost more than compiling gains."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    stack = checkpoint("custom_voice").model.talker.stack
    one = replace(stack, layers=stack.layers[:1])
    x = torch.randn(2, 1, stack.hidden, generator=torch.Generator().manual_seed(1))

    def run(layer: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        cache = KvCache.allocate(one, 5, 64)
        at = torch.tensor([0, 1])
        return [run_stack(one, x, torch.full((2, 1), position), cache, at, 64, layer) for position in range(3)]

    layer = CompiledLayer(compile_mode(QwenSettings(torch_compile_mode=mode)))
    measured_before = counters["inductor"]["select_algorithm_autotune"]
    compiled, codes = run_and_get_code(run, layer)
    assert codes
    assert not re.search(r"empty_strided\w*\(\((2, )?5, ", "".join(codes))
    torch.testing.assert_close(compiled, run(run_layer))
    assert layer.error is None
    assert layer.graphs == 1
    assert (counters["inductor"]["select_algorithm_autotune"] > measured_before) is (mode == "max-autotune")


def test_a_failing_compiler_is_told_of_and_speech_goes_on(checkpoint: Any) -> None:
    def broken(graph: Any, inputs: Any) -> Callable[..., Any]:
        raise RuntimeError("no compiler here\nand more")

    ours = checkpoint("custom_voice")
    layer = CompiledLayer("default", backend=broken)  # type: ignore[arg-type]
    codes = frames_of(replace(ours.model, layer_of=layer), ours)
    assert codes.tolist() == frames_of(ours.model, ours).tolist()
    assert "not compiled" in (layer.warning() or "")
    assert "no compiler here" in (layer.warning() or "") or "Failed" in (layer.warning() or "")


def test_what_was_never_called_is_not_called_compiled() -> None:
    assert CompiledLayer("default", backend="eager").warning() == "TORCH_COMPILE: dynamo made no graph; not compiled"


@pytest.mark.parametrize(
    ("mode", "used"),
    [
        ("max-autotune", "max-autotune-no-cudagraphs"),
        ("reduce-overhead", "default"),
        ("default", "default"),
    ],
)
def test_no_graphs_within_our_graphs(mode: Any, used: str) -> None:
    assert compile_mode(QwenSettings(torch_compile_mode=mode)) == used
