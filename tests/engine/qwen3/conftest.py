"""The Qwen3-TTS tests run upstream's `qwen-tts` as the reference, on a CPU torch, over tiny checkpoints made here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MISSING = [name for name in ("torch", "transformers", "qwen_tts") if importlib.util.find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ["test_*.py"]
else:
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.path.append(str(Path(__file__).parents[2] / "support" / "qwen3" / "stand_ins"))
    # Triton asks once whether to interpret: at its import, whichever test imports it.
    import tests.support.qwen3.kernel_support  # noqa: F401


def pytest_report_header() -> str | None:
    missing = ", ".join(MISSING)
    return f"tests/engine/qwen3 left out: {missing} not installed (make test installs them)" if missing else None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny products are slower on two threads than on one, and sums then have one order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(kind, wide) → the folder of a tiny checkpoint, built once."""
    from tests.support.qwen3.checkpoints import Kind, build_checkpoint

    built: dict[tuple[str, bool], Path] = {}

    def folder(kind: Kind, wide: bool = False) -> Path:
        if (kind, wide) not in built:
            built[kind, wide] = build_checkpoint(tmp_path_factory.mktemp(kind), kind, "tiny, wide" if wide else "tiny")
        return built[kind, wide]

    return folder


@pytest.fixture(scope="session")
def upstream(checkpoint_folder: Any) -> Any:
    """(kind, wide) → upstream's model of it."""
    from tests.support.qwen3.upstream import Upstream

    loaded: dict[tuple[str, bool], Upstream] = {}

    def load(kind: str, wide: bool = False) -> Upstream:
        if (kind, wide) not in loaded:
            loaded[kind, wide] = Upstream.load(checkpoint_folder(kind, wide))
        return loaded[kind, wide]

    return load


@pytest.fixture(scope="session")
def checkpoint(checkpoint_folder: Any) -> Any:
    """(kind, wide) → our modules over it, in float32."""
    from engine.qwen3.model.checkpoint import Checkpoint, load
    from engine.qwen3.settings import QwenSettings

    loaded: dict[tuple[str, bool], Checkpoint] = {}

    def get(kind: str, wide: bool = False) -> Checkpoint:
        if (kind, wide) not in loaded:
            settings = QwenSettings(model_id=str(checkpoint_folder(kind, wide)), device="cpu", dtype="float32")
            loaded[kind, wide] = load(settings)
        return loaded[kind, wide]

    return get


@pytest.fixture
def no_grad() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield
