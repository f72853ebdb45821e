"""Measures how fast the agent falls silent when a caller begins to speak: python -m benchmarks.conversation

Two measures, both at the caller's end of a real TCP connection: from a recogniser's signal to the last voiced frame,
with one call and with many; and from the caller's first sound to the last voiced frame, with the embedded detector.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

import aiohttp
import numpy as np
from py_nanotts import NanoTTS

from benchmarks.machine import facts
from benchmarks.servers import CLIP_TEXT, serving, write_clip
from benchmarks.table import markdown
from bridge.converse.server_process import running_server
from bridge.dial.caller import Caller
from bridge.dial.lateness import Spread
from bridge.dial.table import spread_cells
from bridge.line.audiosocket import FRAME_MS
from engine.audio import resample
from engine.speech import Pcm

STARTED = {"type": "input_audio_buffer.speech_started"}
STOPPED = {"type": "input_audio_buffer.speech_stopped"}
NOTHING = {"type": "conversation.item.input_audio_transcription.completed", "transcript": ""}
WATCHED_S = 0.2
"""How long a call is listened to after a signal."""
BETWEEN_S_A_CALL = 0.02
"""The most time, for each call, from a signal to its going on: people do not all speak at once."""
ONSET_WATCHED_S = 1.0
LONG = "This goes on and on, and it says nothing that anybody would want to hear to the end of it. " * 20
SAID = ("Stop it, please.", "Wait a moment.", "No, that is wrong.", "Excuse me, I have a question.", "Hello?")


async def signal_to_silence(calls: int, signals: int, clip: Path) -> tuple[Spread, int]:
    """Returns the spread in ms over all `signals`, and how many calls went on speaking after theirs."""
    async with serving("ours", clip) as server, aiohttp.ClientSession(server.http_url) as http:
        callers = [Caller() for _ in range(calls)]
        for caller in callers:
            await caller.connect("127.0.0.1", server.port)
        shares = [signals // calls + (number < signals % calls) for number in range(calls)]
        between_s = BETWEEN_S_A_CALL * calls
        found = await asyncio.gather(
            *(_signal_often(c, http, share, between_s) for c, share in zip(callers, shares, strict=True))
        )
        await _hang_up(callers)
    values_ms = [value for one in found for value in one]
    return _spread(values_ms), sum(value > WATCHED_S * 1000 - 2 * FRAME_MS for value in values_ms)


async def _signal_often(caller: Caller, http: aiohttp.ClientSession, times: int, between_s: float) -> list[float]:
    values_ms = []
    path = f"/v1/calls/{caller.id}"
    await asyncio.sleep(WATCHED_S + random.random() * between_s)  # when the server knows the call; not all at once
    handed_s = time.monotonic()
    await _post(http, f"{path}/say", {"text": CLIP_TEXT})
    for _ in range(times):
        await caller.voice(handed_s)
        await asyncio.sleep(2 * FRAME_MS / 1000 + random.random() * FRAME_MS / 1000)
        signalled_s = time.monotonic()
        await _post(http, f"{path}/events", STARTED)
        await asyncio.sleep(signalled_s + WATCHED_S - time.monotonic())
        last_s = caller.received.last_voiced_s(signalled_s, signalled_s + WATCHED_S)
        values_ms.append(0.0 if last_s is None else (last_s - signalled_s) * 1000)
        await asyncio.sleep(random.random() * between_s)
        handed_s = time.monotonic()
        await _post(http, f"{path}/events", [STOPPED, NOTHING])  # nothing was said: it goes on from where it stopped
    return values_ms


async def onset_to_silence(times: int) -> tuple[Spread, int]:
    """Returns the spread in ms over `times` interruptions by voice, and how many went unnoticed for a second."""
    voices = [_caller_says(text) for text in SAID]
    values_ms = []
    settings = {"ENGINE": "hibari", "ASR_PROTOCOL": "embedded", "FALSE_INTERRUPTION_TIMEOUT_MS": "200"}
    async with running_server(**settings) as server, aiohttp.ClientSession(server.http_url) as http:
        for number in range(times):
            caller = Caller()
            await caller.connect(server.host, server.port)
            await asyncio.sleep(WATCHED_S)  # when the server knows the call
            handed_s = time.monotonic()
            await _post(http, f"/v1/calls/{caller.id}/say", {"text": LONG})
            await caller.voice(handed_s)
            await asyncio.sleep(1 + random.random())
            pcm = voices[number % len(voices)]
            caller.handset.speak(pcm.astype("<i2").tobytes())
            onset_s = time.monotonic() + FRAME_MS / 2000  # the next frame leaves within 20 ms
            await asyncio.sleep(ONSET_WATCHED_S)
            last_s = caller.received.last_voiced_s(onset_s, onset_s + ONSET_WATCHED_S)
            values_ms.append(0.0 if last_s is None else (last_s - onset_s) * 1000)
            await _hang_up([caller])
    return _spread(values_ms), sum(value > (ONSET_WATCHED_S - 0.06) * 1000 for value in values_ms)


def _caller_says(text: str) -> Pcm:
    """Returns speech in a voice that is not the agent's, without silence before it."""
    pcm = np.frombuffer(NanoTTS().speak(text, voice="en-US", volume=0.4), np.int16)
    return resample(pcm[int(np.flatnonzero(np.abs(pcm) > 200)[0]) :], 16_000, 8_000)


async def _post(http: aiohttp.ClientSession, path: str, body: object) -> None:
    async with http.post(path, json=body) as response:
        response.raise_for_status()


async def _hang_up(callers: list[Caller]) -> None:
    for caller in callers:
        caller.hang_up()
    await asyncio.gather(*(caller.ended.wait() for caller in callers))


def _spread(values_ms: list[float]) -> Spread:
    spread = Spread.of(np.array(values_ms))
    assert spread is not None
    return spread


async def measure(args: argparse.Namespace) -> None:
    """Print the tables."""
    print(markdown([("", ""), *facts()]))
    rows = [("from → to the last voiced frame, ms", "p50", "p99", "p99.9", "max", "missed")]
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        write_clip(clip)
        for calls in args.calls:
            spread, loud = await signal_to_silence(calls, args.signals, clip)
            cells = spread_cells(spread)
            rows.append((f"recogniser's signal, {calls} calls, {args.signals} signals", *cells, str(loud)))
    spread, missed = await onset_to_silence(args.onsets)
    rows.append((f"caller's first sound, embedded detector, {args.onsets} times", *spread_cells(spread), str(missed)))
    print("\n" + markdown(rows))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--signals", type=int, default=200)
    parser.add_argument("--onsets", type=int, default=40)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
