"""Loads a checkpoint with upstream's `qwen-tts`; our own modules then run on its weights."""

from __future__ import annotations

import difflib
import gc
import json
import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.model import flash
from engine.qwen3.model.codec_weights import CodecWeights, take_codec
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.prompt import Ids, PromptBuilder
from engine.qwen3.model.quantize import conversion
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.text import TextEmbedder, TextTokenizer
from engine.qwen3.model.weights import take_predictor, take_talker
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model: our modules' weights, and the parts of upstream's that cloning needs."""

    kind: str  # "base", "custom_voice" or "voice_design"
    size: str  # "0b6" or "1b7"
    ids: Ids
    model: FrameModel
    quantized: str  # what its layers' matrices are: "none", "int8", "int8 (bitsandbytes)" or "fp8"
    codec: CodecWeights  # in host memory: what a GPU is to hold of it is smaller where it is packed
    prompts: PromptBuilder
    tokenizer: TextTokenizer
    sampling: Sampling  # the checkpoint's own settings
    upstream: Any  # Base: `Qwen3TTSModel` without talker and codec decoder; its encoders take voices; else None
    warnings: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        return self.model.pad.device

    @property
    def instructable(self) -> bool:
        """Whether the model follows instructions: the 0.6B models and the Base ones were not trained to."""
        return self.kind != "base" and self.size != "0b6"


def load(settings: QwenSettings, max_positions: int | None = None) -> Checkpoint:
    """Loads MODEL_ID onto DEVICE. Raises SpeechError with one line that says what is missing."""
    device = torch.device(settings.device)
    notes: list[str] = []
    _check(settings, device)
    if device.index is not None:
        torch.cuda.set_device(device)  # for what names no device: the current stream, events, kernels' launches
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
    attention = _attention(settings, device, notes)
    try:
        return _load(settings, device, attention, max_positions or settings.max_positions, notes)
    except torch.OutOfMemoryError as error:
        raise too_large(settings) from error


def _check(settings: QwenSettings, device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        built = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}" if torch.version.cuda else ""
        reason = built or f"torch {torch.__version__} is built without CUDA"
        raise SpeechError(f"DEVICE={settings.device}: no CUDA device can be used here ({reason})")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise SpeechError(f"DEVICE={settings.device}: there are {torch.cuda.device_count()} CUDA devices here")
    folder = Path(settings.model_id).expanduser()
    if folder.is_dir():
        missing = [name for name in ("config.json", "speech_tokenizer/config.json") if not (folder / name).is_file()]
        tokenizer = (folder / "tokenizer.json").is_file()
        missing += [name for name in ("vocab.json", "merges.txt") if not tokenizer and not (folder / name).is_file()]
        missing += [] if any(folder.glob("*.safetensors")) else ["model.safetensors"]
        missing += [] if any(folder.glob("speech_tokenizer/*.safetensors")) else ["speech_tokenizer/model.safetensors"]
        if missing:
            raise SpeechError(f"MODEL_ID={settings.model_id}: the folder lacks {', '.join(missing)}")
    elif settings.model_id.startswith((".", "/", "~")):
        raise SpeechError(f"MODEL_ID={settings.model_id}: there is no such folder")


def _attention(settings: QwenSettings, device: torch.device, notes: list[str]) -> str:
    """Applies ATTENTION, or sdpa with a warning where FlashAttention cannot be had."""
    if settings.attention != "flash_attention_2" or (reason := flash.why_not(settings, device)) is None:
        return settings.attention
    notes.append(f"ATTENTION=flash_attention_2: {reason}; using sdpa")
    log.warning(notes[-1])
    return "sdpa"


def _load(
    settings: QwenSettings, device: torch.device, attention: str, max_positions: int, notes: list[str]
) -> Checkpoint:
    try:
        from qwen_tts import Qwen3TTSModel, Qwen3TTSTokenizer
    except (ImportError, OSError) as error:
        raise SpeechError(f"ENGINE=qwen3 needs the qwen-tts package: pip install 'talkspurt[gpu]' ({error})") from error
    dtype = getattr(torch, settings.dtype)
    codec_dtype = plain_codec_dtype(settings)
    try:
        _check_kind(settings)
        with _Drawn() as drawn:
            upstream = _load_upstream(Qwen3TTSModel, settings, dtype, attention, notes)
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
    with torch.inference_mode():
        ids = Ids.of(model.config)
        codec_weights = take_codec(decoder, "cpu", codec_dtype)
        convert, quantized, why_not = conversion(settings, device)
        notes += why_not
        talker = take_talker(model.talker, max_positions, device, convert)
        predictor = take_predictor(model.talker.code_predictor, device, convert)
        if attention == "flash_attention_2":
            talker, predictor = flash.with_flash(talker, predictor)
        text = TextEmbedder.of(model.talker, device, settings.text_embedding)
        tokenizer = TextTokenizer(upstream.processor)
        prompts = PromptBuilder(ids, text, talker.embedding, predictor.embeddings, tokenizer.role)
        frame_model = FrameModel.build(talker, predictor, prompts.tts_pad, ids.eos)
    kind, size, sampling = model.tts_model_type, model.tts_model_size, _sampling(model.generate_config)
    # What is left upstream are the encoders that cloning needs; the rest is given back.
    del model.talker, model.speech_tokenizer.model.decoder, decoder
    if kind == "base":
        model.to(device)
        model.speech_tokenizer.model.to(device)
        model.speech_tokenizer.device = device
    else:
        upstream = None
    del model
    gc.collect()
    return Checkpoint(
        kind, size, ids, frame_model, quantized, codec_weights, prompts, tokenizer, sampling, upstream, tuple(notes)
    )


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


def _load_upstream(package: Any, settings: QwenSettings, dtype: torch.dtype, attention: str, notes: list[str]) -> Any:
    """Loads upstream's model into host memory, so that the device never holds a weight twice while they are packed."""
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


def plain_codec_dtype(settings: QwenSettings) -> torch.dtype:
    """Returns CODEC_DTYPE of the plain decoder, and of the weights from which the kernels' decoder is made."""
    dtype: torch.dtype = getattr(torch, "float32" if settings.codec_dtype == "auto" else settings.codec_dtype)
    return dtype


def fast_codec_dtype(settings: QwenSettings) -> torch.dtype:
    """Returns CODEC_DTYPE of the kernels' decoder, which is within 1 % of float32 in float16."""
    dtype: torch.dtype = getattr(torch, "float16" if settings.codec_dtype == "auto" else settings.codec_dtype)
    return dtype


def _sampling(config: dict[str, Any]) -> Sampling:
    """Reads the sampling settings from the checkpoint's generation_config.json, which has upstream's names."""
    drawn, sub_drawn = config.get("do_sample", True), config.get("subtalker_dosample", True)
    return Sampling(
        temperature=float(config.get("temperature", 0.9)) if drawn else 0.0,
        top_k=int(config.get("top_k", 50)),
        top_p=float(config.get("top_p", 1.0)),
        repetition_penalty=float(config.get("repetition_penalty", 1.05)),
        sub_temperature=float(config.get("subtalker_temperature", 0.9)) if sub_drawn else 0.0,
        sub_top_k=int(config.get("subtalker_top_k", 50)),
        sub_top_p=float(config.get("subtalker_top_p", 1.0)),
    )


def too_large(settings: QwenSettings) -> SpeechError:
    """Returns the error for a model that does not fit into the GPU's memory."""
    free, total = torch.cuda.mem_get_info(settings.device)
    return SpeechError(
        f"MODEL_ID={settings.model_id} with MAX_BATCH={settings.max_batch} does not fit: "
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB of GPU memory were free; "
        "QUANTIZE=int8, TEXT_EMBEDDING=host, a smaller MAX_BATCH or MAX_POSITIONS need less"
    )
