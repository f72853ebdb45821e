"""Upstream's model as the reference: the codes that its own `generate` gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from qwen_tts import Qwen3TTSModel
from torch import Tensor

GREEDY = {"do_sample": False, "subtalker_dosample": False}


@dataclass
class Upstream:
    """Upstream, greedy by default, with its text entering token by token as ours does."""

    tts: Any

    @staticmethod
    def load(folder: Path) -> Upstream:
        return Upstream(Qwen3TTSModel.from_pretrained(str(folder), device_map="cpu", dtype=torch.float32))

    def codes(self, text: str, frames: int, **how: Any) -> Tensor:
        """Returns [frames or fewer, 16]. how: speaker, language, instruct, clone (`create_voice_clone_prompt`)."""
        return self.speak(text, frames, **how)[0]

    def speak(self, text: str, frames: int, **how: Any) -> tuple[Tensor, np.ndarray]:
        """Returns the codes and the sound decoded from them."""
        kept = []
        generate = self.tts.model.generate

        def keep(**arguments: Any) -> Any:
            result = generate(**arguments)
            kept.append(result[0][0])
            return result

        self.tts.model.generate = keep
        # One code more is drawn than frames are made: the last has nothing to be fed to.
        options = {"max_new_tokens": frames + 1, "non_streaming_mode": False, **GREEDY}
        clone = how.pop("clone", None)
        try:
            if clone is not None:
                sound, _ = self.tts.generate_voice_clone(text=text, voice_clone_prompt=clone, **how, **options)
            elif self.tts.model.tts_model_type == "voice_design":
                sound, _ = self.tts.generate_voice_design(text=text, **how, **options)
            else:
                sound, _ = self.tts.generate_custom_voice(text=text, **how, **options)
        finally:
            self.tts.model.generate = generate
        return kept[0], sound[0]
