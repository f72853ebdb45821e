"""Each service killed, hung, slow or talking rubbish mid-call: an apology, the fallback, and the dialplan goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.asterisk.asterisk import Asterisk
from tests.asterisk.talkspurt import Talkspurt, running
from tests.conversation.recogniser import RecognitionService
from tests.conversation.scene import Caller, call_state, calling, next_destination, until_tone
from tests.llm_server import Answer, LlmServer
from tests.recognition import recognise, word_error_rate

APOLOGY = "I am sorry, something has gone wrong here."
FALLBACK = "from-internal,100,1"


def respond(messages: list[dict[str, Any]]) -> Answer:
    match messages[-1]["content"].split()[-1]:
        case "broken":
            return Answer(status=500)
        case "hung":
            return Answer("The answer begins well and", hang=True)
        case "rubbish":
            return Answer(rubbish=b"data: }{\n\n")
        case "silent":
            return Answer(hang=True)
        case _:
            return Answer("That is fine.", first_token_s=0.7)


async def apologises(
    asterisk: Asterisk, server: Talkspurt, service: str, misbehave: Callable[[Caller], Awaitable[None]]
) -> str:
    """One call that goes wrong; returns what the caller heard after that, up to the dialplan's tone."""
    async with calling(asterisk, server) as caller:
        await caller.until("response.done")
        start = len(caller.phone.packets)
        await misbehave(caller)
        await caller.until("call.ended")
        ended = await until_tone(caller, start)
        heard = await recognise(caller.phone.heard(caller.phone.packets[start:ended]).pcm, 8_000)
    state = await call_state(server, caller.id)
    assert state["conversation"]["failed"] == service
    assert await next_destination(server, caller.id) == FALLBACK
    return heard


async def test_every_way_to_fail(asterisk: Asterisk, recogniser: RecognitionService, tmp_path: Path) -> None:
    async with LlmServer(respond=respond) as model:
        settings = {"ASR_URL": recogniser.url, "LLM_BASE_URL": model.url, "LLM_MODEL": "m", "GREETING": "Good morning.",
                    "APOLOGY": APOLOGY, "FALLBACK_DESTINATION": FALLBACK, "LLM_TIMEOUT_MS": "1500",
                    "ASR_TIMEOUT_MS": "1500", "FILLER": "One moment."}  # fmt: skip
        with running(tmp_path, **settings) as server:
            for said in ("it is broken", "it is hung", "it is rubbish", "it is silent"):
                heard = await apologises(asterisk, server, "llm", lambda caller, said=said: caller.words(said))
                assert heard.rstrip().endswith("something has gone wrong here."), heard

            async def goes_away(caller: Caller) -> None:
                recogniser.misbehaviour = "refuse"
                await recogniser.close_all()

            async def hangs(caller: Caller) -> None:
                recogniser.misbehaviour = "hang"
                await caller.say("Hello? Is there anybody who can hear what I am saying?")

            async def talks_rubbish(caller: Caller) -> None:
                recogniser.misbehaviour = "rubbish"
                await caller.say("Hello? Is there anybody who can hear what I am saying?")

            for misbehave in (goes_away, hangs, talks_rubbish):
                heard = await apologises(asterisk, server, "asr", misbehave)
                assert word_error_rate([APOLOGY], [heard]) <= 0.2, heard
                recogniser.misbehaviour = ""

            async with calling(asterisk, server) as caller:  # and the next call is served as if nothing had been
                await caller.until("response.done")
                await caller.words("it is slow")
                assert (await caller.until("response.done"))["text"] == "That is fine."
