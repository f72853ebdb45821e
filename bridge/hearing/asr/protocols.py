"""The recognisers' protocols by the names that ASR_PROTOCOL takes."""

from __future__ import annotations

from typing import Final

from bridge.hearing.asr.deepgram import Deepgram
from bridge.hearing.asr.openai_realtime import OpenAiRealtime
from bridge.hearing.asr.protocol import AsrProtocol
from bridge.hearing.asr.qwen3_asr import Qwen3Asr
from bridge.hearing.asr.vllm_realtime import VllmRealtime
from bridge.hearing.asr.vosk import Vosk

PROTOCOLS: Final[dict[str, type[AsrProtocol]]] = {
    "openai-realtime": OpenAiRealtime,
    "qwen3-asr": Qwen3Asr,
    "vllm-realtime": VllmRealtime,
    "deepgram": Deepgram,
    "vosk": Vosk,
}
