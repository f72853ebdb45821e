"""The protocols by the names that ASR_PROTOCOL takes."""

from __future__ import annotations

from typing import Final

from bridge.asr.deepgram import Deepgram
from bridge.asr.openai_realtime import OpenAiRealtime
from bridge.asr.protocol import Protocol
from bridge.asr.qwen3 import Qwen3Asr
from bridge.asr.vllm_realtime import VllmRealtime
from bridge.asr.vosk import Vosk

PROTOCOLS: Final[dict[str, type[Protocol]]] = {
    "openai-realtime": OpenAiRealtime,
    "qwen3-asr": Qwen3Asr,
    "vllm-realtime": VllmRealtime,
    "deepgram": Deepgram,
    "vosk": Vosk,
}
