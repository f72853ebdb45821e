"""The settings of ENGINE=qwen3, each under its bare upper-case name in the environment."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SAMPLE_RATE_HZ: Final = 24_000
"""The sample rate of all the sound that the model makes."""
NARROWBAND_HZ: Final = 8_000
"""The rate of a telephone line, at which it leaves the model's process where that is asked for."""
LANGUAGES: Final = {
    "en": "english",
    "zh": "chinese",
    "de": "german",
    "it": "italian",
    "pt": "portuguese",
    "es": "spanish",
    "ja": "japanese",
    "ko": "korean",
    "fr": "french",
    "ru": "russian",
}
"""The languages that every voice speaks: ISO 639-1 code → the checkpoints' name."""
DEFAULT_MODEL_ID: Final = "Qwen/Qwen3-TTS-12Hz-0.6B-Base"


class QwenSettings(BaseModel):
    """Which model ENGINE=qwen3 runs, on what and how."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str = Field(DEFAULT_MODEL_ID, description="a model on the Hugging Face Hub, or a local folder")
    device: str = Field("cuda", pattern=r"^(cpu|cuda(:\d+)?)$", description="cuda, cuda:1 … for one of several, or cpu")
    dtype: Literal["bfloat16", "float16", "float32"] = Field("bfloat16", description="of the language models")
    codec_dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="of the codec's decoder; auto: float16 in the kernels, else float32"
    )
    attention: Literal["flash_attention_2", "sdpa"] = Field(
        "sdpa", description="of the plain layers and of upstream's modules; the kernels have their own"
    )
    tf32: bool = Field(True, description="float32 products on tensor cores, with 10 bits of mantissa")
    text_embedding: Literal["host", "gpu"] = Field(
        "host", description="host: looked up in host memory; gpu: kept on the device, already projected"
    )
    preload_model: bool = Field(True, description="load at the start; false: with the first request")
    idle_timeout: float = Field(
        0.0, ge=0, description="seconds without a request until the model is unloaded; 0: never"
    )

    prime_languages: str = Field(
        "en", description="languages, as en,de, in which every voice is made ready at the start, or none"
    )

    quantize: Literal["none", "int8", "fp8"] = Field("none", description="of the language models' matrices")
    int8_backend: Literal["weight_only", "bitsandbytes"] = Field(
        "weight_only", description="weight_only goes with CUDA graphs; bitsandbytes (LLM.int8) does not"
    )
    torch_compile: bool = Field(False, description="compile what no hand-written kernel does")
    torch_compile_mode: Literal["max-autotune", "reduce-overhead", "default"] = Field(
        "max-autotune", description="torch's own, with TORCH_COMPILE"
    )
    cuda_graphs: bool = Field(True, description="false: plain PyTorch speaks, many times slower")

    max_batch: int = Field(16, ge=1, description="calls spoken to at once; each takes its share of GPU memory")
    speech_lead_ms: int = Field(
        800, ge=0, le=4000, description="sound that every call has ahead before the GPU rests; 0: it makes all it can"
    )
    max_wait_ms: int = Field(
        500, ge=0, description="an HTTP request that would wait longer for its place in the batch gets a 503 at once"
    )
    max_positions: int = Field(768, ge=64, description="prompt and frames of one sentence; 12.5 frames a second")

    @field_validator("prime_languages")
    @classmethod
    def _spoken(cls, value: str) -> str:
        codes = [code.strip().lower() for code in value.split(",") if code.strip()]
        if codes == ["none"]:
            return ""
        if unknown := [code for code in codes if code not in LANGUAGES]:
            raise ValueError(f"{', '.join(unknown)} is not spoken; {', '.join(LANGUAGES)} are, and none is allowed")
        return ",".join(codes)

    @field_validator("quantize", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        return "none" if value in ("", None) else value
