"""How well the embedded recogniser understands callers through an echo, with the canceller and without it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from benchmarks.echo_calls import RATE_HZ, EchoCall, Layer, Voiced, cleaned, make_call
from bridge.hearing.asr.embedded import BEFORE_MS
from bridge.hearing.asr.recognizer_pool import RecognizerPool
from engine.audio import resample
from engine.speech import Pcm
from tests.support.recognition import MODEL_RATE_HZ, word_error_rate

PAUSE_MS: Final = 160
"""How much silence the recogniser has seen behind the words when it looks."""
LEVELS_DB: Final = (-10, -20)
SCENES: Final[dict[str, int | None]] = {
    "the agent has been silent for 700 ms": -700,
    "the agent falls silent after 200 ms": 200,
    "the agent goes on": None,
}
"""When the agent falls silent, in ms after the caller has begun; as it is, it does so after some 100 to 200."""


async def wrong_words(voiced: Sequence[Voiced], calls: int, no_echo_db: int) -> list[Sequence[str]]:
    """Returns the share of the caller's words that are wrong, missing or added, by scene and level of the echo."""
    rows: list[Sequence[str]] = [("the caller speaks while", "echo", "words", "wrong %, canceller off", "on")]
    pool = RecognizerPool("auto")
    await pool.start()
    try:
        for (name, yields_ms), level_db in product(SCENES.items(), (no_echo_db, *LEVELS_DB)):
            made = [
                make_call(voiced, seed, level_db, 150, double_talk=True, yields_ms=yields_ms) for seed in range(calls)
            ]
            said = [text for call in made for text in call.said]
            shares = []
            for layer in (Layer.OFF, Layer.BOTH):
                pieces = [piece for call in made for piece in barge_ins(call, cleaned(call, layer)[0])]
                shares.append(word_error_rate(said, [await pool.transcribe(_as_heard(piece)) for piece in pieces]))
            echo = "none" if level_db == no_echo_db else f"{level_db} dB, 150 ms"
            rows.append((name, echo, f"{len(' '.join(said).split())}", *(f"{100 * share:.1f}" for share in shares)))
            print(" | ".join(rows[-1]), flush=True)
    finally:
        await pool.close()
    return rows


def barge_ins(call: EchoCall, track: Pcm) -> list[Pcm]:
    """Returns what the recogniser is given of each barge-in: a little before it, and the pause after it."""
    before, after = (ms * RATE_HZ // 1000 for ms in (BEFORE_MS, PAUSE_MS))
    return [track[max(begin - before, 0) : end + after] for begin, end in call.barge_ins]


def _as_heard(pcm: Pcm) -> bytes:
    return resample(pcm.astype(np.int16), RATE_HZ, MODEL_RATE_HZ).tobytes()
