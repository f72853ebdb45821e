"""The embedded voice: first audio, speed, and how well every voice is understood over the telephone, numbers too.

    python -m benchmarks.hibari [--runs 20] [--no-recognition]

Word error rates are what Whisper tiny.en hears of the text after G.711 µ-law at 8 kHz.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from statistics import median

import numpy as np

from benchmarks.machine import facts, memory_bytes
from bridge.dial.table import aligned
from engine.audio import Resampler, resample, ulaw_encode
from engine.hibari import HibariEngine
from engine.normalize import normalize
from engine.pipeline import speak
from engine.speech import Pcm, Style
from tests.support.g711 import ulaw_decode
from tests.support.recognition import recognise, word_error_rate

TELEPHONE_HZ = 8000

SHORT = "Good morning, and thank you for calling."
LONG = (
    "If you would like to talk to one of our colleagues about an order that you placed in the last thirty days, please "
    "have your customer number at hand, because we will ask you for it, and then choose one of the following options, "
    "or simply stay on the line until somebody answers your call today."
)

SENTENCES = (
    "Good morning, and thank you for calling the town library.",
    "Please stay on the line, and somebody will be with you shortly.",
    "Your appointment is on Monday, the third of June, at half past nine.",
    "For opening hours, press one; to speak to a person, press zero.",
    "I am sorry, I did not understand that. Could you say it again?",
    "Your order has been shipped and should arrive within two working days.",
    "The office is closed at the moment. We open again tomorrow at eight.",
    "May I have your customer number, please?",
    "Thank you. I have found your account, and everything is paid.",
    "There is a problem with the line in your street; we are working on it.",
    "Would you like me to book the table for four people this evening?",
    "The doctor can see you on Thursday afternoon, if that suits you.",
    "I will put you through to my colleague in the sales department now.",
    "Your password has been changed. You can log in again in five minutes.",
    "Is there anything else that I can do for you today?",
    "The train to the airport leaves from platform seven in ten minutes.",
    "Please leave your name and number after the tone.",
    "We have received your payment of forty two dollars and fifty cents.",
    "The washing machine is covered by the warranty until next March.",
    "Goodbye, and have a pleasant weekend.",
)

# As a language model writes it, and as a person would read it out.
WRITTEN = (
    (
        "Your balance is $1,234.56.",
        "Your balance is one thousand two hundred and thirty four dollars and fifty six cents.",
    ),
    ("Please call us at (555) 010-0199.", "Please call us at five five five zero one zero zero one nine nine."),
    ("Our number is +1 800 555 0100.", "Our number is plus one eight zero zero five five five zero one zero zero."),
    ("Order #A-10023 has been shipped.", "Order A one zero zero two three has been shipped."),
    ("Your flight is BA2490 to London.", "Your flight is B A two four nine zero to London."),
    ("Your code is 83921.", "Your code is eight three nine two one."),
    ("The order number is 5550137.", "The order number is five five five zero one three seven."),
    ("The meeting is on 3/1/2026 at 5:30 pm.", "The meeting is on March first twenty twenty six at five thirty p.m."),
    ("We open at 09:05 and close at 17:00.", "We open at nine oh five and close at five p.m."),
    ("It was delivered on 2026-03-01.", "It was delivered on the first of March twenty twenty six."),
    ("Write to john.doe@example.com today.", "Write to john dot doe at example dot com today."),
    ("You will find it at https://www.example.com/help.", "You will find it at example dot com slash help."),
    ("The parcel weighs 5.5 kg.", "The parcel weighs five point five kilograms."),
    (
        "It is 20 °C outside, with a 50% chance of rain.",
        "It is twenty degrees outside, with a fifty percent chance of rain.",
    ),
    ("That makes 50€ in total.", "That makes fifty euros in total."),
    ("About 10 000 people called in 1999.", "About ten thousand people called in nineteen ninety nine."),
    ("**Please note:** we are *closed* on Sunday.", "Please note: we are closed on Sunday."),
    ("He is in the 3rd room, No. 5.", "He is in the third room, number five."),
    ("Dr. Smith lives at 12 Main St.", "Doctor Smith lives at twelve Main Street."),
    ("The town has 1,250,000 inhabitants.", "The town has one million two hundred and fifty thousand inhabitants."),
)


async def main() -> None:
    """Run it all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of each timing")
    parser.add_argument("--no-recognition", action="store_true", help="timings only")
    args = parser.parse_args()
    print(aligned(facts()), end="\n\n")

    engine = HibariEngine()
    started_s = time.perf_counter()
    await engine.start()
    print(f"started in {time.perf_counter() - started_s:.2f} s")
    try:
        (worker,) = engine._workers
        print(aligned(await timings(engine, args.runs)))
        print(f"\nworker: {memory_bytes(worker.pid) / 2**20:.0f} MiB resident\n")
        print(aligned(resampling(args.runs)), end="\n\n")
        if not args.no_recognition:
            print(aligned(await voices(engine)), end="\n\n")
            print(aligned(await numbers(engine)))
    finally:
        await engine.close()


async def timings(engine: HibariEngine, runs: int) -> list[Sequence[str]]:
    """Returns rows: ms from the text to the first PCM and to all of it in this process; × realtime."""
    rows: list[Sequence[str]] = [("text", "first audio p50 ms", "p95 ms", "all p50 ms", "audio s", "×realtime")]
    for name, voice, text in (
        ("40 characters", "heart", SHORT),
        ("293 characters", "heart", LONG),
        ("40 characters, another voice", "onyx", SHORT),
        ("293 characters, another voice", "onyx", LONG),
    ):
        for way, streamer in (("engine", sentence), ("pipeline", reply)):
            first_ms, all_ms, seconds = [], [], 0.0
            for _ in range(runs):
                started_s, samples = time.perf_counter(), 0
                async with aclosing(streamer(engine, text, voice)) as stream:
                    async for pcm in stream:
                        if not samples:
                            first_ms.append(1000 * (time.perf_counter() - started_s))
                        samples += pcm.size
                all_ms.append(1000 * (time.perf_counter() - started_s))
                seconds = samples / engine.sample_rate_hz
            rows.append(
                (
                    f"{name}, {way}",
                    f"{median(first_ms):.1f}",
                    f"{np.percentile(first_ms, 95):.1f}",
                    f"{median(all_ms):.1f}",
                    f"{seconds:.2f}",
                    f"{1000 * seconds / median(all_ms):.0f}",
                )
            )
    return rows


async def sentence(engine: HibariEngine, text: str, voice: str) -> AsyncGenerator[Pcm, None]:
    """Speaks one sentence with the engine itself."""
    async with aclosing(engine.stream(text, Style(voice=voice))) as stream:
        async for pcm in stream:
            yield pcm


async def reply(engine: HibariEngine, text: str, voice: str) -> AsyncGenerator[Pcm, None]:
    """Speaks a text as a call or an HTTP client gets it: its opening broken off, read out, its language told."""
    async with aclosing(speak(engine, text, Style(voice=voice))) as stream:
        async for chunk in stream:
            yield chunk.pcm


def resampling(runs: int) -> list[Sequence[str]]:
    """Measures what one push of 20 ms takes."""
    rows: list[Sequence[str]] = [("resampling 20 ms", "µs p50", "held back ms")]
    pcm = np.random.default_rng(0).integers(-8000, 8000, 480).astype(np.int16)
    for to_hz in (8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000):
        resampler, taken_us = Resampler(24000, to_hz), []
        for _ in range(50 * runs):
            started_s = time.perf_counter()
            resampler.push(pcm)
            taken_us.append(1e6 * (time.perf_counter() - started_s))
        rows.append((f"24000 to {to_hz} Hz", f"{median(taken_us):.1f}", f"{1000 * resampler.held_back_s:.2f}"))
    return rows


async def voices(engine: HibariEngine) -> list[Sequence[str]]:
    """Measures how well the twenty sentences are understood in every voice."""
    rows: list[Sequence[str]] = [("voice", "words wrong %", "audio s")]
    for voice in engine.voices():
        lines = [await over_the_telephone(engine, text, voice.id) for text in SENTENCES]
        rate = word_error_rate(SENTENCES, [await recognise(line, TELEPHONE_HZ) for line in lines])
        rows.append((voice.id, f"{100 * rate:.1f}", f"{sum(line.size for line in lines) / TELEPHONE_HZ:.1f}"))
    return rows


async def numbers(engine: HibariEngine) -> list[Sequence[str]]:
    """Measures numbers, dates and addresses with `normalize` and without, beside a person's way to read them out."""
    rows: list[Sequence[str]] = [("read out", "words wrong %")]
    spoken = [spoken for _, spoken in WRITTEN]
    for name, texts in (
        ("by a person", spoken),
        ("as written, by hibari", [written for written, _ in WRITTEN]),
        ("as written, by engine.normalize", [normalize(written) for written, _ in WRITTEN]),
    ):
        heard = [await recognise(await over_the_telephone(engine, text), TELEPHONE_HZ) for text in texts]
        rows.append((name, f"{100 * word_error_rate(spoken, heard):.1f}"))
        rows += [
            (f"    {one!r}: {other!r}", "")
            for one, other in zip(spoken, heard, strict=True)
            if word_error_rate([one], [other]) > 0.2
        ]
    return rows


async def over_the_telephone(engine: HibariEngine, text: str, voice: str = "") -> Pcm:
    """Returns one sentence after µ-law at 8 kHz."""
    async with aclosing(engine.stream(text, Style(voice=voice))) as stream:
        pcm = np.concatenate([pcm async for pcm in stream])
    return ulaw_decode(ulaw_encode(resample(pcm, engine.sample_rate_hz, TELEPHONE_HZ)))


if __name__ == "__main__":
    asyncio.run(main())
