"""Holds the demo's second call: an order by telephone, with a barge-in and with a noise that is none."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bridge.demo.caller_voice import RATE_HZ, begin_to_speak, caller_lines, embedded_voice
from bridge.demo.server_process import ServerProcess, running_server
from bridge.dial.caller import Caller
from bridge.dial.table import aligned
from bridge.dial.wav import both_sides, write_wav
from bridge.hearing.asr.recognizer_pool import models_for
from bridge.line.audiosocket import FRAME_MS
from engine.speech import Pcm

SCRIPT: Final = Path(__file__).parents[1] / "brains" / "scripts" / "pizza.yaml"

ORDER: Final = "A pepperoni pizza, please."
NOISE: Final = "Uh huh, okay."
"""A back-channel, such as listeners say. It pauses the agent, which then goes on."""
BARGE_IN: Final = "The large one, please."
DELIVERY: Final = "Please bring it to me."
GOODBYE: Final = "No, that is all."

INTO_THE_CHOICE_S: Final = 5.0
"""After this long the agent has repeated the order and begun to list the sizes."""
AFTER_THE_NOISE_S: Final = 2.0
EVENT_TIMEOUT_S: Final = 30.0
NOISE_TIMEOUT_S: Final = 5.0
"""If the agent has not paused for a noise by then, it has not noticed it."""


class WentWrong(Exception):
    """The conversation did not go as it should. The text says where."""


@dataclass(slots=True)
class CallerTurn:
    """Something that the caller said. Times are seconds of `time.monotonic()`."""

    text: str
    start_s: float
    end_s: float
    answered_s: float | None = None
    """When the agent's answer was first heard."""
    silent_s: float | None = None
    """When the agent was last heard, if this interrupted it."""


@dataclass(slots=True)
class SpokenOrder:
    """The call, once it is over."""

    caller: Caller
    turns: list[CallerTurn] = field(default_factory=list)
    noise_ms: tuple[int, int] | None = None
    """When the agent paused for the caller's noise and when it went on, in ms of the call; None if it did not pause."""
    state: dict[str, Any] = field(default_factory=dict)
    """The call as the calls API shows it."""


class Customer:
    """Plays the caller; everything else is real."""

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession, lines: dict[str, Pcm]) -> None:
        self._server = server
        self._http = http
        self._lines = lines
        self._caller = Caller(rate_hz=RATE_HZ, keep_audio=True)
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.spoken_order = SpokenOrder(self._caller)

    async def order(self) -> SpokenOrder:
        """Holds the whole call. Raises CannotCall, WentWrong, EOFError."""
        caller = self._caller
        await caller.connect(self._server.host, self._server.port)
        await caller.voice(caller.dialled_s)
        listening = asyncio.create_task(self._listen())
        try:
            await self._until("response.done")
            await self._answered(await self._say(ORDER))
            await asyncio.sleep(INTO_THE_CHOICE_S)
            await self._say(NOISE)
            await self._let_pass()
            await asyncio.sleep(AFTER_THE_NOISE_S)
            barge_in = await self._say(BARGE_IN)
            await self._until("response.interrupted")
            barge_in.silent_s = self._last_voiced_s(barge_in.end_s + 0.5)
            await self._answered(barge_in)
            for text in (DELIVERY, GOODBYE):
                await self._until("response.done")
                await self._answered(await self._say(text))
            await asyncio.wait_for(caller.ended.wait(), EVENT_TIMEOUT_S)
        except TimeoutError:
            raise WentWrong(f"the agent did not react to: {self.spoken_order.turns[-1].text}") from None
        finally:
            caller.hang_up()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        async with self._http.get(f"/v1/calls/{caller.id}") as response:
            self.spoken_order.state = await response.json()
        return self.spoken_order

    async def _say(self, text: str) -> CallerTurn:
        """Has the caller say `text`, and waits until that is over."""
        turn = CallerTurn(text, *begin_to_speak(self._caller, self._lines[text]))
        self.spoken_order.turns.append(turn)
        await asyncio.sleep(turn.end_s - time.monotonic())
        return turn

    async def _answered(self, turn: CallerTurn) -> None:
        await self._until("response.started")
        turn.answered_s = await self._caller.voice(max(turn.end_s, turn.silent_s or 0.0))

    def _last_voiced_s(self, before_s: float) -> float | None:
        turn = self.spoken_order.turns[-1]
        return self._caller.received.last_voiced_s(turn.start_s, min(before_s, time.monotonic()))

    async def _listen(self) -> None:
        async with self._http.ws_connect(f"/v1/calls/{self._caller.id}/events") as socket:
            async for message in socket:
                self._events.put_nowait(json.loads(message.data))

    async def _let_pass(self) -> None:
        """Waits until the agent, which a noise silenced, goes on. The agent may not have noticed the noise at all."""
        try:
            paused = await self._until("response.paused", timeout_s=NOISE_TIMEOUT_S)
        except TimeoutError:
            return
        event = await self._until("response.resumed", "response.interrupted")
        if event["type"] == "response.interrupted":
            raise WentWrong(f"the recogniser took {NOISE!r} for words")
        self.spoken_order.noise_ms = paused["at_ms"], event["at_ms"]

    async def _until(self, *kinds: str, timeout_s: float = EVENT_TIMEOUT_S) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            while (event := await self._events.get())["type"] not in kinds:
                pass
        return event


def available() -> bool:
    """Tells whether the recogniser of the demo extra is installed."""
    try:
        return bool(models_for("auto", "en"))
    except OSError:
        return False


async def hold_order(dial: asyncio.Barrier) -> SpokenOrder:
    """Starts a server with the embedded voice and recogniser, and orders once `dial` lets it.

    Raises CannotServe, CannotCall, SpeechError, WentWrong, EOFError.
    """
    try:
        return await _hold(dial)
    except BaseException:
        await dial.abort()  # nobody is to wait for a conversation that cannot begin
        raise


async def _hold(dial: asyncio.Barrier) -> SpokenOrder:
    async with embedded_voice() as voice:
        lines = await caller_lines(voice, ORDER, NOISE, BARGE_IN, DELIVERY, GOODBYE)
    settings = {"ENGINE": "hibari", "ASR_PROTOCOL": "embedded", "SCRIPT": str(SCRIPT), "BACKCHANNELS": "en"}
    async with running_server(**settings) as server, aiohttp.ClientSession(server.http_url) as http:
        await dial.wait()
        return await Customer(server, http, lines).order()


def write(order: SpokenOrder, folder: Path) -> list[Path]:
    """Writes the call as a stereo WAV and its transcript as JSON; returns their paths."""
    wav, transcript = folder / "conversation.wav", folder / "conversation.json"
    write_wav(wav, both_sides(order.caller), RATE_HZ)
    transcript.write_text(json.dumps(order.state["conversation"], ensure_ascii=False, indent=2) + "\n")
    return [wav, transcript]


def show(order: SpokenOrder) -> str:
    """Returns the transcript, and a table of where the time of each turn went."""
    entries = sorted(order.state["conversation"]["transcript"], key=lambda entry: entry["start_ms"])
    lines = [
        f"{entry['start_ms'] / 1000:6.1f} s  {'caller' if entry['who'] == 'user' else 'agent '}  {entry['text']}"
        + ("  — interrupted" if entry["interrupted"] else "")
        for entry in entries
    ]
    if order.noise_ms is not None:
        paused_ms, resumed_ms = order.noise_ms
        outcome = f"— paused at “{NOISE}”, and went on {resumed_ms - paused_ms} ms later"
        before = sum(entry["start_ms"] < paused_ms for entry in entries)
        lines.insert(before, f"{paused_ms / 1000:6.1f} s  agent   {outcome}")
    rows: list[tuple[str, ...]] = [
        ("the caller's last sound → the agent's first, ms", "heard", "transcript", "sentence", "audio", "frame")
    ]
    traces = [entry["trace"] for entry in entries if entry["who"] == "agent" and "speech_end_ms" in entry["trace"]]
    answered = [turn for turn in order.turns if turn.answered_s is not None]
    for turn, trace in zip(answered, traces, strict=False):
        assert turn.answered_s is not None
        stages = (trace[f"{stage}_ms"] for stage in ("transcript", "first_sentence", "first_audio", "first_frame"))
        rows.append((turn.text, f"{(turn.answered_s - turn.end_s) * 1000:.0f}", *(f"{stage}" for stage in stages)))
    figures: list[tuple[str, str]] = []
    for turn in order.turns:
        if turn.silent_s is not None:
            silent_ms = (turn.silent_s - turn.start_s) * 1000 + FRAME_MS
            figures.append(("the interrupting caller's first sound → the agent silent", f"{silent_ms:.0f} ms"))
    measured = order.state["conversation"]["interrupt_to_silence_ms"]
    figures.append(("signal → the agent's last sound sent, by the server's account, worst", f"{max(measured):.1f} ms"))
    return "\n".join([*lines, "", aligned(rows), "", aligned(figures)])
