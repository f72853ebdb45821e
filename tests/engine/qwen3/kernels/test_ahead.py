"""Compiling ahead: nothing runs meanwhile, a case is met once, and a kernel that does not compile is an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.qwen3.kernel_support import DEVICE, WHY_NOT

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

from engine.qwen3.kernels import ahead, linear


def norm(rows: int = 2, hidden: int = 32) -> torch.Tensor:
    out = torch.full((rows, hidden), 7.0, device=DEVICE)
    linear.rms_norm(torch.ones(rows, hidden, device=DEVICE), torch.ones(hidden, device=DEVICE), out, 1e-6)
    return out


def test_what_is_compiled_ahead_does_not_run() -> None:
    with ahead.compiling():
        assert (norm() == 7).all()
    assert (norm() - 1).abs().max() < 1e-5


def test_a_case_is_met_once() -> None:
    with ahead.compiling() as seen:
        norm()
        norm(rows=3)
        assert len(seen) == 1
        norm(hidden=64)
        assert len(seen) == 2


def test_kernels_are_compiled_as_they_would_be_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Kernel:
        def warmup(self, *_: Any, **how: Any) -> None:
            asked.append(how)
            if how["width"] > 2:
                raise RuntimeError("no such width")

    monkeypatch.setattr(ahead, "INTERPRETED", False)
    kernel = Kernel()
    with ahead.compiling():
        for width in (1, 2, 2):
            ahead.launch(kernel, (4,))(torch.ones(1), 16, 1, width=width)
    assert asked == [{"grid": (4,), "width": 1}, {"grid": (4,), "width": 2}]
    with pytest.raises(RuntimeError, match="no such width"), ahead.compiling():
        ahead.launch(kernel, (4,))(width=3)


def test_the_launchers_are_made_ahead_too_once_all_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Compiled:
        def __init__(self, width: int) -> None:
            self.width = width

        @property
        def run(self) -> None:
            done.append(f"launcher {self.width}")

    class Kernel:
        def warmup(self, *_: Any, width: int, **how: Any) -> Compiled:
            done.append(f"kernel {width}")
            return Compiled(width)

    monkeypatch.setattr(ahead, "INTERPRETED", False)
    kernel = Kernel()
    with ahead.compiling():
        for width in (1, 2, 2):
            ahead.launch(kernel, (4,))(torch.ones(1), width=width)
        assert done == ["kernel 1", "kernel 2"]
    assert sorted(done[2:]) == ["launcher 1", "launcher 2"]
