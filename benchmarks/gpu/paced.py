"""`tts_gpu paced`: calls that speak without a pause and listen at the pace of speech, alone and beside a neighbour.

Each call asks for its next sentence as the engine's pipeline does: once the last one is made and has begun to play, and
it says when that one will have been played.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.gpu.load import Load, a_sentence, drain, percentile
from benchmarks.gpu.models import build_runner
from benchmarks.gpu.neighbour import neighbour
from engine.qwen3.batch.sentence import FRAME_S, Sentence
from engine.qwen3.cuda.graph_runner import GraphRunner

JOINING_S = 2.0
LOOK_S = 30.0
BURST_S = 0.3
EVERY_S = 2.0
SAMPLES = 1920
LEADS_MS = (0, 800)
"""SPEECH_LEAD_MS: off, and its default."""


@dataclass(eq=False, slots=True)
class Caller:
    """One call, and what it hears."""

    asks_at_s: float
    sentence: Sentence | None = None
    asked_s: float = 0.0
    plays_until_s: float = 0.0
    """When all that it has got will have been played."""
    begins_s: float = 0.0
    """When the sentence that it gets begins to be played."""
    leaves_s: float = math.inf
    """Another call comes in its place then."""


@dataclass
class Heard:
    """What all of them heard."""

    first_s: list[float] = field(default_factory=list)
    """From asking to the first sound, where nothing was being played."""
    sentences: int = 0
    frames: int = 0
    late_s: list[float] = field(default_factory=list)
    """One for each chunk that came after the one before it had been played."""
    last_late_s: float = 0.0
    """When the last of them came, from the beginning."""
    refused: int = 0
    steps: int = 0


def run_paced(
    runner: GraphRunner,
    hidden: int,
    calls: int,
    seconds: float,
    joining_s: float = JOINING_S,
    stay_s: tuple[float, float] | None = None,
    look: Callable[[Heard, float], None] = lambda heard, now_s: None,
) -> Heard:
    """Runs `calls` calls; each is followed by another after a time within `stay_s`. `look` is called every LOOK_S."""
    load, heard = Load(runner, hidden), Heard()
    load.warm_voices()
    begun_s = time.perf_counter()
    callers = [Caller(begun_s + at_s) for at_s in load.generator.uniform(0, joining_s, calls)]
    for caller in callers if stay_s else ():
        caller.leaves_s = caller.asks_at_s + load.generator.uniform(0, stay_s[1])
    by_sentence: dict[Sentence, Caller] = {}
    look_s = begun_s + LOOK_S
    gc.collect()
    gc.freeze()
    try:
        while (now := time.perf_counter()) < begun_s + seconds:
            if now >= look_s:
                look(heard, now - begun_s)
                look_s += LOOK_S
            for caller in callers:
                if caller.sentence is None and caller.asks_at_s <= now:
                    if stay_s and caller.leaves_s <= now:
                        caller.leaves_s, caller.plays_until_s = now + load.generator.uniform(*stay_s), 0.0
                    ask(load, caller, by_sentence, heard, now)
            for made in runner.step():
                now = time.perf_counter()
                caller = by_sentence[made.sentence]
                if hear(caller, made.pcm.size // SAMPLES, heard, now):
                    heard.last_late_s = now - begun_s
                if made.end is not None:
                    caller.asks_at_s, caller.sentence = max(now, caller.begins_s), None
                    del by_sentence[made.sentence], load.talks[made.sentence.number]
            heard.steps += 1
    finally:
        gc.unfreeze()
    drain(load)
    return heard


def ask(load: Load, caller: Caller, by_sentence: dict[Sentence, Caller], heard: Heard, now_s: float) -> None:
    sentence = load.say(a_sentence(load), now_s, max(now_s, caller.plays_until_s))
    if sentence is None:
        heard.refused += 1
        caller.asks_at_s = now_s + 0.1
        return
    caller.sentence, caller.asked_s, caller.begins_s = sentence, now_s, 0.0
    by_sentence[sentence] = caller
    heard.sentences += 1


def hear(caller: Caller, frames: int, heard: Heard, now_s: float) -> bool:
    """Notes that sound has come. Tells whether it was late."""
    fresh = not caller.begins_s and caller.plays_until_s <= caller.asked_s
    late = not fresh and frames > 0 and now_s > caller.plays_until_s
    if fresh:
        heard.first_s.append(now_s - caller.asked_s)
    elif late:
        heard.late_s.append(now_s - caller.plays_until_s)
    caller.begins_s = caller.begins_s or max(now_s, caller.plays_until_s)
    caller.plays_until_s = max(now_s, caller.plays_until_s) + frames * FRAME_S
    heard.frames += frames
    return late


def paced(
    size: str,
    quantize: str,
    counts: Sequence[int],
    seconds: float,
    leads_ms: Sequence[int],
    alone: bool,
    joining_s: float,
) -> None:
    """Measures each number of calls with each lead, `alone` without a neighbour, and prints the rows."""
    runner, model = build_runner(size, quantize, max(counts))
    hidden = model.talker.stack.hidden
    print(f"\n{size} {quantize}, calls that speak without a pause at the pace of speech; {seconds:g} s a row")
    paced_rows(runner, hidden, counts, seconds, leads_ms, (0.0,) if alone else (0.0, BURST_S), joining_s)


def paced_rows(
    runner: GraphRunner,
    hidden: int,
    counts: Sequence[int],
    seconds: float,
    leads_ms: Sequence[int],
    bursts: Sequence[float] = (0.0, BURST_S),
    joining_s: float = JOINING_S,
) -> None:
    print("neighbour | SPEECH_LEAD_MS | calls | GPU for us | first sound p50, ms | p95 | frames | late | worst, ms |"
          " last late, s | refused | capacity | of one core | burst of the neighbour, ms")  # fmt: skip
    for burst_s in bursts:
        for count in counts:
            for lead_ms in leads_ms:
                runner.scheduler.lead_s = lead_ms / 1e3
                with neighbour(burst_s, EVERY_S) as bursts_s:
                    begun_s, worked_s = time.perf_counter(), time.process_time()
                    heard = run_paced(runner, hidden, count, seconds, joining_s)
                    load = runner.scheduler.use.load(time.monotonic())
                    core = (time.process_time() - worked_s) / (time.perf_counter() - begun_s)
                first = [each * 1e3 for each in heard.first_s]
                beside = "bursts" if burst_s else "none"
                print(
                    f"{beside} | {lead_ms} | {count} | {load:.0%} | {percentile(first, 50):.1f}"
                    f" | {percentile(first, 95):.1f} | {heard.frames} | {len(heard.late_s)}"
                    f" | {max(heard.late_s, default=0) * 1e3:.0f} | {heard.last_late_s:.0f}"
                    f" | {heard.refused} | {runner.scheduler.capacity}"
                    f" | {core:.0%}"
                    f" | {np.mean(bursts_s[1:]) * 1e3 if len(bursts_s) > 1 else 0:.0f}",
                    flush=True,
                )
