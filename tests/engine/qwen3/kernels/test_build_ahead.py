"""Kernels that were compiled without a GPU, as for an image: a start on such a GPU compiles none of them again."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.qwen3.kernel_support import CUDA, NEEDS_GPU, WHY_NOT

if WHY_NOT or importlib.util.find_spec("triton.knobs") is None:
    pytest.skip(WHY_NOT or "this Triton tells of no compilation", allow_module_level=True)

ONE_KERNEL = """
import sys
from tests.support.qwen3 import build_ahead
from engine.qwen3.kernels.linear import rms_norm

def launch_one(*_):
    x, norm = build_ahead.torch.ones(2, 1024), build_ahead.torch.ones(1024)
    rms_norm(x, norm, x, 1e-6, build_ahead.pdl.supported())

build_ahead.launch_all = launch_one
print(*build_ahead.build(int(sys.argv[1]), "0.6B", "int8", 16, 768))
"""
START = """
import torch
import triton
from benchmarks.gpu.models import build_runner

compiled = []
triton.knobs.compilation.listener = lambda *, metadata, cache_hit, **_: cache_hit or compiled.append(metadata["name"])
with torch.inference_mode():
    runner, _ = build_runner("0.6B", "int8", 16, 768, 768)
print(f"the start took {runner.start_s}")
print(runner.graphs, *sorted(compiled))
"""


def run(folder: Path, *command: str, **environment: str) -> list[str]:
    """Returns the words of the last line that a Python prints whose kernels are kept in the folder."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, *command],
        env=kept | {"TRITON_CACHE_DIR": str(folder)} | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.timeout(600)
def test_a_kernel_is_built_once_for_each_gpu(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", ONE_KERNEL, "89") == ["1", "0"]
    assert run(tmp_path, "-c", ONE_KERNEL, "89") == ["1", "1"]
    assert run(tmp_path, "-c", ONE_KERNEL, "90") == ["1", "0"], "a GPU that launches kernels early has others"


@pytest.mark.skipif(not CUDA, reason=NEEDS_GPU)
@pytest.mark.timeout(600)
def test_a_start_finds_all_that_was_built_without_its_gpu(tmp_path: Path) -> None:
    major, minor = torch.cuda.get_device_capability()
    built, *_ = run(
        tmp_path, "-m", "tests.support.qwen3.build_ahead", f"{major}{minor}", CUDA_VISIBLE_DEVICES=""
    )  # fmt: skip
    assert int(built) > 50
    graphs, *compiled = run(tmp_path, "-c", START)
    assert int(graphs) > 20
    assert compiled == []
