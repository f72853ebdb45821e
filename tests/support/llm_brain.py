"""A language model's brain for one call, as the server makes it, and what a test does with its pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from openai import AsyncOpenAI

from bridge.background import BackgroundTasks
from bridge.brains.brain import EndText, Piece
from bridge.brains.destinations import Destinations
from bridge.brains.llm import LlmBrain, LlmOptions
from bridge.brains.llm_client import make_llm_client
from bridge.brains.model import Model, ModelOptions
from bridge.brains.model_chain import ModelChain
from bridge.brains.tool import Tool
from bridge.brains.tools import Toolbox
from tests.support.llm_server import LlmServer

PROMPTS = ("system_prompt", "greeting", "no_input_prompt", "unclear_prompt")


@asynccontextmanager
async def brain(
    server: LlmServer,
    *tools: Tool,
    variables: dict[str, str] | None = None,
    second: LlmServer | None = None,
    **options: Any,
) -> AsyncIterator[LlmBrain]:
    """A brain that asks the server, and then the second one if there is one."""
    prompts = {name: options.pop(name) for name in PROMPTS if name in options}
    models = [Model(make_llm_client(server.url, "k"), ModelOptions("m", **options))]
    if second is not None:
        models.append(Model(make_llm_client(second.url, "k"), ModelOptions("m2", **options)))
    chain, tasks = ModelChain(models), BackgroundTasks()
    async with aiohttp.ClientSession() as http:
        toolbox = Toolbox(http, list(tools), Destinations("sales=ext-queues,400,1"), variables or {})
        yield LlmBrain(chain, LlmOptions(**prompts), toolbox, tasks, variables)
        await tasks.close(0)
    await chain.close()


def brain_of(http: aiohttp.ClientSession, client: AsyncOpenAI) -> LlmBrain:
    """A brain without tools that asks this client."""
    chain = ModelChain([Model(client, ModelOptions("m"))])
    return LlmBrain(chain, LlmOptions(), Toolbox(http, [], Destinations("")), BackgroundTasks())


async def collect(pieces: AsyncGenerator[Piece]) -> list[Piece]:
    """All that a turn yields."""
    return [piece async for piece in pieces]


def text_of(pieces: list[Piece]) -> str:
    """Its words, a line for each text."""
    words = ("\n" if isinstance(piece, EndText) else piece for piece in pieces)
    return "".join(word for word in words if isinstance(word, str)).strip()
