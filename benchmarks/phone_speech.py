"""What callers say, in three voices, as a telephone line passes it on: whole sentences, and sentences with a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from py_nanotts import NanoTTS

from engine.audio import resample, ulaw_encode
from engine.hibari import HibariEngine
from engine.pipeline import speak
from engine.speech import Engine, Pcm, Style
from tests.support.g711 import ulaw_decode

LINE_HZ: Final = 8_000
MODEL_HZ: Final = 16_000
PICO: Final = ("en-US", "en-GB")
LOUDNESS: Final = 0.4
"""Of the voices' own: a telephone's level."""
HELD_OUT_VOICES: Final = {"en-US, low and slow": ("en-US", 0.8, 0.85), "en-GB, high and fast": ("en-GB", 1.2, 1.15)}
"""Voices of Pico with another pitch and another speed."""
QUIET: Final = 200
"""Of 32768: what is below it at the ends is no speech."""

SENTENCES: Final = (
    "Yes.",
    "No, thank you.",
    "A pepperoni pizza, please.",
    "The large one, please.",
    "I would like to speak to the sales department.",
    "Can I book a table for four people at eight o'clock tomorrow evening?",
    "My number is 0 7 7 0 0 9 0 0 1 2 3.",
    "I have a question about my invoice.",
    "Could you tell me your opening hours?",
    "I need to change my appointment to next Thursday.",
    "My internet connection is not working since this morning.",
    "What does it cost?",
    "It is for two adults and one child.",
    "Can I speak to a real person?",
    "I live in 14 Station Road, in Cambridge.",
    "No, that is wrong.",
    "When will my order arrive?",
    "I want to cancel my subscription.",
    "Tomorrow afternoon would be better.",
    "I forgot my password.",
    "Hello, my name is Peter Walker, I am calling about the flat.",
    "I will pay by credit card.",
    "Sorry, can you say that again?",
    "The car broke down near the motorway.",
    "Nothing else, goodbye.",
)
PAUSED: Final = (
    ("I would like to book a table for", "four people at eight."),
    ("My number is", "0 7 7 0 0 9."),
    ("My number is 0 7 7 0", "0 9 0 0 1 2 3."),
    ("I am calling because", "my router is broken."),
    ("Can I have a pizza with", "ham and mushrooms?"),
    ("I wanted to ask about the", "invoice of last month."),
    ("My name is", "Peter Walker."),
    ("Could you tell me", "when the shop opens?"),
    ("I live in fourteen", "Station Road."),
    ("I think it was on", "Tuesday of last week."),
    ("I would like a large", "pepperoni pizza."),
    ("Yes, and", "I have one more question."),
    ("When I called yesterday", "nobody answered."),
    ("If you could", "send it to my office."),
    ("The order number is 4 7 2", "9 1 5."),
    ("We need two rooms for", "the second week of May."),
    ("I was wondering if", "you have anything on Friday."),
    ("It is the one that", "I bought in March."),
    ("No, I mean the", "other account."),
    ("I would rather", "come in the morning."),
)
"""The caller pauses between the two, and has not ended."""

FRESH: Final = (
    "Could I have the bill, please?",
    "I am looking for a plumber.",
    "We arrive on Friday evening.",
    "Is there parking near the hotel?",
    "My order has not come yet.",
    "I would like a refund.",
    "How long does the delivery take?",
    "It is about my electricity contract.",
    "I think that is everything.",
    "Please send it to my home address.",
    "Can you call me back later?",
    "The doctor told me to call you.",
    "Two pizzas and a bottle of water.",
    "I don't know the number.",
    "Yes, that would be great.",
    "Around six in the evening.",
    "My daughter has a fever.",
    "Where exactly are you?",
    "I moved house last month.",
    "No, I already paid that.",
    "What time does it start?",
    "I want to talk to a manager.",
    "The screen stays black.",
    "I booked a room for next week.",
    "That sounds good to me.",
)
"""Sentences that nobody had in view who made the rules of the end of a turn."""
FRESH_PAUSED: Final = (
    ("I am looking for a", "plumber in the city."),
    ("We arrive on", "Friday evening."),
    ("The reason I call is", "that my heating is broken."),
    ("I would like to know whether", "you have a table free."),
    ("My address is", "twelve Baker Street."),
    ("Can you send it to", "my office?"),
    ("I ordered three", "weeks ago."),
    ("There were two men who", "came to the house."),
    ("The policy number is 8 8 1", "4 0 2."),
    ("I think we should", "meet on Monday."),
    ("It started when", "I opened the window."),
    ("She said that the", "payment failed."),
    ("Well, I", "wanted to ask something."),
    ("Do you have any", "rooms for tonight?"),
    ("I need it before", "the end of the month."),
    ("The colour should be", "dark blue."),
    ("My husband and", "I would like to come."),
    ("We could come in the", "afternoon."),
    ("I have been waiting", "for two weeks."),
    ("Could you please", "spell that?"),
)
"""The same with a pause."""

HELD_OUT: Final = (
    "I'd like to return a pair of shoes.",
    "Do you deliver on Sundays?",
    "The heating has stopped working again.",
    "Just a haircut, please.",
    "I never got the confirmation email.",
    "Can you put me through to billing?",
    "It was delivered to the wrong address.",
    "We are a party of six.",
    "No, that's all.",
    "Thank you very much.",
    "Half past nine would suit me.",
    "Which one is cheaper?",
    "My surname is Henderson.",
    "I lost my bank card on the train.",
    "Is the blue one still available?",
    "He is not at home right now.",
    "I was charged twice last week.",
    "Please cancel both tickets.",
    "How do I reset the router?",
    "It makes a strange noise.",
    "I am not sure.",
    "Yes, go ahead.",
    "That is the one I ordered.",
    "Who am I speaking to?",
    "I'd rather pay in cash.",
    "The flight was delayed by three hours.",
    "Can my dog come with us?",
    "I'll take the small one.",
    "Nobody told me about the fee.",
    "It starts on the first of May.",
    "Are you open on Christmas Eve?",
    "I need a receipt for the taxi.",
    "My son is allergic to peanuts.",
    "Do I have to sign something?",
    "The reference is 5 5 2 0 9.",
    "The parcel arrived broken.",
    "Could we make it a bit later?",
    "What do you recommend?",
    "She works in the kitchen.",
    "I already spoke to someone yesterday.",
)
"""Sentences on which no rule of the end of a turn was chosen, for HELD_OUT_VOICES."""
HELD_OUT_PAUSED: Final = (
    ("I'd like to return a", "pair of shoes."),
    ("Do you deliver to", "the islands as well?"),
    ("The heating has", "stopped working again."),
    ("Could I have a cut and", "a colour?"),
    ("I never got the", "confirmation email."),
    ("Can you put me through to someone who", "knows about billing?"),
    ("It was supposed to be", "delivered on Monday."),
    ("We are a party of", "six or seven."),
    ("I was told that", "it would be free."),
    ("My surname is", "Henderson."),
    ("I lost my bank card when I was", "on the train."),
    ("Is the blue", "jacket still available?"),
    ("The reference is 5 5 2", "0 9."),
    ("I was charged", "twice last week."),
    ("Please cancel the", "second ticket."),
    ("How do I get from", "the airport to you?"),
    ("It makes a noise like", "an old washing machine."),
    ("I am not really", "sure about that."),
    ("Um, well, the", "thing is that I moved."),
    ("If it is not too much trouble", "I would like a window seat."),
    ("My son is allergic to", "peanuts and milk."),
    ("The flight leaves at", "ten past seven."),
    ("I will take two of the", "small ones."),
    ("After the engineer left", "it broke down again."),
    ("It says here that I have to", "sign something."),
    ("I spoke to your colleague", "yesterday afternoon."),
    ("I got a letter this morning", "and I do not understand it."),
    ("We have been customers since", "two thousand and three."),
    ("Do you know whether", "the shop is open?"),
    ("The email address is peter dot", "walker at example dot com."),
    ("I would say around", "twenty people."),
    ("He told us we could", "change it for free."),
    ("Can I swap it for a", "bigger size?"),
    ("There is a problem with my", "washing machine."),
    ("What I really want is", "my money back."),
    ("The one with the red", "handle, please."),
    ("Is there any way to", "speed it up?"),
    ("I ordered the same thing in", "green."),
    ("My wife thinks it", "was the boiler."),
    ("It is either Tuesday or", "Wednesday."),
)
"""The same with a pause. Two of them pause after what might be all."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Something that a caller says, as it is when they fall silent."""

    voice: str
    text: str
    pcm: Pcm
    """At LINE_HZ, without silence at its ends."""
    ended: bool = True


async def clips(sentences: Sequence[str], paused: Sequence[tuple[str, str]] = ()) -> list[Clip]:
    """Returns every sentence, and the first part of every paused one, in each voice.

    hibari speaks a paused sentence as a whole, and its sound is cut there. Pico speaks the part as if it were all.
    """
    engine = HibariEngine()
    await engine.start()
    try:
        made = []
        for text in sentences:
            made.append(Clip("hibari", text, await _hibari(engine, text)))
            made += [Clip(voice, text, pico(text, voice)) for voice in PICO]
        for before, after in paused:
            cut = await _hibari(engine, f"{before} {after}", len(before.split()))
            made.append(Clip("hibari", before, cut, ended=False))
            made += [Clip(voice, before, pico(f"{before},", voice), ended=False) for voice in PICO]
        return made
    finally:
        await engine.close()


async def held_out() -> list[Clip]:
    """Returns the sentences that are held out, in hibari's voice and in HELD_OUT_VOICES."""
    made = [clip for clip in await clips(HELD_OUT, HELD_OUT_PAUSED) if clip.voice == "hibari"]
    for name, (voice, pitch, speed) in HELD_OUT_VOICES.items():
        made += [Clip(name, text, pico(text, voice, pitch, speed)) for text in HELD_OUT]
        made += [Clip(name, text, pico(f"{text},", voice, pitch, speed), ended=False) for text, _ in HELD_OUT_PAUSED]
    return made


def pico(text: str, voice: str, pitch: float = 1.0, speed: float = 1.0) -> Pcm:
    """Returns a text in one of the voices of SVOX Pico."""
    spoken = NanoTTS().speak(text, voice=voice, speed=speed, pitch=pitch, volume=LOUDNESS)
    return _trimmed(resample(np.frombuffer(spoken, np.int16), 16_000, LINE_HZ))


async def _hibari(engine: Engine, text: str, words: int | None = None) -> Pcm:
    """Returns a text in the embedded voice, or its first `words` alone."""
    starts: list[int] = []
    spoken = [chunk.pcm async for chunk in speak(engine, text, Style(on_word_starts=starts.extend))]
    pcm = np.concatenate(spoken)[: None if words is None else starts[words]]
    return _trimmed((resample(pcm, engine.sample_rate_hz, LINE_HZ) * LOUDNESS).astype(np.int16))


def _trimmed(pcm: Pcm) -> Pcm:
    loud = np.flatnonzero(np.abs(pcm) > QUIET)
    return pcm[loud[0] : loud[-1] + 1]


def through_line(pcm: Pcm) -> bytes:
    """Returns 8 kHz audio as a model gets it: through G.711 and at MODEL_HZ."""
    return resample(ulaw_decode(ulaw_encode(pcm)), LINE_HZ, MODEL_HZ).tobytes()


def with_pause(pcm: Pcm, before_ms: int, after_ms: int) -> Pcm:
    """Returns the audio with silence around it."""
    return np.pad(pcm, (before_ms * LINE_HZ // 1000, after_ms * LINE_HZ // 1000))


def babble(pcm: Pcm, others: Sequence[Clip], snr_db: float, random: np.random.Generator) -> Pcm:
    """Returns the audio with six others speaking behind it, all together `snr_db` below it."""
    chosen = [others[number].pcm for number in random.integers(0, len(others), 6)]
    noise = sum(np.resize(np.roll(one, random.integers(len(one))), len(pcm)).astype(np.float64) for one in chosen)
    noise *= np.sqrt(np.mean(pcm.astype(np.float64) ** 2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return np.clip(pcm + noise, -32768, 32767).astype(np.int16)
