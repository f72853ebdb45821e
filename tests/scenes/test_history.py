"""What the history says was heard is what a recogniser hears in the recording, to a word, wherever a line is cut.

A recogniser that is given a line's beginning writes more than it hears: it completes what breaks off ("nine in" becomes
"nine in the morning") or goes on at random. So each line is first said whole, and the recogniser tells of that part of
the recording when it hears each word. What is recorded of a cut is the beginning of the same samples, which is checked:
so what it hears of a cut are the words whose middle it places before the end of that.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from pathlib import Path
from uuid import uuid4

import aiohttp
import numpy as np

from bridge.line.audiosocket import FRAME_MS
from bridge.line.playout import FADE_MS
from engine.speech import Pcm
from tests.scenes.scene import read_stereo
from tests.support.asterisk.talkspurt import Talkspurt, running
from tests.support.fakes import Asterisk
from tests.support.recognition import word_times

SEED = 11
CUTS = 50
CALLS = 10
"""At once, to save time; each line is said in two of them."""
LINES = [
    "The museum opens at nine in the morning and closes at six in the evening, every day but Monday.",
    "There is a garden behind the house, with old trees, a small pond, and benches in the shade.",
    "The restaurant on the second floor serves breakfast, lunch and dinner to everybody who visits us.",
    "Dr. Miller will see you in room 12 at 8:30 on May 3rd, and a visit costs $45 without insurance.",
    "Flight 417 to Boston is late by 45 minutes, so please wait in the lounge next to gate 12 until then.",
]
GAP_MS = 1_000
"""Longer than any pause in a line, and than the voice of a busy machine is late: so lines and cuts can be told apart in
the recording."""
LAST_FRAMES = 10
"""Of a line, in which it is not cut: it would be over before the cut arrives."""


async def until_quiet(peer: Asterisk) -> int:
    """Hear a sound out; how many frames it lasted."""
    frames = quiet = 0
    while quiet <= GAP_MS // FRAME_MS:
        message = await peer.receive()
        assert message is not None
        frames += 1
        quiet = 0 if any(message.payload) else quiet + 1
    return frames - quiet


async def one_call(server: Talkspurt, line: str, chance: random.Random) -> tuple[str, list[tuple[int, str] | None]]:
    """A caller who hears a line whole and then cut at random.

    Returns the call's id, and what was told of each cut: None where a busy machine had said all of the line before.
    """
    call_id = uuid4()
    peer = await Asterisk.connect(server.audiosocket_port, call_id)
    peer.send_audio()
    cuts: list[tuple[int, str] | None] = []
    async with aiohttp.ClientSession(server.url) as http:

        async def say() -> None:
            await http.post(f"/v1/calls/{call_id}/say", json={"text": line})
            await peer.hear(voiced=True)

        await say()
        frames = await until_quiet(peer)
        while sum(cut is not None for cut in cuts) < CUTS // CALLS:
            await say()
            for _ in range(chance.randrange(frames - LAST_FRAMES)):
                await peer.receive()
            async with http.post(f"/v1/calls/{call_id}/interrupt") as response:
                answer = await response.json()
                cuts.append((answer["audio_end_ms"], answer["text"]) if answer["interrupted"] else None)
            await until_quiet(peer)
    await peer.close()
    await server.logged("call ended", 10.0, call=str(call_id))
    return str(call_id), cuts


def sounds(agent: Pcm, rate_hz: int) -> list[Pcm]:
    """Everything between silences of GAP_MS."""
    loud = np.flatnonzero(agent)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > GAP_MS * rate_hz // 1000) + 1)
    return [agent[part[0] : part[-1] + 1] for part in parts]


async def test_the_history_is_what_was_heard_to_a_word(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    lines = LINES * (CALLS // len(LINES))
    with running(tmp_path, RECORD_DIR=str(tmp_path)) as server:
        calls = await asyncio.gather(*(one_call(server, line, random.Random(chance.random())) for line in lines))

    recorded = {call_id: read_stereo(tmp_path / f"{call_id}.wav") for call_id, _ in calls}
    heard = {call_id: sounds(agent, rate_hz) for call_id, (_, agent, rate_hz) in recorded.items()}
    rate_hz = recorded[calls[0][0]][2]
    fade = FADE_MS * rate_hz // 1000
    off: list[int] = []
    early_ms: list[int] = []
    for line, (call_id, cuts) in zip(lines, calls, strict=True):
        transcript = json.loads((tmp_path / f"{call_id}.json").read_text())["transcript"]
        told = [line if cut is None else cut[1] for cut in cuts]
        assert [entry["text"] for entry in transcript] == [line, *filter(None, told)]
        # Where the voice of a busy machine comes late, or its clock skips a tick, there is silence in the recording. So
        # the line is that of the two calls in which there is least of it, and it is compared with silence aside.
        wholes = [heard[other][0] for said, (other, _) in zip(lines, calls, strict=True) if said == line]
        whole = min(wholes, key=lambda sound: (-np.count_nonzero(sound), len(sound)))
        words = await word_times(whole, rate_hz)
        assert len(words) == len(line.split()), words
        middles_ms = [(begin_s + end_s) * 500 for _, begin_s, end_s in words]
        loud = np.flatnonzero(whole)
        for told_of, sound in zip(cuts, heard[call_id][1:], strict=True):
            cut = sound[sound != 0]
            if told_of is None:
                np.testing.assert_array_equal(cut, whole[loud])
                continue
            at_ms, text = told_of
            np.testing.assert_array_equal(cut[:-fade], whole[loud][: cut.size - fade])
            end_ms = int(loud[cut.size - 1]) * 1000 // rate_hz
            off.append(len(text.split()) - bisect_right(middles_ms, end_ms))
            early_ms.append(at_ms - end_ms)
            print(f"{off[-1]:+d} at {at_ms} ms, in the whole line {end_ms} ms: {text}")
    shares = ", ".join(f"{off.count(words)} by {words:+d}" for words in sorted(set(off)))
    print(f"{len(off)} cuts, off by so many words: {shares}; on average {np.mean(off):+.2f}")
    assert len(off) == CUTS
    assert max(abs(words) for words in off) <= 1
    assert np.median(np.abs(early_ms)) <= FADE_MS
