"""Loads a checkpoint from its files, or where they are not as expected with upstream's `qwen-tts`."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.model import flash
from engine.qwen3.model.cache_folder import cache_folder
from engine.qwen3.model.codec_weights import CodecWeights, take_codec
from engine.qwen3.model.encoders import Encoders
from engine.qwen3.model.frame import FrameModel
from engine.qwen3.model.kept_voices import KeptVoices
from engine.qwen3.model.prompt import Ids, PromptBuilder
from engine.qwen3.model.quantize import conversion
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.text import TextEmbedder, TextTokenizer
from engine.qwen3.model.upstream import load_upstream, through_upstream
from engine.qwen3.model.weight_files import Parts, read_files
from engine.qwen3.model.weights import take_predictor, take_talker
from engine.qwen3.settings import QwenSettings
from engine.speech import SpeechError

log = structlog.get_logger(__name__)


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
    encoders: Encoders | None  # a Base model's, which take voices
    voices: KeptVoices
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
    dtype, codec_dtype = getattr(torch, settings.dtype), plain_codec_dtype(settings)
    if attention == "sdpa":  # else upstream is asked whether its modules can have it
        try:
            parts = read_files(_folder(settings.model_id), dtype, codec_dtype)
            return _made_of(parts, settings, device, attention, max_positions, notes)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever is not as expected: upstream either knows better, or says what is wrong
            log.info("the checkpoint is read through upstream", why=first_line(error))
    parts = through_upstream(settings, dtype, codec_dtype, attention, notes)
    return _made_of(parts, settings, device, attention, max_positions, notes)


def _folder(model_id: str) -> Path:
    """Returns the checkpoint's folder; a model on the Hub is fetched first."""
    folder = Path(model_id).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(model_id))


def _made_of(
    parts: Parts, settings: QwenSettings, device: torch.device, attention: str, max_positions: int, notes: list[str]
) -> Checkpoint:
    """Puts what a checkpoint consists of where it is spoken with."""
    notes = [*notes]
    with torch.inference_mode():
        ids = Ids.of(parts.config)
        codec_weights = take_codec(parts.decoder, "cpu", plain_codec_dtype(settings))
        convert, quantized, why_not = conversion(settings, device)
        notes += why_not
        talker = take_talker(parts.talker, max_positions, device, convert)
        predictor = take_predictor(parts.talker.code_predictor, device, convert)
        if attention == "flash_attention_2":
            talker, predictor = flash.with_flash(talker, predictor)
        text = TextEmbedder.of(parts.talker, device, settings.text_embedding)
        tokenizer = TextTokenizer(parts.encode)
        prompts = PromptBuilder(ids, text, talker.embedding, predictor.embeddings, tokenizer.role)
        frame_model = FrameModel.build(talker, predictor, prompts.tts_pad, ids.eos)
    kind, size = parts.config.tts_model_type, parts.config.tts_model_size
    encoders = None
    if kind == "base":
        dtype = getattr(torch, settings.dtype)
        encoders = Encoders(lambda: load_upstream(settings, dtype, attention, []), device)
    voices = KeptVoices(cache_folder() / "voices", _files_of(settings))
    gc.collect()
    return Checkpoint(
        kind, size, ids, frame_model, quantized, codec_weights, prompts, tokenizer, _sampling(parts.generation),
        encoders, voices, tuple(notes),
    )  # fmt: skip


def _files_of(settings: QwenSettings) -> str:
    """Returns what tells this checkpoint from others, and from what was in its folder before."""
    folder = Path(settings.model_id).expanduser()
    files = sorted(folder.rglob("*.safetensors")) if folder.is_dir() else []
    found = [f"{each.name} {each.stat().st_size} {each.stat().st_mtime_ns}" for each in files]
    return ", ".join([str(folder.resolve()) if files else settings.model_id, settings.dtype, *found])


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
