"""One Wyoming client: it asks what there is, and has texts spoken in turn, whole or as they are written."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import ValidationError
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Eventable, async_write_event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeTextFormat,
)

from bridge.line.sparse_log import SparseLog
from bridge.wyoming.events import BadEvent, EventReader, parse, read_event
from bridge.wyoming.voices import ListedVoices
from engine.api.delivery import Account, as_api_error, drop
from engine.api.pace import Pace, SlowReader
from engine.api.requests import SpeechRequest
from engine.api.service import SpeechService
from engine.api.synthesis import SpeechJob
from engine.growing_text import GrowingText
from engine.loop_share import loop_share
from engine.speech import Priority
from engine.web.errors import ApiError, from_validation_error
from engine.web.inbox import Budget, Flood

log = structlog.get_logger(__name__)

ENDPOINT: Final = "wyoming"
"""How the log and the metrics call this interface."""
MAX_REQUESTS: Final = 16
"""The number of requests that one connection may have unfinished."""
IDLE_S: Final = 60.0
"""How long a client may ask for nothing while nothing is spoken for it."""
CLOSE_S: Final = 1.0
"""How long a client's last words are read for nothing, as closing with them unread would lose what it is told; and then
how long it may take to read what it was sent."""
WIDTH: Final = 2
"""The bytes of a sample."""

_REFUSALS: Final = SparseLog()


@dataclass(frozen=True, slots=True)
class _Request:
    """A text to speak."""

    job: SpeechJob
    text: GrowingText | None
    """The text, where it comes in pieces."""


class WyomingConnection:
    """One client's connection. Whatever is wrong with an event is told the client and ends the connection.

    It must end: Home Assistant knows no event `error`, and would wait for the audio.
    """

    def __init__(
        self,
        service: SpeechService,
        voices: ListedVoices,
        reader: EventReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._service = service
        self._voices = voices
        self._reader, self._writer = reader, writer
        self._address = str((writer.get_extra_info("peername") or ("",))[0])
        self._idle_s = IDLE_S
        self._patience: asyncio.Timeout | None = None
        """It runs while nothing is spoken."""
        self._budget = Budget()
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self._unfinished = 0
        self._open: GrowingText | None = None
        """The text whose pieces are coming."""

    @property
    def busy(self) -> bool:
        """Tells whether a text is still being spoken."""
        return self._unfinished > 0

    async def serve(self) -> None:
        """Serves the client until it leaves, is wrong or asks for nothing any more, and closes the connection."""
        try:
            await self._converse()
        except (TimeoutError, ConnectionError, Flood):
            pass
        except SlowReader:
            drop(self._writer.transport)
        except BadEvent as error:
            await self._refuse(Error(str(error), "BAD_EVENT"))
        except Exception as error:
            fault = as_api_error(error)
            await self._refuse(Error(fault.message, fault.code))
        finally:
            await self._close()

    async def _close(self) -> None:
        """Closes the connection; what is not sent by then to a client that does not read is not waited for."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except TimeoutError:
            drop(self._writer.transport)
        except ConnectionError:
            pass

    def finish(self) -> None:
        """Ends the connection as soon as nothing is being spoken."""
        self._idle_s = 0.0
        self._be_patient()

    async def _converse(self) -> None:
        """Listens and speaks until one of the two ends. Raises what ended it."""
        async with asyncio.timeout(None) as self._patience:
            self._be_patient()
            tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._speak())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                self._patience = None
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        counted = 0
        while (event := await read_event(self._reader)) is not None:
            received = self._reader.received
            await asyncio.sleep(self._budget.spend(received - counted))
            counted = received
            await loop_share().turn(Priority.HTTP)
            await self._take(parse(event))
            self._be_patient()

    async def _take(self, message: Eventable | None) -> None:
        match message:
            case Describe():
                info = await loop_share().do(self._voices.info, Priority.HTTP)
                await async_write_event(info, self._writer)
            case Ping():
                await self._send(Pong(message.text))
            case Synthesize():
                if self._open is None:  # otherwise it is the whole of the text that came in pieces, once more
                    self._append(_Request(self._job(message, message.text), None))
            case SynthesizeStart():
                self._end_text()
                self._open = GrowingText()
                self._append(_Request(self._job(message, self._open), self._open))
            case SynthesizeChunk():
                self._add(message.text)
            case SynthesizeStop():
                self._end_text()

    def _job(self, asked: Synthesize | SynthesizeStart, text: str | GrowingText) -> SpeechJob:
        if asked.text_format not in (None, *SynthesizeTextFormat):
            raise BadEvent(f"text_format is {asked.text_format!r}; text and ssml are known")
        voice, language = self._voices.meant(asked.voice)
        whole = text if isinstance(text, str) else "in pieces"
        try:
            request = SpeechRequest.model_validate({"input": whole, "voice": voice, "language": language})
        except ValidationError as error:
            raise from_validation_error(error) from None
        return self._service.job(request, "pcm", text=None if isinstance(text, str) else text)

    def _append(self, request: _Request) -> None:
        if self._unfinished >= MAX_REQUESTS:
            raise ApiError(503, "QUEUE_FULL", f"{MAX_REQUESTS} requests on this connection are not answered yet")
        self._unfinished += 1
        self._requests.put_nowait(request)

    def _add(self, piece: str) -> None:
        if self._open is None:
            raise BadEvent("synthesize-chunk comes after synthesize-start")
        if fault := self._service.too_long(self._open.characters + len(piece)):
            raise fault
        self._open.write(piece)

    def _end_text(self) -> None:
        text, self._open = self._open, None
        if text is not None:
            text.end()

    async def _speak(self) -> None:
        while True:
            request = await self._requests.get()
            await self._send_speech(request)
            self._unfinished -= 1
            self._be_patient()

    async def _send_speech(self, request: _Request) -> None:
        job, text = request.job, request.text
        account = Account(self._service, ENDPOINT, job)
        pace = Pace(self._service.settings.slow_reader_timeout)
        rate_hz = job.sample_rate_hz
        try:
            async with self._service.synthesizer.speak(job, self._address, pace) as speech:
                account.first_audio(speech)
                await pace.send(self._send(AudioStart(rate_hz, WIDTH, 1, timestamp=0)), 0.0)
                async for block in speech.blocks:
                    if block.data:
                        chunk = AudioChunk(rate_hz, WIDTH, 1, block.data, timestamp=round(account.sent_s * 1000))
                        await pace.send(self._send(chunk), block.duration_s)
                    account.sent_s += block.duration_s
                await pace.send(self._send(AudioStop(timestamp=round(account.sent_s * 1000))), 0.0)
            if text is not None:
                await self._send(SynthesizeStopped())
            account.outcome = "ok"
        except SlowReader:
            account.outcome = "slow"
            raise
        except ConnectionError:
            raise
        except Exception as error:
            fault = as_api_error(error)
            account.outcome = fault.code
            raise fault from None
        finally:
            if text is not None:
                account.characters = text.characters
            account.close()

    async def _send(self, message: Eventable) -> None:
        await async_write_event(message.event(), self._writer)

    async def _refuse(self, fault: Error) -> None:
        """Tells the client what was wrong, as the last thing that it is told."""
        _REFUSALS.write(log.info, "a Wyoming client is refused", code=fault.code)
        with suppress(ConnectionError, TimeoutError, RuntimeError):
            async with asyncio.timeout(CLOSE_S):
                await self._send(fault)
                self._writer.write_eof()
                while await self._reader.read(65_536):
                    pass

    def _be_patient(self) -> None:
        """Waits for the client's next request from now on, or for as long as speaking takes."""
        if self._patience is not None:
            loop = asyncio.get_running_loop()
            self._patience.reschedule(None if self.busy else loop.time() + self._idle_s)
