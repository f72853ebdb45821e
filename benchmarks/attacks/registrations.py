"""Calls that are announced: a name that is a format, far too many fields, far too many calls."""

from __future__ import annotations

import asyncio
import json
from typing import Final
from uuid import uuid4

from benchmarks.attacks.target import Answers, Target
from benchmarks.attacks.wire import ask_json, connected, head
from bridge.dial.caller import Caller

NAME: Final = "{from:>2000000000}"
BAD_BYTES: Final = 2**18
"""As much as the calls API reads."""
FLOOD: Final = 10_400
"""More than are kept."""
CONNECTIONS: Final = 8
AT_ONCE: Final = 25
"""Requests that are sent on a connection before their answers are read."""


async def format_name(target: Target, answers: Answers) -> None:
    """A caller whose name asks for two thousand million characters, greeted by it."""
    for _ in range(5):
        caller = Caller()
        await ask_json(target, answers, "/v1/calls", {"id": str(caller.id), "from": "1", "name": NAME})
        await caller.connect(target.host, target.port)
        await caller.voice(0.0)
        answers["greeted"] += 1
        caller.hang_up()


async def bad_registration(target: Target, answers: Answers) -> None:
    """As many wrong fields as fit into a body."""
    fields: dict[str, object] = {f"f{number}": [] for number in range(BAD_BYTES // 16)}
    body = json.dumps({"id": "no id"} | fields).encode()
    while True:
        await ask_json(target, answers, "/v1/calls", body)


async def registration_flood(target: Target, answers: Answers) -> None:
    """So many announced calls that one is forgotten which a real dialplan has announced."""
    caller = Caller()
    await ask_json(target, answers, "/v1/calls", {"id": str(caller.id), "from": "the real caller"}, who="the caller: ")
    await asyncio.gather(*(_flood(target, answers, FLOOD // CONNECTIONS) for _ in range(CONNECTIONS)))
    await caller.connect(target.host, target.port)
    await asyncio.sleep(0.5)
    async with connected(target.host, target.http_port) as (reader, writer):
        writer.write(head(target, "GET", f"/v1/calls/{caller.id}", headers={"Connection": "close"}))
        kept = b"the real caller" in await reader.read()
    answers["the caller: known" if kept else "the caller: forgotten"] += 1
    caller.hang_up()


async def _flood(target: Target, answers: Answers, times: int) -> None:
    fields = {"Content-Type": "application/json"}
    try:
        async with connected(target.host, target.http_port) as (reader, writer):
            for _ in range(times // AT_ONCE):
                for _ in range(AT_ONCE):
                    body = json.dumps({"id": str(uuid4())}).encode()
                    writer.write(head(target, "POST", "/v1/calls", length=len(body), headers=fields) + body)
                for _ in range(AT_ONCE):
                    answer = await reader.readuntil(b"\r\n\r\n")
                    answers[answer.split()[1].decode()] += 1
                    length = answer.lower().partition(b"content-length: ")[2].split()[0]
                    await reader.readexactly(int(length))
    except (ConnectionError, EOFError):
        answers["closed"] += 1
