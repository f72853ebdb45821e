"""`talkspurt demo`: one call to a real server, with a barge-in, as sound, as a picture and as figures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from bridge.demo.server_process import CannotServe, ServerProcess, running_server
from bridge.dial.caller import Caller, CannotCall
from bridge.dial.client import CallsClient, Rejected
from bridge.dial.conformance import end_s, faults
from bridge.dial.lateness import Spread, expected_frames, lateness_ms
from bridge.dial.table import aligned
from bridge.dial.wav import both_sides, write_wav
from bridge.line.audiosocket import FRAME_MS
from engine.audio import resample
from engine.hibari import HibariEngine
from engine.pipeline import speak
from engine.speech import Engine, Pcm, SpeechError, Style

RATE_HZ: Final = 8_000
FOLDER: Final = Path("demo")

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
"""Silent for this long, the other side has finished: longer than a pause inside a sentence."""
NOTICED_S: Final = 0.2
"""From the caller's first sound to the interrupt: what speech detection takes. It is played here by the demo."""
CALLER_SPEED: Final = 1.2
CALLER_PITCH: Final = 0.82
"""The caller is the same voice, lower: played slower by this, and made faster beforehand to keep the pace."""


@dataclass(frozen=True, slots=True)
class Spurt:
    """Someone spoke. Times are seconds of `time.monotonic()`."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class AgentSpurt(Spurt):
    """The agent spoke."""

    handed_s: float
    """When the text was handed over; for the greeting, when the number was dialled."""
    last_voiced_s: float
    """When the last voiced frame came in."""

    @property
    def first_audio_ms(self) -> float:
        """From handing the text over to its first voiced frame on the wire."""
        return (self.start_s - self.handed_s) * 1000


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller cut the agent short."""

    spurt: AgentSpurt
    """What was cut."""
    requested_s: float
    last_voiced_s: float
    heard: str
    """What the server says was heard of the text."""
    whole_end_s: float
    """When the agent would have finished."""

    @property
    def silence_ms(self) -> float:
        """From the request to the last voiced frame on the wire; 0 if none came after it."""
        return max(0.0, (self.last_voiced_s - self.requested_s) * 1000)


@dataclass(slots=True)
class DemoCall:
    """A call that has ended, and who said what when."""

    caller: Caller
    agent_spurts: list[AgentSpurt] = field(default_factory=list)
    caller_spurts: list[Spurt] = field(default_factory=list)
    barge_in: BargeIn | None = None

    def lateness(self) -> Spread | None:
        """Lateness of every frame of the call, ms."""
        received = self.caller.received
        return Spread.of(lateness_ms(received.arrivals_s, received.positions_s))


class Demo:
    """Plays the caller, and what would be the speech recogniser and the application behind it."""

    def __init__(self, server: ServerProcess, client: CallsClient, lines: dict[str, Pcm]) -> None:
        self._server = server
        self._client = client
        self._lines = lines
        self._caller = Caller(rate_hz=RATE_HZ, keep_audio=True)
        self._conversation = DemoCall(self._caller)

    async def talk(self) -> DemoCall:
        """The whole call. Raises CannotCall, Rejected, EOFError."""
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
        return self._conversation

    async def _have_said(self, text: str) -> None:
        """The agent speaks, to the end."""
        handed_s = time.monotonic()
        await self._client.say(self._caller.id, text)
        await self._hear(text, handed_s)

    async def _hear(self, text: str, handed_s: float) -> None:
        start_s = await self._caller.voice(handed_s)
        await self._caller.silence(TURN_SILENCE_S)
        self._agent_spoke(text, start_s, handed_s)

    def _agent_spoke(self, text: str, start_s: float, handed_s: float) -> AgentSpurt:
        last_voiced_s = self._caller.received.latest_voiced_s
        assert last_voiced_s is not None
        spurt = AgentSpurt(text, start_s, last_voiced_s + FRAME_MS / 1000, handed_s, last_voiced_s)
        self._conversation.agent_spurts.append(spurt)
        return spurt

    async def _speak(self, text: str) -> None:
        """The caller speaks, to the end."""
        await _until(self._begin(text).end_s)

    def _begin(self, text: str) -> Spurt:
        """The caller begins to speak."""
        handset, pcm = self._caller.handset, self._lines[text]
        start_s = self._caller.first_sent_s + len(handset.spoken) / (2 * RATE_HZ)
        handset.speak(pcm.astype("<i2").tobytes())
        spurt = Spurt(text, start_s, start_s + pcm.size / RATE_HZ)
        self._conversation.caller_spurts.append(spurt)
        return spurt

    async def _barge_in(self) -> None:
        """The caller speaks into the middle of a long sentence; the interrupt follows as speech detection would."""
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
        spurt = self._agent_spoke(LONG_ANSWER, start_s, handed_s)
        heard = str(answer.get("text", ""))
        self._conversation.barge_in = BargeIn(
            spurt, requested_s, spurt.last_voiced_s, heard, start_s + whole.size / RATE_HZ
        )
        await _until(objection.end_s)


def _loud_middle_s(pcm: Pcm) -> float:
    """Half-way through, to within a tenth: where it is loudest, so that the cut shows and no pause hides it."""
    window = RATE_HZ // 10
    first, last = int(0.45 * pcm.size), int(0.55 * pcm.size)
    power = np.convolve(pcm.astype(np.float64) ** 2, np.ones(window), "same")
    return (first + int(np.argmax(power[first:last]))) / RATE_HZ


async def _until(at_s: float) -> None:
    await asyncio.sleep(at_s - time.monotonic())


async def caller_lines(engine: Engine, *texts: str) -> dict[str, Pcm]:
    """What the caller says, at 8 kHz, in a voice of the caller's own."""
    pitch_hz = round(engine.sample_rate_hz * CALLER_PITCH)
    return {text: resample(await _spoken(engine, text, CALLER_SPEED), pitch_hz, RATE_HZ) for text in texts}


async def _lines() -> dict[str, Pcm]:
    """What the caller says; and the long answer, to know how long it takes."""
    engine = HibariEngine()
    await engine.start()
    try:
        lines = await caller_lines(engine, QUESTION, OBJECTION, GOODBYE)
        lines[LONG_ANSWER] = resample(await _spoken(engine, LONG_ANSWER), engine.sample_rate_hz, RATE_HZ)
    finally:
        await engine.close()
    return lines


async def _spoken(engine: Engine, text: str, speed: float = 1.0) -> Pcm:
    return np.concatenate([chunk.pcm async for chunk in speak(engine, text, Style(speed=speed))])


async def hold_call(dial: asyncio.Barrier) -> DemoCall:
    """Start a server on the embedded voice, and hold the call once `dial` lets it. Raises what can go wrong."""
    lines = await _lines()
    async with (
        running_server(ENGINE="hibari", GREETING=GREETING) as server,
        CallsClient(server.http_url) as client,
    ):
        with contextlib.suppress(asyncio.BrokenBarrierError):  # the conversation cannot begin; the call can
            await dial.wait()
        return await Demo(server, client, lines).talk()


def figures(conversation: DemoCall) -> str:
    """The call's figures as a table."""
    caller, barge_in, lateness = conversation.caller, conversation.barge_in, conversation.lateness()
    assert barge_in is not None
    assert lateness is not None
    assert caller.closed_s is not None
    assert caller.hung_up_s is not None
    arrivals_s = caller.received.arrivals_s
    greeting, *answers = conversation.agent_spurts
    rows: list[tuple[str, str]] = [
        ("dialled → first frame", f"{(arrivals_s[0] - caller.dialled_s) * 1000:.1f} ms"),
        ("dialled → greeting heard", f"{greeting.first_audio_ms:.1f} ms"),
    ]
    rows += [(f"text → heard: “{_short(spurt.text)}”", f"{spurt.first_audio_ms:.1f} ms") for spurt in answers]
    rows += [
        ("interrupt → last voiced frame", f"{barge_in.silence_ms:.1f} ms"),
        ("lateness of frames, p50", f"{lateness.p50:.2f} ms"),
        ("lateness of frames, p99", f"{lateness.p99:.2f} ms"),
        ("lateness of frames, worst", f"{lateness.max:.2f} ms"),
        ("frames received / expected", f"{len(caller.received)} / {expected_frames(arrivals_s, end_s(caller))}"),
        ("hang-up → server closed", f"{(caller.closed_s - caller.hung_up_s) * 1000:.1f} ms"),
        ("length of the call", f"{caller.hung_up_s - caller.dialled_s:.1f} s"),
    ]
    lines = [aligned(rows), "", f"said:  {barge_in.spurt.text}", f"heard: {barge_in.heard.rstrip()} …"]
    lines += [f"FAULT: {fault.rule} ({fault.seen})" for fault in faults(caller)]
    return "\n".join(lines)


def _short(text: str) -> str:
    words = text.split()
    return text if len(words) <= 4 else " ".join(words[:4]) + " …"


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`talkspurt demo`."""
    parser = sub.add_parser(
        "demo",
        help="hold a call with a barge-in and show it",
        description="Starts a server on the embedded voice, holds a call with it and leaves the call as a stereo WAV "
        "(caller left, agent right) and a timeline; then a spoken conversation with the embedded recogniser. Needs no "
        "network and no key.",
    )
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="leave out the spoken conversation")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Hold the calls, print their figures, write the files. Status 1 when one went wrong."""
    if importlib.util.find_spec("matplotlib") is None:
        return _fail("the timeline needs matplotlib: pip install 'talkspurt[demo]'")
    import uvloop

    from bridge.demo.conversation import WentWrong

    try:
        args.output.mkdir(parents=True, exist_ok=True)
        return int(uvloop.run(_hold_calls(args.output, spoken=not args.short)))
    except (CannotServe, CannotCall, Rejected, SpeechError, WentWrong, OSError) as error:
        return _fail(str(error))
    except EOFError:
        return _fail("the server ended the call before its time")


async def _hold_calls(output: Path, *, spoken: bool) -> int:
    """The call, and beside it, at another server, the conversation."""
    from bridge.demo import conversation as spoken_call

    if spoken and not spoken_call.available():
        print("A spoken conversation needs a recogniser: pip install 'talkspurt[demo]'")
        spoken = False
    print("Holding a call, and a spoken conversation beside it …" if spoken else "Holding a call …", flush=True)
    dial = asyncio.Barrier(2 if spoken else 1)  # two servers that load beside a call would be heard in its figures
    calling = asyncio.create_task(hold_call(dial))
    talks = [asyncio.create_task(spoken_call.hold_conversation(dial))] if spoken else []
    try:
        call = await calling
        if talks:
            await asyncio.wait(talks)  # drawing meanwhile would hold up its caller
    finally:
        for task in (calling, *talks):
            task.cancel()
        await asyncio.gather(calling, *talks, return_exceptions=True)
    status = _leave(call, output)
    for talk in talks:
        written = spoken_call.write(talk.result(), output)
        print(f"\n{spoken_call.show(talk.result())}\n", *written, sep="\n")
    return status


def _leave(call: DemoCall, output: Path) -> int:
    """The call's files and figures. Returns 1 where the server did not conform."""
    from bridge.demo.timeline import draw

    write_wav(output / "call.wav", both_sides(call.caller), RATE_HZ)
    draw(call, output / "call.png")
    print(f"\n{figures(call)}\n\n{output / 'call.wav'}\n{output / 'call.png'}", flush=True)
    return 1 if faults(call.caller) else 0


def _fail(reason: str) -> int:
    print(f"talkspurt demo: {reason}", file=sys.stderr)
    return 1
