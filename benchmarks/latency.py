"""Measures a turn at the caller's ear, through a real Asterisk: python -m benchmarks.latency [--turns 12]

A SIP phone plays recorded callers into a call: whole sentences, and sentences with a pause of 800 ms in the middle. The
recogniser, the end of turn and the voice are the embedded ones; the language model's pace is as told. From what the
phone sent and received, each with its time, the table has the wait from the caller's last sound to the agent's first.
The phone's own jitter buffer is not counted. Two more tables say where the time goes, station by station, and what the
own share consists of.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from benchmarks.machine import facts
from benchmarks.paced_model import Pace, PacedModel
from benchmarks.phone_speech import LINE_HZ, PAUSED, SENTENCES, Clip, clips, pico
from benchmarks.table import markdown
from benchmarks.turn_stages import TurnStages, spread, tables
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.fetch import fetch
from tests.support.asterisk.rtp import FRAME_S, VOICED_PEAK
from tests.support.asterisk.sip import SipCall, dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt, running
from tests.support.waiting import eventually

PAUSE_S: Final = 0.8
ANSWER_S: Final = 15.0
QUIET_S: Final = 0.2
"""How long the agent has been silent before the caller speaks."""
PACES: Final = (Pace(100, 20), Pace(40, 8))
EARLY_MS: Final = (0, 64)
VOICES: Final = ("hibari", "en-US", "en-GB")


@dataclass(slots=True)
class Turns:
    """What was measured of the turns of one way."""

    stages: list[TurnStages] = field(default_factory=list)
    pauses: int = 0
    cut_ins: int = 0
    used: int = 0
    wasted: int = 0
    wasted_tokens: int = 0
    missed: int = 0


class Caller:
    """One call of the SIP phone."""

    def __init__(self, call: SipCall, call_id: str, api: CallsApi, server: Talkspurt, model: PacedModel) -> None:
        self._call, self._id, self._api, self._server, self._model = call, call_id, api, server, model
        self._started_s: list[float] = []
        """When the agent began to speak, as the call's events tell it while it happens."""
        self._known = 0
        """How many turns the log has had so far."""

    async def turn(self, clip: np.ndarray, found: Turns, rest: np.ndarray | None = None) -> None:
        """Says a clip, with a `rest` after a pause, and notes how long the answer took."""
        model, call = self._model, self._call
        model.begin_turn()
        self._known = len(self._turns_heard())
        ended_s = await self._say(clip)
        if rest is not None:
            found.pauses += 1
            before = len(call.packets)
            await asyncio.sleep(ended_s + PAUSE_S - time.monotonic())
            ended_s = await self._say(rest)
            found.cut_ins += any(packet.is_voiced for packet in call.packets[before:])
        try:
            place = await call.until_voice(ANSWER_S, after=self._first_after(ended_s))
            trace = await self._end_turn()
        except TimeoutError:
            found.missed += 1
            return
        packet = call.packets[place]
        inside = int(np.flatnonzero(np.abs(packet.pcm.astype(np.int32)) > VOICED_PEAK)[0])
        found.wasted_tokens += model.wasted_tokens()
        if rest is None:
            times_s = (self._sent_s(packet.arrival_s), model.asked_s[-1], packet.arrival_s)
            sent_ms, asked_ms, arrived_ms = ((time_s - ended_s) * 1000 for time_s in times_s)
            found.stages.append(TurnStages(trace, sent_ms, asked_ms, arrived_ms, inside / LINE_HZ * 1000))

    async def watch(self, http: aiohttp.ClientSession) -> None:
        """Notes when the agent begins to speak, for as long as the call lasts."""
        async with http.ws_connect(f"/v1/calls/{self._id}/events") as events:
            async for message in events:
                if message.json()["type"] == "response.started":
                    self._started_s.append(time.monotonic())

    def _sent_s(self, arrival_s: float) -> float:
        """Returns when the frame left that came at `arrival_s`. The event may be read after the packet came."""
        return min([at_s for at_s in self._started_s if at_s < arrival_s + FRAME_S][-1], arrival_s)

    async def _end_turn(self) -> dict[str, Any]:
        """Silences the agent; returns the log's line of the turn, which it has once the turn is over."""
        await self._api.interrupt(self._id)
        await self._call.until_quiet(QUIET_S, ANSWER_S, after=len(self._call.packets))

        async def is_there() -> bool:
            return len(self._turns_heard()) > self._known

        await eventually(is_there, ANSWER_S)
        turns = self._turns_heard()
        self._known = len(turns)
        return turns[-1]

    def _turns_heard(self) -> list[dict[str, Any]]:
        """Returns the log's lines of the turns of which something was heard."""
        lines = [line for line in self._server.log if line["event"] == "turn" and line.get("call") == self._id]
        return [line for line in lines if "first_frame_ms" in line]

    def _first_after(self, at_s: float) -> int:
        packets = self._call.packets
        return next((index for index, packet in enumerate(packets) if packet.arrival_s > at_s), len(packets))

    async def _say(self, pcm: np.ndarray) -> float:
        """Says a clip; returns when its last sample was sent. A phone sends a packet when it has heard all of it."""
        await self._call.play(pcm)
        samples = self._call.codec.frame_samples
        return time.monotonic() - (-len(pcm) % samples) / LINE_HZ


async def hold_call(
    asterisk: Asterisk, server: Talkspurt, model: PacedModel, whole: Sequence[Clip], paused: Sequence[tuple[Any, Any]]
) -> Turns:
    """Returns what one call shows, in which all of these clips are said."""
    call_id, found = str(uuid.uuid4()), Turns()
    async with (
        aiohttp.ClientSession(server.url) as http,
        dial(asterisk.sip_address, server.extension("app", call_id)) as call,
    ):
        before = await early_answers(http)
        caller = Caller(call, call_id, CallsApi(http), server, model)
        await server.logged("call started", ANSWER_S, call=call_id)
        watching = asyncio.create_task(caller.watch(http))
        await asyncio.sleep(20 * FRAME_S)
        for clip in whole:
            await caller.turn(clip.pcm, found)
        for clip, rest in paused:
            await caller.turn(clip, found, rest)
        after = await early_answers(http)
        found.used, found.wasted = (now - then for now, then in zip(after, before, strict=True))
        watching.cancel()
    return found


async def early_answers(http: aiohttp.ClientSession) -> tuple[int, int]:
    """Returns how many answers begun early the server has used and wasted."""
    async with http.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    values = {}
    for outcome in ("used", "wasted"):
        name = f'talkspurt_early_answers_total{{outcome="{outcome}"}}'
        values[outcome] = int(sum(float(line.split()[-1]) for line in lines if line.startswith(name)))
    return values["used"], values["wasted"]


def row(name: str, early_ms: int, found: Turns) -> tuple[str, ...]:
    """Returns the table's line for one way."""

    begun, turns = found.used + found.wasted, len(found.stages) + found.pauses
    return (
        name,
        f"after {early_ms} ms" if early_ms else "no",
        f"{len(found.stages)}" + (f" ({found.missed} missed)" if found.missed else ""),
        spread([turn.stations()[-1] for turn in found.stages]),
        spread([turn.decided_ms for turn in found.stages]),
        spread([turn.model_ms for turn in found.stages]),
        spread([turn.own()[-1] for turn in found.stages]),
        f"{found.cut_ins} of {found.pauses}",
        f"{found.used / begun:.0%} of {begun}" if begun else "–",
        f"{found.wasted_tokens / turns:.1f}",
    )


HEAD: Final = (
    "model", "early", "turns", "last sound → first sound, ms, p50 / p95", "of it: until the words are final",
    "until the model's first sentence", "own share", f"cut-ins into {PAUSE_S * 1000:.0f} ms",
    "early answers used", "wasted tokens a turn",
)  # fmt: skip


def halves(said: Sequence[Clip]) -> list[tuple[Any, Any]]:
    """Returns the two parts of each sentence that pauses, in the caller's voice."""
    rests = dict(PAUSED)
    found = []
    for clip in said:
        if not clip.ended:
            voice = clip.voice if clip.voice != "hibari" else "en-US"
            found.append((clip.pcm, pico(rests[clip.text], voice)))
    return found


def spread_over_voices(said: Sequence[Any], count: int) -> list[Any]:
    """Returns `count` clips, each of another sentence and the next voice, out of a list that has all voices of each."""
    step = len(VOICES)
    order = [said[index * step + index % step] for index in range(len(said) // step)]
    return list(islice(cycle(order), count))


async def measure(args: argparse.Namespace) -> None:
    """Prints the table."""
    print(markdown([("", ""), *facts()]), flush=True)
    said = await clips(SENTENCES, PAUSED)
    whole = spread_over_voices([clip for clip in said if clip.ended], args.turns)
    paused = spread_over_voices(halves(said), args.turns)
    rows: list[tuple[str, ...]] = [HEAD]
    ways: dict[str, list[TurnStages]] = {}
    with tempfile.TemporaryDirectory() as folder:
        asterisk = Asterisk(fetch(), Path(folder) / "asterisk")
        asterisk.start()
        try:
            async with PacedModel() as model:
                for early_ms in args.early:
                    settings = {"LLM_BASE_URL": model.url, "LLM_MODEL": "paced", "EARLY_ANSWER_MS": str(early_ms)}
                    settings["FILLER_AFTER_MS"] = "0"  # what is measured is the answer
                    own = Path(folder) / f"early-{early_ms}"
                    own.mkdir()
                    with running(own, ENGINE="hibari", ASR_PROTOCOL="embedded", GREETING="", **settings) as server:
                        for number, pace in enumerate(PACES):
                            model.pace = pace
                            # Where a caller is cut into does not depend on the model, so one of the two is enough.
                            pauses = paused if number == len(PACES) - 1 else []
                            found = await hold_call(asterisk, server, model, whole, pauses)
                            rows.append(row(str(pace), early_ms, found))
                            ways[", ".join(rows[-1][:2])] = found.stages
                            print(" | ".join(rows[-1]), flush=True)
        finally:
            asterisk.stop()
    for table in (rows, *tables(ways)):
        print("\n" + markdown(table))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12, help="whole sentences in each way, and as many with a pause")
    parser.add_argument("--early", type=int, nargs="+", default=EARLY_MS, help="EARLY_ANSWER_MS of each way")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
