"""Each service killed, hung, slow or talking rubbish mid-call: an apology, the fallback, and the dialplan goes on.

Where a service comes to itself again, so does the conversation. Calls that need not wait for each other go on at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import termios
from array import array
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from engine.audio import resample
from tests.scenes.scene import RATE_HZ, Caller, call_state, calling, is_whole, made, next_destination, until_tone
from tests.support.asr_services import LOUD, RUBBISH, Connection, OpenAiService
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import Talkspurt, running
from tests.support.llm_server import Answer, LlmServer
from tests.support.voices import caller_says
from tests.support.waiting import eventually

APOLOGY = "I am sorry, something has gone wrong here."
FALLBACK = "from-internal,100,1"
FINE = "That is fine."
QUESTION = "Is there anybody who can hear what I am saying?"
SETTINGS = {
    "LLM_MODEL": "m", "GREETING": "Good morning.", "APOLOGY": APOLOGY, "FALLBACK_DESTINATION": FALLBACK,
    "LLM_TIMEOUT_MS": "1500", "ASR_TIMEOUT_MS": "2500", "FILLER": "One moment.",
}  # fmt: skip
KEPT_OPEN = 4
"""Connections to the model, which its client keeps for the next call, and the one that asks."""
ANSWERS = {
    "broken": Answer(status=500),
    "silent": Answer(hang=True),
    "hung": Answer("The answer begins well and", hang=True),
    "killed": Answer("The answer begins well and", dies=True),
    "rubbish": Answer(rubbish=b"data: }{\n\n"),
    "binary": Answer("The answer begins well and", rubbish=bytes(range(256))),
    "another": Answer(rubbish=b'data: {"choices": "none"}\n\n'),
    "html": Answer(rubbish=b"<html><body>502 Bad Gateway</body></html>"),
    "slow": Answer(FINE, first_token_s=0.7, token_s=0.5),
}
"""By the last word of what the caller says."""


def respond(messages: list[dict[str, Any]]) -> Answer:
    return ANSWERS.get(messages[-1]["content"].split()[-1], Answer(FINE))


@asynccontextmanager
async def answered(asterisk: Asterisk, server: Talkspurt) -> AsyncIterator[Caller]:
    """A call that has been greeted."""
    async with calling(asterisk, server) as caller:
        await caller.until("response.done")
        yield caller


async def apologises(server: Talkspurt, caller: Caller, service: str, start: int) -> None:
    """The call goes wrong: from packet `start` on the caller hears the whole apology, then the dialplan's tone."""
    await caller.until("call.ended")
    ended = await until_tone(caller, start)
    heard = caller.phone.heard(caller.phone.packets[start:ended]).pcm
    assert is_whole(await made(server, APOLOGY), heard, RATE_HZ)
    assert (await call_state(server, caller.id))["conversation"]["failed"] == service
    assert await next_destination(server, caller.id) == FALLBACK


@asynccontextmanager
async def nothing_left_open(server: Talkspurt) -> AsyncIterator[None]:
    """The server has as many files and sockets open in the end as in the beginning, and no call."""

    def count() -> int:
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    before = count()
    yield

    async def as_before() -> bool:
        async with aiohttp.ClientSession(server.url) as http, http.get("/v1/calls") as response:
            return not (await response.json())["data"] and count() <= before + KEPT_OPEN

    await eventually(as_before, 15.0)


async def test_the_model(asterisk: Asterisk, tmp_path: Path) -> None:
    async def one_call(server: Talkspurt, how: str) -> None:
        async with answered(asterisk, server) as caller:
            start = len(caller.phone.packets)
            await caller.words(f"it is {how}")
            if how == "slow":
                assert (await caller.until("response.done"))["text"].endswith(FINE)
                await caller.words("and it is fine")
                assert (await caller.until("response.done"))["text"] == FINE
            else:
                await apologises(server, caller, "llm", start)

    async with LlmServer(respond=respond) as model:
        with running(tmp_path, LLM_BASE_URL=model.url, **SETTINGS) as server:
            async with nothing_left_open(server):
                await asyncio.gather(*(one_call(server, how) for how in ANSWERS))


async def test_the_recogniser(asterisk: Asterisk, tmp_path: Path) -> None:
    async with OpenAiService([QUESTION]) as recogniser, LlmServer(respond=respond) as model:
        with running(tmp_path, ASR_URL=recogniser.url, LLM_BASE_URL=model.url, **SETTINGS) as server:
            async with nothing_left_open(server):
                await comes_to_itself(asterisk, server, recogniser)
            async with nothing_left_open(server):
                await is_gone(asterisk, server, recogniser)
            recogniser.refuses = False
            async with answered(asterisk, server) as caller:  # and the next call is served as if nothing had been
                await caller.say(QUESTION)
                assert (await caller.until("response.done"))["text"] == FINE


@asynccontextmanager
async def greeted_calls(
    asterisk: Asterisk, server: Talkspurt, recogniser: OpenAiService, count: int
) -> AsyncIterator[list[tuple[Caller, Connection]]]:
    """So many calls, each with its connection to the recogniser."""
    async with AsyncExitStack() as stack:
        calls = []
        for _ in range(count):
            known = len(recogniser.connections)
            caller = await stack.enter_async_context(calling(asterisk, server))
            await recogniser.until(lambda known=known: len(recogniser.connections) > known)
            calls.append((caller, recogniser.connections[known]))
        for caller, _ in calls:
            await caller.until("response.done")
        yield calls


async def comes_to_itself(asterisk: Asterisk, server: Talkspurt, recogniser: OpenAiService) -> None:
    """Killed while the caller speaks, and back; slow; rubbish between what it says; one message too long."""

    async def one_call(caller: Caller, connection: Connection, fault: str) -> None:
        if fault == "killed":
            talking = asyncio.create_task(caller.say(QUESTION))
            await speaks(recogniser, connection)
            connection.abort()
            await talking
        else:
            connection.fault = fault
            await caller.say(QUESTION)
        assert (await caller.until("transcript.user"))["text"] == QUESTION
        assert (await caller.until("response.done"))["text"].endswith(FINE)
        assert [event["text"] for event in caller.events if event["type"] == "transcript.user"] == [QUESTION], "once"

    faults = ("killed", "slow", "noise", "huge")
    async with greeted_calls(asterisk, server, recogniser, len(faults)) as calls:
        await asyncio.gather(*(one_call(*call, fault) for call, fault in zip(calls, faults, strict=True)))
        lost = [connection for _, connection in calls if connection.over.is_set()]
        again = recogniser.connections[len(calls) :]
        assert len(again) >= len(lost) == 2
        question = resample(caller_says(QUESTION), RATE_HZ, recogniser.rate_hz)
        for connection in again[:2]:  # what the lost connection had heard is heard again
            assert is_whole(question, np.frombuffer(connection.audio, np.int16), recogniser.rate_hz)


async def is_gone(asterisk: Asterisk, server: Talkspurt, recogniser: OpenAiService) -> None:
    """Killed while the caller speaks, and not back; hung; nothing but rubbish, of each kind."""

    async def one_call(caller: Caller, connection: Connection, fault: str) -> None:
        start = len(caller.phone.packets)
        talking = asyncio.create_task(caller.say(QUESTION))
        if fault == "killed":
            await speaks(recogniser, connection)
            connection.abort()
        else:
            connection.fault = fault
        await apologises(server, caller, "asr", start)
        await talking

    faults = ("killed", "hang", *(name for name in RUBBISH if name != "huge"))
    async with greeted_calls(asterisk, server, recogniser, len(faults)) as calls:
        recogniser.refuses = True
        await asyncio.gather(*(one_call(*call, fault) for call, fault in zip(calls, faults, strict=True)))


async def speaks(recogniser: OpenAiService, connection: Connection) -> None:
    """Until the recogniser has heard much of the caller's sentence, and not its end."""

    def heard() -> bool:
        loud = np.abs(np.frombuffer(connection.audio, np.int16).astype(np.int32)) > LOUD
        return int(np.count_nonzero(loud)) > recogniser.rate_hz * 8 // 10

    await recogniser.until(heard)


async def test_the_engine_dies_in_the_middle_of_an_answer(asterisk: Asterisk, tmp_path: Path) -> None:
    answer = Answer("This is the first of two sentences, and it is heard. The second", rest=" dies with the engine.")
    async with LlmServer(respond=lambda messages: answer) as model:
        with running(tmp_path, LLM_BASE_URL=model.url, **SETTINGS | {"LLM_TIMEOUT_MS": "9000"}) as server:
            (worker,) = workers(server)
            async with nothing_left_open(server), answered(asterisk, server) as caller:
                start = len(caller.phone.packets)
                await caller.words("tell me")
                await caller.until("response.started")
                await caller.packets(40)  # by now it is made, and the worker idle
                os.kill(worker, signal.SIGSTOP)
                model.go_on.set()

                async def has_work() -> bool:
                    return unread_bytes(worker) > 0

                await eventually(has_work, 10.0)
                os.kill(worker, signal.SIGKILL)
                await caller.until("call.ended")
                ended = await until_tone(caller, start)
                heard = caller.phone.heard(caller.phone.packets[start:ended]).pcm
                assert is_whole(await made(server, APOLOGY), heard, RATE_HZ)
                assert await next_destination(server, caller.id) == FALLBACK
            async with answered(asterisk, server):  # by another worker
                assert workers(server) != [worker]


def workers(server: Talkspurt) -> list[int]:
    """The engine's processes."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"engine.hibari.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def unread_bytes(pid: int) -> int:
    """Of the process's standard input."""
    count = array("i", [0])
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
