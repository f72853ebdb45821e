"""`talkspurt agents`: checks the file of AGENTS, and lists who answers the calls."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from bridge.config import Settings, WrongSetting, load_settings
from bridge.conversation.agents.agent import Agent
from bridge.conversation.agents.agents import Agents
from bridge.conversation.agents.agents_file import ResolveVoice, load_agents
from bridge.conversation.agents.yaml_file import WrongFile

HEADINGS: Final = ("agent", "numbers", "language", "voice", "brain")


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt agents`."""
    parser = sub.add_parser("agents", help="check the file of AGENTS and list the agents")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints a table of the agents; where the file is wrong, a line for each mistake, and returns 2."""
    try:
        settings = load_settings()
        agents = load_agents(settings.conversation, known_voices(settings), needs_model=not settings.realtime.is_brain)
    except (WrongSetting, WrongFile) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(table(agents)))
    return 0


def known_voices(settings: Settings) -> ResolveVoice | None:
    """Returns the engine's check of a voice's name; None where the engine has to be started for that."""
    from engine.hibari import HibariEngine
    from engine.registry import create_engine

    engine = create_engine(settings.engine, settings.qwen, settings.voices, settings.speech.request_timeout)
    return engine.resolve_voice if isinstance(engine, HibariEngine) else None


def table(agents: Agents) -> list[str]:
    """Returns the lines of the table."""
    rows = [HEADINGS, *(_row(agent, is_default=agent is agents.default) for agent in agents)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(agent: Agent, *, is_default: bool) -> tuple[str, ...]:
    numbers = [*agent.numbers, *(["every other"] if is_default else [])]
    languages = dict.fromkeys([agent.language or "any", *agent.languages])
    voice = agent.settings.voice or "the engine's"
    return agent.name, ", ".join(numbers) or "none", ", ".join(languages), voice, agent.brain
