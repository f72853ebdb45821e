"""Holds one scenario's call: waits for each moment, says, coughs and presses, and keeps what came back."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from bridge.converse.caller_model import CallerModel, NoWords
from bridge.converse.line_conditions import LineConditions, Samples, pcm_of
from bridge.converse.scenario import Moment, Scenario, Step
from bridge.converse.scripted_model import ScriptedModel
from bridge.converse.timeline import CallerAct, Timeline
from bridge.converse.told_recogniser import ToldRecogniser
from bridge.converse.voices import RATE_HZ, Voices
from bridge.dial.caller import Caller
from bridge.dial.client import CallsClient, Rejected
from bridge.interaction.heard_frames import TURN_SILENCE_S

PATIENCE_S: Final = 15.0
"""How long a caller waits for the agent to speak."""
BREATH_S: Final = 0.3
"""How long the agent has been silent when it has ended, where the server tells that it has."""
HANG_UP_S: Final = 5.0
"""How long a caller who expects it waits for the agent to hang up."""
KEY_S: Final = 0.2
RETRY_S: Final = 0.02


class Stuck(Exception):
    """The call cannot go on. The text says what did not happen."""


@dataclass(slots=True)
class Stage:
    """What the calls to one server have in common."""

    host: str
    port: int
    voices: Voices
    client: CallsClient | None = None
    """The server's HTTP interface; None where it is not known."""
    told: ToldRecogniser | None = None
    """The server's recogniser, if it is ours."""
    model: ScriptedModel | None = None
    """The server's language model, if it is ours."""
    caller_model: CallerModel | None = None
    """Makes up the words of callers who improvise."""


@dataclass(slots=True)
class _Clip:
    """Sound of the caller's, ready to be sent, and the words in it with their place in seconds."""

    sound: Samples
    words: list[tuple[str, float, float]] = field(default_factory=list)


class ScenarioCall:
    """One call. Use it once."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self._scenario = scenario
        self._stage = stage
        self.caller = Caller(rate_hz=RATE_HZ, keep_audio=True)
        self._line = LineConditions(RATE_HZ)
        self._heard = 0
        """How many of the agent's frames the line has been given."""
        self._clips: dict[int, _Clip] = {}
        self._acts: list[CallerAct] = []
        self._events: list[tuple[float, dict[str, Any]]] = []
        self._replying = False
        """Whether the server has told of a reply's beginning and not yet of its end."""
        self._since_s = 0.0
        """When the latest step ended; the agent's sound since then is its reaction."""

    async def prepare(self) -> None:
        """Makes all that the caller will say, so that nothing has to be made during the call. Raises SpeechError."""
        self._line = await self._stage.voices.line(self._scenario.line)
        for number, step in enumerate(self._scenario.caller):
            self._clips[number] = await self._clip(step, number)

    async def hold(self) -> Timeline:
        """Holds the call, which has been prepared, from its first frame to its last. Raises CannotCall, Rejected."""
        scenario, stage, caller = self._scenario, self._stage, self.caller
        tools = stage.model.expect(caller.id, scenario) if stage.model is not None else None
        if stage.client is not None:
            own = {"call": str(caller.id), "greeting": scenario.greeting}
            await stage.client.register(caller.id, **scenario.variables | own)
        caller.handset.line = self._through_line
        await caller.connect(stage.host, stage.port)
        self._since_s = caller.dialled_s
        watching = asyncio.create_task(self._watch())
        problem = ""
        try:
            async with asyncio.timeout(scenario.longest_s):
                await self._follow()
        except TimeoutError:
            problem = f"it was not over after {scenario.longest_s:g} s"
        except (Stuck, NoWords) as error:
            problem = str(error)
        finally:
            caller.hang_up()
            await caller.ended.wait()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        state = await stage.client.state(caller.id) if stage.client is not None else None
        return Timeline(
            caller.received.arrivals_s - caller.first_sent_s,
            caller.received.voiced,
            self._acts,
            self._events,
            state,
            tools,
            by_server=caller.by_server,
            problem=problem,
        )

    async def _follow(self) -> None:
        number, steps = 0, self._scenario.caller
        try:
            for number, step in enumerate(steps):
                if step.improvise:
                    await self._improvise(number, step)
                else:
                    await self._wait_for(step)
                    await self._do(number, step)
            number = len(steps)
            if steps[-1].hang_up:
                return
            await self._until_ended("the end")
            if self._scenario.expect.ended_by == "agent":
                await self._until_hung_up()
            await asyncio.sleep(self._scenario.stays_ms / 1000)
        except EOFError:
            if number < len(steps):
                raise Stuck(f"the agent ended the call before “{steps[number]}”") from None

    # The moments --------------------------------------------------------------------------------------------------

    async def _wait_for(self, step: Step) -> None:
        when = step.moment
        if when.moment is Moment.AGENT_ENDS:
            await self._until_ended(f"“{step}”")
        elif when.moment is not Moment.AT_ONCE:
            await asyncio.sleep(await self._voice(f"“{step}”") + when.after_ms / 1000 - time.monotonic())

    async def _voice(self, before: str) -> float:
        try:
            return await asyncio.wait_for(self.caller.voice(self._since_s), PATIENCE_S)
        except TimeoutError:
            raise Stuck(f"the agent was not heard for {PATIENCE_S:g} s before {before}") from None

    async def _until_ended(self, before: str) -> None:
        await self._voice(before)
        told = self._stage.client is not None
        while True:
            await self.caller.silence(BREATH_S if told else TURN_SILENCE_S)
            if self.caller.ended.is_set():
                raise EOFError("the call is over")
            if not self._replying:
                return

    async def _until_hung_up(self) -> None:
        try:
            await asyncio.wait_for(self.caller.ended.wait(), HANG_UP_S)
        except TimeoutError:
            raise Stuck(f"the agent did not hang up within {HANG_UP_S:g} s") from None

    # What the caller does -----------------------------------------------------------------------------------------

    async def _do(self, number: int, step: Step) -> None:
        if self.caller.ended.is_set():
            raise EOFError("the call is over")
        if step.hang_up:
            self.caller.hang_up()
        elif step.wait_ms:
            self._act(number, str(step), time.monotonic(), time.monotonic())
            await asyncio.sleep(step.wait_ms / 1000)
        elif step.press:
            now_s = time.monotonic()
            self.caller.handset.press(step.press)
            self._act(number, str(step), now_s, now_s + KEY_S * len(step.press))
            await asyncio.sleep(KEY_S * len(step.press))
        else:
            await self._sound(number, str(step), self._clips[number])

    async def _sound(self, number: int, text: str, clip: _Clip) -> None:
        start_s, end_s = self.caller.speak(pcm_of(clip.sound))
        self._act(number, text, start_s, end_s)
        if self._stage.told is not None:
            words = self._stage.told.call(str(self.caller.id))
            for piece, from_s, to_s in clip.words:
                words.tell(piece, start_s + from_s, start_s + to_s)
        await asyncio.sleep(end_s - time.monotonic())

    def _act(self, number: int, text: str, start_s: float, end_s: float) -> None:
        self._since_s = end_s
        first_s = self.caller.first_sent_s
        self._acts.append(CallerAct(number, text, start_s - first_s, end_s - first_s))

    async def _clip(self, step: Step, number: int = 0) -> _Clip:
        voice, factor = step.voice or self._scenario.voice, 10 ** (step.level_db / 20)
        if step.sound:
            name = f"{self._scenario.name} {number}"
            return _Clip(self._stage.voices.sound(step.sound, name, step.lasts_ms) * factor)
        parts: list[Samples] = []
        words: list[tuple[str, float, float]] = []
        at_s = 0.0
        for piece in step.pieces if step.say else ():
            if isinstance(piece, int):
                sound: Samples = np.zeros(piece * RATE_HZ // 1000)
            else:
                sound = await self._stage.voices.say(piece, voice) * factor
                words.append((piece, at_s, at_s + sound.size / RATE_HZ))
            parts.append(sound)
            at_s += sound.size / RATE_HZ
        if step.heard is not None:
            words = [(step.heard, 0.0, at_s)] if step.heard else []
        return _Clip(np.concatenate(parts) if parts else np.zeros(0), words)

    async def _improvise(self, number: int, step: Step) -> None:
        """Has a language model speak for the caller until it hangs up or has had its turns."""
        model = self._stage.caller_model
        if model is None:
            raise Stuck("nobody improvises: --caller-model names no language model")
        talk = model.talk(step.improvise)
        told = 0
        for _ in range(step.turns):
            await self._until_ended(f"“{step}”")
            texts = [event["text"] for _, event in self._events if event["type"] == "transcript.agent"]
            said = await talk.answer(" ".join(texts[told:]))
            told = len(texts)
            if not said:
                self.caller.hang_up()
                return
            clip = await self._clip(Step(say=said))
            await self._sound(number, said, clip)

    # The line and the server's events -----------------------------------------------------------------------------

    def _through_line(self, frame: bytes) -> bytes:
        received = self.caller.received.audio
        for rate_hz, pcm in received[self._heard :]:
            if rate_hz == RATE_HZ:
                self._line.heard(pcm)
        self._heard = len(received)
        return self._line.send(frame)

    async def _watch(self) -> None:
        """Keeps the server's events; tries again while it does not know the call yet."""
        client = self._stage.client
        while client is not None and not self.caller.ended.is_set():
            try:
                async with aclosing(client.events(self.caller.id)) as events:
                    async for event in events:
                        self._events.append((time.monotonic() - self.caller.first_sent_s, event))
                        if event["type"].startswith("response."):
                            self._replying = event["type"] not in ("response.done", "response.interrupted")
                return
            except Rejected:
                await asyncio.sleep(RETRY_S)
