"""Upstream's package, `qwen-tts`: it loads what our own reading does not, says what is wrong, and takes voices."""

from __future__ import annotations

import difflib
import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any, Final

import structlog
import torch

from engine.errors import first_line
from engine.extras import install
from engine.qwen3.model.weight_files import Parts
from engine.qwen3.settings import QwenSettings
from engine.speech import SpeechError

log = structlog.get_logger(__name__)

MODEL_IDS: Final = (
    "Qwen/Qwen3-TTS-12Hz-0.6B-Base",
    "Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice",
    "Qwen/Qwen3-TTS-12Hz-1.7B-Base",
    "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice",
    "Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign",
)
"""The published checkpoints."""


def through_upstream(
    settings: QwenSettings, dtype: torch.dtype, codec_dtype: torch.dtype, attention: str, notes: list[str]
) -> Parts:
    """Loads the checkpoint with upstream's package. Raises SpeechError with one line that says what is wrong."""
    try:
        from qwen_tts import Qwen3TTSTokenizer
    except (ImportError, OSError) as error:
        raise _no_package(error) from error
    try:
        _check_kind(settings)
        with _Drawn() as drawn:
            upstream = load_upstream(settings, dtype, attention, notes)
            model = upstream.model
            decoder = model.speech_tokenizer.model.decoder
            if codec_dtype != dtype:
                # Loaded once more in its own precision: upstream has just rounded it to the language models'.
                folder = model.speech_tokenizer.model.config._name_or_path or model.speech_tokenizer.model.name_or_path
                codec = Qwen3TTSTokenizer.from_pretrained(folder, device_map="cpu", dtype=codec_dtype)
                decoder = codec.model.decoder
    except (torch.OutOfMemoryError, SpeechError):
        raise
    except Exception as error:  # whatever five libraries raise over files that are not what they should be
        reason = f"MODEL_ID={settings.model_id} cannot be loaded: {first_line(error)}"
        raise SpeechError(f"{reason}{_did_you_mean(settings.model_id)}") from error
    if drawn.spoken_with:
        first, *others = drawn.spoken_with
        more = f" and {len(others)} more" if others else ""
        raise SpeechError(f"MODEL_ID={settings.model_id} is not whole: its files lack {first}{more}")

    def encode(text: str) -> list[int]:
        return [int(each) for each in upstream.processor.tokenizer(text)["input_ids"]]

    return Parts(model.config, model.talker, decoder, encode, model.generate_config)


def _no_package(error: Exception) -> SpeechError:
    return SpeechError(f"ENGINE=qwen3 needs the qwen-tts package: {install('gpu')} ({error})")


def _check_kind(settings: QwenSettings) -> None:
    """Checks the files before they are loaded: upstream takes anything for its own, and draws what is missing."""
    from transformers.utils.hub import cached_file

    folder = Path(settings.model_id).expanduser()
    config = folder / "config.json" if folder.is_dir() else Path(str(cached_file(settings.model_id, "config.json")))
    kind = json.loads(config.read_text("utf-8")).get("model_type")
    if kind != "qwen3_tts":
        raise SpeechError(f"MODEL_ID={settings.model_id} is not Qwen3-TTS: its config.json says model_type {kind!r}")


def _did_you_mean(model_id: str) -> str:
    close = difflib.get_close_matches(model_id, MODEL_IDS, 1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close and close[0] != model_id else ""


class _Drawn(logging.Handler):
    """Collects within what transformers reports as drawn at random, because the files have no such weights."""

    _SAID = re.compile(r"were not initialized from the model checkpoint .*? newly initialized: \[(.*?)\]", re.DOTALL)

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.spoken_with: list[str] = []
        """Returns the missing weights that speech needs: without them there is no voice, only noise."""

    def __enter__(self) -> _Drawn:
        logging.getLogger("transformers.modeling_utils").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("transformers.modeling_utils").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if said := self._SAID.search(record.getMessage()):
            names = [name.strip(" '\"") for name in said[1].split(",")]
            weights = [name for name in names if name.endswith(".weight")]
            self.spoken_with += [name for name in weights if name.startswith(("talker.", "decoder."))]


def load_upstream(settings: QwenSettings, dtype: torch.dtype, attention: str, notes: list[str]) -> Any:
    """Loads upstream's model into host memory, so that the device never holds a weight twice while they are packed."""
    try:
        from qwen_tts import Qwen3TTSModel as package
    except (ImportError, OSError) as error:
        raise _no_package(error) from error
    folder = Path(settings.model_id).expanduser()
    where = str(folder) if folder.is_dir() else settings.model_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return package.from_pretrained(where, device_map="cpu", dtype=dtype, attn_implementation=attention)
        except (ImportError, ValueError) as error:  # transformers' check of what it needs for an attention
            if attention == "sdpa":
                raise
            notes.append(
                f"ATTENTION={attention}: not for upstream's modules, with which voices are taken: {first_line(error)}"
            )
            log.warning(notes[-1])
            return package.from_pretrained(where, device_map="cpu", dtype=dtype, attn_implementation="sdpa")
