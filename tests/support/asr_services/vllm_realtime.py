"""vLLM's realtime transcription."""

from __future__ import annotations

import asyncio
import base64
import json

from tests.support.asr_services.service import AsrService, Connection, Hearing


class VllmService(AsrService):
    """`/v1/realtime` of vLLM: `commit` starts a generation, `commit final` ends it, what is queued then is lost."""

    name, path = "vllm-realtime", "/v1/realtime"
    settings = {"asr_model": "voxtral"}  # noqa: RUF012

    async def serve(self, connection: Connection) -> None:
        socket = connection.socket
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        generation: asyncio.Task[None] | None = None
        validated = False
        await connection.tell({"type": "session.created", "id": "sess-1", "created": 0})
        try:
            async for message in socket:
                event = json.loads(message.data)
                match event["type"]:
                    case "session.update":
                        connection.texts.append(event)
                        validated = event["model"] == self.settings["asr_model"]
                    case "input_audio_buffer.append":
                        pcm = base64.b64decode(event["audio"], validate=True)
                        assert pcm, "it cannot process empty audio"
                        assert len(pcm) % 2 == 0, "half a sample"
                        connection.audio += pcm
                        queue.put_nowait(pcm)
                    case "input_audio_buffer.commit":
                        connection.texts.append(event)
                        assert validated, "model not validated"
                        if event.get("final"):
                            queue.put_nowait(None)
                        else:
                            assert generation is None or generation.done(), "a commit in a generation is ignored"
                            generation = asyncio.create_task(self._generate(connection, queue))
                    case other:
                        raise AssertionError(f"unknown event: {other}")
                self.changed.set()
        finally:
            if generation is not None:
                generation.cancel()
                await asyncio.gather(generation, return_exceptions=True)

    async def _generate(self, connection: Connection, queue: asyncio.Queue[bytes | None]) -> None:
        hearing, told = Hearing(self), ""
        while (pcm := await queue.get()) is not None:
            hearing.push(pcm)
            words = hearing.words
            await connection.tell({"type": "transcription.delta", "delta": words[len(told) :]})
            told = words
        text = hearing.final()
        await connection.tell({"type": "transcription.delta", "delta": text[len(told) :]})
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        await connection.tell({"type": "transcription.done", "text": text, "usage": usage})
        while not queue.empty():
            queue.get_nowait()
