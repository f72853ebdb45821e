"""Speaks a text as a pipeline of Pipecat does, and writes the sound into a file. Runs in an environment of its own."""

import asyncio
import sys
import wave

from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test


async def main(base_url: str, model: str, text: str, path: str) -> None:
    settings = OpenAITTSService.Settings(model=model, voice="marin")
    speech = OpenAITTSService(base_url=base_url, api_key="secret", settings=settings)
    frames, answers = await run_test(
        speech,
        frames_to_send=[TTSSpeakFrame(text)],
        pipeline_params=PipelineParams(audio_out_sample_rate=24_000),
        start_timeout=30.0,
    )
    assert not [answer for answer in answers if isinstance(answer, ErrorFrame)], answers
    sound = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, sound[0].sample_rate, 0, "NONE", ""))
        file.writeframes(b"".join(frame.audio for frame in sound))


asyncio.run(main(*sys.argv[1:]))
