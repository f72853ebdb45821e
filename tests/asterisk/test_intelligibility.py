"""Twenty sentences spoken into G.711 calls, and what a listener at the caller's end understands of them."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from engine.speech import Pcm
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.sip import dial
from tests.support.asterisk.talkspurt import CallsApi, Talkspurt
from tests.support.recognition import normalise, recognise, word_error_rate

SENTENCES = [
    "Good morning, you have reached the front desk of Hamilton Dental.",
    "Your appointment with Doctor Williams is on Tuesday, March 3rd, at 3:45 p.m.",
    "Please hold the line while I look up your account.",
    "Your order number is 4 7 2 9 1 5.",
    "The total comes to 128 dollars and 50 cents.",
    "I can offer you a table for six at half past seven.",
    "You can call us back at 555-0142 before noon.",
    "Thank you, Margaret, I have noted your new address.",
    "The train to Boston leaves from platform 9 at 10:15.",
    "Could you please spell your last name for me?",
    "We are open Monday to Friday from 8 a.m. to 6 p.m.",
    "Your package was delivered on the 21st of October.",
    "I am sorry, Mister Johnson is in a meeting until two o'clock.",
    "Press 1 for sales, or press 2 for technical support.",
    "There are 17 people waiting in front of you.",
    "The balance on your savings account is 2,450 dollars.",
    "Room 312 is on the third floor, next to the elevator.",
    "Let me transfer you to Jennifer in the billing department.",
    "Your password will expire in 30 days.",
    "Is there anything else that I can help you with today?",
]
CALLS = 4
"""At once, to save time: the sentences are a minute and a quarter long."""
MAX_WORD_ERROR_RATE = 0.03
PAUSE_S = 0.3
TIMEOUT_S = 30.0


async def listen(asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi, sentences: list[str]) -> list[Pcm]:
    """What the caller hears of each sentence, in one call."""
    call_id = str(uuid.uuid4())
    heard = []
    async with dial(asterisk.sip_address, talkspurt.extension("try", call_id)) as call:
        await call.until_voice(TIMEOUT_S)
        await api.interrupt(call_id)
        before = await call.until_quiet(PAUSE_S, TIMEOUT_S, after=len(call.packets))
        for sentence in sentences:
            await api.say(call_id, sentence)
            await call.until_voice(TIMEOUT_S, after=before)
            await api.until_silent(call_id, TIMEOUT_S)
            after = await call.until_quiet(PAUSE_S, TIMEOUT_S, after=len(call.packets))
            heard.append(call.heard(call.packets[before:after]).pcm)
            before = after
        state = await api.call(call_id)
        print(f"late packets: {call.heard().late_packets}, frames not made in time: {state['underrun_frames']}")
    return heard


@pytest.mark.timeout(300)
async def test_twenty_sentences_are_understood(asterisk: Asterisk, talkspurt: Talkspurt, api: CallsApi) -> None:
    shares = [SENTENCES[start::CALLS] for start in range(CALLS)]
    recordings = await asyncio.gather(*(listen(asterisk, talkspurt, api, share) for share in shares))
    said = [sentence for share in shares for sentence in share]
    understood = [await recognise(pcm, rate_hz=8_000) for share in recordings for pcm in share]
    differences = [
        f"said {normalise(a)!r}, understood {normalise(b)!r}"
        for a, b in zip(said, understood, strict=True)
        if normalise(a) != normalise(b)
    ]
    rate = word_error_rate(said, understood)
    print(f"word error rate over {len(said)} sentences: {rate:.1%}")
    assert rate <= MAX_WORD_ERROR_RATE, "\n".join(differences)
