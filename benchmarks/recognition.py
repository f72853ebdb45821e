"""Measures the embedded recogniser and the end of a turn: python -m benchmarks.recognition

Four tables on the same clips (`benchmarks/phone_speech.py`), through G.711: what a look at an utterance costs and how
many words are wrong; when 1, 2 and 4 callers who speak at once have their final words; how long policies wait when
a caller has ended, and how often they cut into a pause of 800 ms; and what other values of `SURE`, and other moments at
which the model is asked, would change in that.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.machine import Usage, facts
from benchmarks.phone_speech import (
    FRESH,
    FRESH_PAUSED,
    LINE_HZ,
    PAUSED,
    SENTENCES,
    Clip,
    babble,
    clips,
    through_line,
    with_pause,
)
from benchmarks.table import markdown
from bridge.hearing.asr.embedded import BEFORE_MS, EmbeddedAsr
from bridge.hearing.asr.recognizer_pool import DOUBT, ModelName, ModelProcess, RecognizerPool
from bridge.hearing.asr.whisper import AUTO, installed
from bridge.hearing.events import Heard, Transcript
from bridge.hearing.smart_turn import SmartTurn
from bridge.turns.end_of_turn import SURE, EndOfTurn, goes_on
from tests.support.recognition import word_error_rate

PAUSE_MS: Final = 80
"""How much silence a look has seen behind the speech: EARLY_ANSWER_MS, and the rest of the detector's window."""
CUT_MS: Final = 800
SOON_MS: Final = PAUSE_MS
LATER_MS: Final = 160
AGAIN_MS: Final = 416
"""How much silence the model of the end of a turn hears before it is asked: soon, later, and once more."""
SURE_FROM: Final = (0.4, 0.6, SURE, 0.8, 0.9)
SNR_DB: Final = 15.0
TURN_S: Final = 3.0
"""The silence in which a caller's words are waited for."""
MODELS: Final = (
    ("Moonshine tiny", "moonshine", "en"),
    ("Whisper tiny.en", "whisper", "en"),
    ("Whisper base", "whisper", AUTO),
)
VOICES: Final = ("hibari", "en-US", "en-GB")


async def looks(said: Sequence[Clip]) -> tuple[list[tuple[str, ...]], dict[str, list[str]]]:
    """Returns the table of the models, and the texts of the first."""
    random = np.random.default_rng(1)
    noisy = [Clip(clip.voice, clip.text, babble(clip.pcm, said, SNR_DB, random)) for clip in said]
    rows = [("a look", "ms p50", "p95", "CPU ms", "CPU ms a second of speech", "wrong words, %", *VOICES, "babble")]
    found: dict[str, list[tuple[str, float]]] = {}
    speech_s = sum(len(clip.pcm) for clip in said) / LINE_HZ
    for title, name, language in MODELS:
        if name == "whisper" and not installed(language):
            continue
        process = ModelProcess(name, language)
        await process.recognise(bytes(32_000))
        assert process.pid is not None
        before, walls_ms = Usage.now(process.pid), []
        for clip in said:
            begun_s = time.monotonic()
            answer = await process.recognise(through_line(with_pause(clip.pcm, BEFORE_MS, PAUSE_MS)))
            walls_ms.append((time.monotonic() - begun_s) * 1000)
            found.setdefault(title, []).append((answer.text, answer.confidence))
        cpu_s = Usage.now(process.pid).process_s - before.process_s
        for clip in noisy:
            answer = await process.recognise(through_line(with_pause(clip.pcm, BEFORE_MS, PAUSE_MS)))
            found[title].append((answer.text, answer.confidence))
        await process.close()
        cost = [f"{value:.0f}" for value in (*np.percentile(walls_ms, (50, 95)), cpu_s * 1000 / len(said))]
        rows.append((title, *cost, f"{cpu_s * 1000 / speech_s:.0f}", *_wrong(said, [text for text, _ in found[title]])))
    first, second = (found[title] for title, *_ in MODELS[:2])
    both = [(b if a[1] < DOUBT else a)[0] for a, b in zip(first, second, strict=True)]
    doubted = sum(confidence < DOUBT for _, confidence in first[: len(said)]) / len(said)
    rows.append((f"Moonshine, Whisper tiny.en in doubt ({doubted:.0%})", "", "", "", "", *_wrong(said, both)))
    return rows, {title: [text for text, _ in pairs] for title, pairs in found.items()}


def _wrong(said: Sequence[Clip], texts: Sequence[str]) -> list[str]:
    """Returns the share of wrong words: of all without noise, of each voice, and of all in the noise."""
    pairs = list(zip(said, texts, strict=False))
    groups = [pairs, *[[p for p in pairs if p[0].voice == voice] for voice in VOICES]]
    groups.append(list(zip(said, texts[len(said) :], strict=True)))
    return [f"{100 * word_error_rate([c.text for c, _ in group], [t for _, t in group]):.1f}" for group in groups]


async def callers_at_once(said: Sequence[Clip], calls: Sequence[int], turns: int) -> list[tuple[str, ...]]:
    """Returns when callers who speak at once have their final words, for each way to recognise and to end."""
    rows = [("caller's last sound → the final words, ms", *(f"{n} at once, p50 / p95" for n in calls))]
    ways: tuple[tuple[str, ModelName, bool], ...] = (
        ("whisper, 480 ms of silence", "whisper", False),
        ("auto, 480 ms of silence", "auto", False),
        ("auto, by meaning", "auto", True),
    )
    for title, model, by_meaning in ways:
        pool, judge = RecognizerPool(model), SmartTurn() if by_meaning else None
        await pool.start()
        cells = []
        for count in calls:
            waits = await asyncio.gather(
                *(
                    _call(pool, judge, [said[(n * 7 + t * 11) % len(said)] for t in range(turns)], n)
                    for n in range(count)
                )
            )
            values = [wait for one in waits for wait in one]
            p50, p95 = np.percentile(values, (50, 95)) if values else (np.nan, np.nan)
            cells.append(
                f"{p50:.0f} / {p95:.0f}" + (f" ({count * turns - len(values)} missed)" * (len(values) < count * turns))
            )
        rows.append((title, *cells))
        await pool.close()
        if judge is not None:
            await judge.close()
    return rows


async def _call(pool: RecognizerPool, judge: SmartTurn | None, said: Sequence[Clip], number: int) -> list[float]:
    """One caller, at the pace of speech; returns the ms from each last sound to its words."""
    finals: list[float] = []

    def heard(event: Heard) -> None:
        if isinstance(event, Transcript) and event.text:
            finals.append(time.monotonic())

    asr = EmbeddedAsr(pool, heard, smart_turn=judge)
    task = asyncio.create_task(asr.run())
    waits = []
    for clip in said:
        track = with_pause(clip.pcm, 200 + 50 * number, int(TURN_S * 1000))
        ended_s = 0.0
        begun_s, known = time.monotonic(), len(finals)
        for start in range(0, len(track), 160):
            asr.push(track[start : start + 160].tobytes(), LINE_HZ)
            await asyncio.sleep(max(begun_s + (start + 160) / LINE_HZ - time.monotonic(), 0))
        ended_s = begun_s + (len(track) / LINE_HZ - TURN_S)
        waits += [(at_s - ended_s) * 1000 for at_s in finals[known:] if at_s > ended_s][-1:]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return waits


async def ends(said: Sequence[Clip]) -> list[tuple[str, ...]]:
    """Returns the table of the policies for the end of a turn."""
    pool, judge, rules = RecognizerPool("auto"), SmartTurn(), EndOfTurn()
    await pool.start()
    known, walls_ms = [], []
    for clip in said:
        audio = through_line(with_pause(clip.pcm, BEFORE_MS, PAUSE_MS))
        begun_s = time.monotonic()
        ended = await judge.probability(audio)
        walls_ms.append((time.monotonic() - begun_s) * 1000)
        known.append((clip, await pool.transcribe(audio), ended))
    await pool.close()
    await judge.close()
    long, quick = rules.patience_ms, rules.quick_ms
    policies = (
        (f"{rules.silence_ms} ms of silence", lambda text, ended: rules.silence_ms),
        ("the sound alone", lambda text, ended: quick if ended >= SURE else long),
        ("the words alone", lambda text, ended: long if goes_on(text) else quick),
        ("both must agree", rules.wait_ms),
    )
    rows = [("end of turn", "mean wait when ended, ms", f"cuts into {CUT_MS} ms, %", *VOICES)]
    for title, wait_ms in policies:
        wait = float(np.mean([wait_ms(text, ended) for clip, text, ended in known if clip.ended]))
        cuts = [(clip.voice, wait_ms(text, ended) <= CUT_MS) for clip, text, ended in known if not clip.ended]
        shares = [[cut for voice, cut in cuts if voice in group] for group in (VOICES, *((v,) for v in VOICES))]
        rows.append((title, f"{wait:.0f}", *(f"{100 * float(np.mean(share)):.0f}" for share in shares)))
    rows.append((f"(a judgement takes {np.median(walls_ms):.0f} ms, p95 {np.percentile(walls_ms, 95):.0f})", *[""] * 5))
    for clip, text, ended in known:
        if not clip.ended and rules.wait_ms(text, ended) <= CUT_MS:
            print(f"cut into: {clip.voice}: {clip.text!r}, understood {text!r}, {ended:.2f}", flush=True)
    return rows


@dataclass(frozen=True, slots=True)
class Judged:
    """What the two witnesses say of a clip."""

    has_ended: bool
    """Whether the caller has."""
    goes_on: bool
    """Whether the words say that more will come."""
    chances: dict[int, float]
    """What the model says, by the ms of silence that it has heard."""

    def is_quick(self, sure: float, *asked_ms: int) -> bool:
        """Tells whether the turn ends at once, by the model that is asked at these moments."""
        return not self.goes_on and any(self.chances[pause_ms] >= sure for pause_ms in asked_ms)


async def judged(said: Sequence[Clip]) -> list[Judged]:
    """Returns what the witnesses say of each clip."""
    pool, judge, found = RecognizerPool("auto"), SmartTurn(), []
    await pool.start()
    for clip in said:
        heard = {ms: through_line(with_pause(clip.pcm, BEFORE_MS, ms)) for ms in (SOON_MS, LATER_MS, AGAIN_MS)}
        chances = {ms: await judge.probability(pcm) for ms, pcm in heard.items()}
        found.append(Judged(clip.ended, goes_on(await pool.transcribe(heard[SOON_MS])), chances))
    await pool.close()
    await judge.close()
    return found


async def trade(*sets: Sequence[Clip]) -> list[tuple[str, ...]]:
    """Returns the table of what ends at once, in % of the whole sentences and of the pauses of each set."""
    known = [await judged(said) for said in sets]
    ways: list[tuple[str, float, tuple[int, ...]]] = [
        (f"the sound after {SOON_MS} ms, sure from {sure}", sure, (SOON_MS,)) for sure in SURE_FROM
    ]
    ways.append((f"the sound after {LATER_MS} ms, sure from {SURE}", SURE, (LATER_MS,)))
    ways.append((f"the sound after {SOON_MS} and {AGAIN_MS} ms, sure from {SURE}", SURE, (SOON_MS, AGAIN_MS)))
    rows = [("a turn that ends at once, %", "sentences", "pauses", "fresh sentences", "fresh pauses")]
    for title, sure, asked_ms in ways:
        cells = []
        for one in known:
            for has_ended in (True, False):
                quick = [clip.is_quick(sure, *asked_ms) for clip in one if clip.has_ended is has_ended]
                cells.append(f"{100 * float(np.mean(quick)):.0f} ({sum(quick)} of {len(quick)})")
        rows.append((title, *cells))
    return rows


async def measure(args: argparse.Namespace) -> None:
    """Print the tables."""
    print(markdown([("", ""), *facts()]), flush=True)
    said = await clips(SENTENCES[: args.sentences], PAUSED[: args.sentences])
    fresh = await clips(FRESH[: args.sentences], FRESH_PAUSED[: args.sentences])
    whole = [clip for clip in said if clip.ended]
    if "looks" in args.parts:
        rows, _ = await looks(whole)
        print("\n" + markdown(rows), flush=True)
    if "ends" in args.parts:
        print("\n" + markdown(await ends(said)), flush=True)
        print("\nsentences that nobody had in view who made the rules:")
        print("\n" + markdown(await ends(fresh)), flush=True)
    if "trade" in args.parts:
        print("\n" + markdown(await trade(said, fresh)), flush=True)
    if "callers" in args.parts:
        print("\n" + markdown(await callers_at_once(whole, args.calls, args.turns)), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["looks", "ends", "trade", "callers"])
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--sentences", type=int, default=len(SENTENCES), help="fewer for a trial")
    parser.add_argument("--turns", type=int, default=6)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
