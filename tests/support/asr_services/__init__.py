"""Speech recognition services as ASR_PROTOCOL meets them: real WebSocket servers that speak each one's wire format.

What they hear is scripted: the nth stretch of sound is the nth text, told word by word as its sound comes in. What they
are strict about is what the real ones are: paths, keys, parameters, order, and how long they wait for audio. And they
can be told to misbehave.
"""

from tests.support.asr_services.deepgram import DeepgramService, FluxService
from tests.support.asr_services.openai_realtime import OpenAiService
from tests.support.asr_services.qwen3_asr import Qwen3AsrOwnDetector, Qwen3AsrService
from tests.support.asr_services.service import LOUD, RUBBISH, AsrService, Connection
from tests.support.asr_services.vllm_realtime import VllmService
from tests.support.asr_services.vosk import VoskService

SERVICES: list[type[AsrService]] = [
    OpenAiService,
    Qwen3AsrService,
    Qwen3AsrOwnDetector,
    VllmService,
    DeepgramService,
    FluxService,
    VoskService,
]

__all__ = [
    "LOUD", "RUBBISH", "SERVICES", "AsrService", "Connection", "DeepgramService", "OpenAiService", "Qwen3AsrService",
    "VllmService",
]  # fmt: skip
