"""Holds the demo's scripted call: what both sides say is fixed beforehand, and the caller interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

import numpy as np

from bridge.converse.server_process import ServerProcess, running_server
from bridge.converse.voices import RATE_HZ, embedded_voice, speech_of, speech_of_caller
from bridge.demo.scripted_call import AgentText, BargeIn, ScriptedCall, SpokenText
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient
from bridge.line.audiosocket import FRAME_MS
from engine.audio import resample
from engine.speech import Pcm

GREETING: Final = "Hello, this is Talkspurt. How can I help you?"
QUESTION: Final = "Hi. Are you open on Saturday?"
ANSWER: Final = "Yes. On Saturday we are open from nine in the morning until four in the afternoon."
LONG_ANSWER: Final = (
    "Before you come, please have your order number at hand, bring the parcel in its original box, "
    "and note that the car park behind the building is closed until the end of the month."
)
OBJECTION: Final = "Sorry, one question."
GO_AHEAD: Final = "Of course, go ahead."
GOODBYE: Final = "Ah, never mind. Thank you, goodbye."

TURN_SILENCE_S: Final = 0.5
"""An agent that is silent for this long has finished; a pause inside a sentence is shorter."""
NOTICED_S: Final = 0.2
"""The time from the caller's first sound to the interrupt, as speech detection would take it."""


class ScriptedCaller:
    """Plays the caller, and also the speech recogniser and the application that would answer."""

    def __init__(self, server: ServerProcess, client: CallsClient, lines: dict[str, Pcm]) -> None:
        self._server = server
        self._client = client
        self._lines = lines
        self._caller = Caller(rate_hz=RATE_HZ, keep_audio=True)
        self._call = ScriptedCall(self._caller)

    async def talk(self) -> ScriptedCall:
        """Holds the whole call. Raises CannotCall, Rejected, EOFError."""
        caller = self._caller
        await caller.connect(self._server.host, self._server.port)
        await self._hear(GREETING, caller.dialled_s)
        await self._speak(QUESTION)
        await self._have_said(ANSWER)
        await self._barge_in()
        await self._have_said(GO_AHEAD)
        await self._speak(GOODBYE)
        caller.hang_up()
        await caller.ended.wait()
        return self._call

    async def _have_said(self, text: str) -> None:
        """Has the agent speak, and waits until it has finished."""
        handed_s = time.monotonic()
        await self._client.say(self._caller.id, text)
        await self._hear(text, handed_s)

    async def _hear(self, text: str, handed_s: float) -> None:
        start_s = await self._caller.voice(handed_s)
        await self._caller.silence(TURN_SILENCE_S)
        self._agent_spoke(text, start_s, handed_s)

    def _agent_spoke(self, text: str, start_s: float, handed_s: float) -> AgentText:
        last_voiced_s = self._caller.received.latest_voiced_s
        assert last_voiced_s is not None
        spoken = AgentText(text, start_s, last_voiced_s + FRAME_MS / 1000, handed_s, last_voiced_s)
        self._call.agent_texts.append(spoken)
        return spoken

    async def _speak(self, text: str) -> None:
        """Has the caller speak, and waits until that is over."""
        await _until(self._begin(text).end_s)

    def _begin(self, text: str) -> SpokenText:
        """Lets the caller begin to speak."""
        spoken = SpokenText(text, *self._caller.speak(self._lines[text]))
        self._call.caller_texts.append(spoken)
        return spoken

    async def _barge_in(self) -> None:
        """Has the caller speak into the middle of a long sentence, and interrupts the agent `NOTICED_S` later."""
        whole = self._lines[LONG_ANSWER]
        handed_s = time.monotonic()
        await self._client.say(self._caller.id, LONG_ANSWER)
        start_s = await self._caller.voice(handed_s)
        await _until(start_s + _loud_middle_s(whole) - NOTICED_S)
        objection = self._begin(OBJECTION)
        await asyncio.sleep(NOTICED_S)
        requested_s = time.monotonic()
        answer = await self._client.interrupt(self._caller.id)
        await self._caller.silence(TURN_SILENCE_S)
        spoken = self._agent_spoke(LONG_ANSWER, start_s, handed_s)
        heard = str(answer.get("text", ""))
        self._call.barge_in = BargeIn(spoken, requested_s, spoken.last_voiced_s, heard, start_s + whole.size / RATE_HZ)
        await _until(objection.end_s)


def _loud_middle_s(pcm: Pcm) -> float:
    """Returns the loudest moment of the middle tenth, so that the cut shows and no pause hides it."""
    window = RATE_HZ // 10
    first, last = int(0.45 * pcm.size), int(0.55 * pcm.size)
    power = np.convolve(pcm.astype(np.float64) ** 2, np.ones(window), "same")
    return (first + int(np.argmax(power[first:last]))) / RATE_HZ


async def _until(at_s: float) -> None:
    await asyncio.sleep(at_s - time.monotonic())


async def hold_call(dial: asyncio.Barrier) -> ScriptedCall:
    """Starts a server on the embedded voice, and holds the call once `dial` lets it.

    Raises CannotServe, CannotCall, Rejected, SpeechError, EOFError.
    """
    async with embedded_voice() as voice:
        lines = {text: await speech_of_caller(voice, text) for text in (QUESTION, OBJECTION, GOODBYE)}
        whole = await speech_of(voice, LONG_ANSWER)  # to know how long it takes
        lines[LONG_ANSWER] = resample(whole, voice.sample_rate_hz, RATE_HZ)
    async with (
        running_server(ENGINE="hibari", GREETING=GREETING) as server,
        CallsClient(server.http_url) as client,
    ):
        with contextlib.suppress(asyncio.BrokenBarrierError):  # the conversation cannot begin; the call can
            await dial.wait()
        return await ScriptedCaller(server, client, lines).talk()
