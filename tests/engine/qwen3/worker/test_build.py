"""What the choices on disk are kept under."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker import build


def test_choices_are_measured_again_with_another_version_of_ours_or_of_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    checkpoint: Any = SimpleNamespace(device=torch.device("cpu"), size="0b6")
    keys = set()
    for versions in (
        {"talkspurt": "1", "triton": "1"},
        {"talkspurt": "2", "triton": "1"},
        {"talkspurt": "1", "triton": "2"},
    ):
        monkeypatch.setattr(build, "version", versions.__getitem__)
        keys.add(build._measured_for(checkpoint, QwenSettings()))
    assert len(keys) == 3
