"""`talkspurt serve --check`: says whether the settings are right, and what the model and the MCP servers can do."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.agents import known_voices
from bridge.config import Settings
from bridge.conversation.agents.agents_file import load_agents
from bridge.conversation.agents.yaml_file import WrongFile
from bridge.conversation.settings import ConversationSettings, models_key

if TYPE_CHECKING:
    from bridge.brains.model import Model

TOOL: Final = "hangup"
QUESTION: Final[list[dict[str, Any]]] = [
    {"role": "system", "content": f"This is a test. Say aloud: one two three four five. Then call the tool {TOOL}."},
    {"role": "user", "content": "Begin."},
]
TOOLS: Final[list[dict[str, Any]]] = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "End the call.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
]


def check(settings: Settings) -> int:
    """Checks what is left when the settings have been read, and asks each language model once.

    Returns 2 where a setting is wrong, 1 where the model or an MCP server does not answer.
    """
    problem = wrong_voice(settings)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    print("settings are right")
    status = asyncio.run(check_models(settings))
    return max(status, asyncio.run(check_tool_servers(settings.conversation.llm_tools)))


def wrong_voice(settings: Settings) -> str:
    """Returns what is wrong with VOICE and the agents' voices, where the engine knows them without being started."""
    from engine.speech import UnknownVoice

    resolve_voice = known_voices(settings)
    if resolve_voice is None:
        return ""
    try:
        resolve_voice(settings.conversation.voice)
        load_agents(settings.conversation, resolve_voice, needs_model=not settings.realtime.is_brain)
    except UnknownVoice as error:
        return f"VOICE={error.voice!r}: must be one of {', '.join(error.known)}"
    except WrongFile as error:
        return str(error)
    return ""


async def check_models(settings: Settings) -> int:
    """Prints what each language model was found to do; returns 1 if one does not answer."""
    from bridge.brains.model import ModelError
    from bridge.conversation.models import make_models

    status = 0
    for owner, own in _model_settings(settings.conversation).items():
        models = make_models(own)
        for name, model in zip((f"{owner}LLM_MODEL", f"{owner}LLM_FALLBACK_MODEL"), models.models, strict=False):
            try:
                print(f"{name}={model.options.model}: {await ask(model)}")
            except ModelError as error:
                print(f"{name}={model.options.model}: {error}", file=sys.stderr)
                status = 1
        await models.close()
    return status


def _model_settings(settings: ConversationSettings) -> dict[str, ConversationSettings]:
    """Returns settings with each model once, by what stands before the name of the setting: its agent, if it is one's.

    Agents that share the server's models have none of their own.
    """
    agents = load_agents(settings, needs_model=False)
    found: dict[tuple[Any, ...], tuple[str, ConversationSettings]] = {}
    for owner, own in [("", settings), *((f"{agent.name}: ", agent.settings) for agent in agents)]:
        if own.llm_base_url:
            found.setdefault(models_key(own), (owner, own))
    return dict(found.values())


async def check_tool_servers(path: Path | None) -> int:
    """Prints what each MCP server offers; returns 1 if one does not answer."""
    from bridge.brains.tools import load_tool_servers

    files = load_tool_servers(path) if path is not None else {}
    if not files:
        return 0
    from bridge.brains.mcp.connection import CONNECT_S
    from bridge.brains.mcp.servers import McpServers

    servers = McpServers(files)
    await servers.start(CONNECT_S)
    away = [connection for connection in servers.connections if not connection.listed.is_set()]
    for connection in servers.connections:
        if connection in away:
            reason = connection.problem or "it does not answer"
            print(f"MCP server {connection.name}: {reason}", file=sys.stderr)
        else:
            names = ", ".join(tool.name for tool in connection.tools) or "none"
            print(f"MCP server {connection.name}: tools {names}")
    await servers.close()
    return 1 if away else 0


@dataclass(slots=True)
class Finding:
    """What one answer of a model shows."""

    first_ms: int = 0
    pieces: int = 0
    called_tool: bool = False
    takes_tools: bool = True
    takes_system: bool = True

    def __str__(self) -> str:
        if self.called_tool:
            tools = "calls tools"
        elif self.takes_tools:
            tools = "takes tools, but called none when it was asked to"
        else:
            tools = "is sent no tools: it cannot transfer or hang up"
        streams = f"streams ({self.pieces} pieces)" if self.pieces > 1 else "does not stream: its words came at once"
        system = "" if self.takes_system else "; has the prompt in the caller's first message"
        return f"first token after {self.first_ms} ms; {streams}; {tools}{system}"


async def ask(model: Model) -> Finding:
    """Asks a model for a few words and a tool. Raises ModelError."""
    from bridge.brains.model import ModelError

    clock, finding = asyncio.get_running_loop().time, Finding()
    begun_s = clock()
    parts = model.answer(QUESTION, TOOLS, begun_s + model.options.timeout_ms / 1000)
    async with aclosing(parts):
        async for part in parts:
            finding.first_ms = finding.first_ms or round((clock() - begun_s) * 1000)
            if isinstance(part, str):
                finding.pieces += 1
            else:
                finding.called_tool = True
    if not finding.pieces and not finding.called_tool:
        raise ModelError("the language model answered nothing")
    finding.takes_tools, finding.takes_system = model.takes_tools, model.takes_system
    return finding
