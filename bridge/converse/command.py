"""The command `talkspurt converse`: tries scenarios, prints what came of each expectation, and leaves the calls."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.converse.caller_model import CallerModel
from bridge.converse.scenario import Scenario
from bridge.converse.scenario_file import BadScenario, load_scenarios
from bridge.converse.server_process import CannotServe
from engine.speech import SpeechError

FOLDER: Final = Path("converse")
DEFAULT_PORT: Final = 9092
KEY: Final = "CALLER_MODEL_API_KEY"
AGENT_KEY: Final = "LLM_API_KEY"


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt converse`."""
    parser = sub.add_parser(
        "converse",
        help="have scripted callers talk to a server, and judge what it does",
        description="Tries scenarios out of YAML files. Each is a call, with noise, echo, coughs and barge-ins, and "
        "what is expected of the agent. Starts servers of its own, with the embedded voice and a scripted model, "
        "unless --server names one. Exits with 1 if an expectation is not met. docs/converse.md tells the form.",
    )
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="FILE", help="YAML files, or folders of them")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="print only what does not simply pass")
    parser.add_argument("--only", default="", metavar="TEXT", help="try only scenarios with this in their names")
    parser.add_argument("--calls", type=int, default=os.cpu_count() or 1, help="calls at once (default: %(default)s)")
    parser.add_argument("--server", default="", metavar="HOST:PORT", help="call this server, with its own settings")
    parser.add_argument("--http", default="", metavar="URL", help="that server's HTTP interface, to learn its side")
    parser.add_argument("--api-key", default="", help="that server's API_KEY")
    parser.add_argument(
        "--agent-model", nargs=2, metavar=("URL", "NAME"), help=f"a language model for our servers; key: {AGENT_KEY}"
    )
    parser.add_argument(
        "--caller-model", nargs=2, metavar=("URL", "NAME"), help=f"a language model that improvises; key: {KEY}"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Tries the scenarios. Returns 2 where one is wrong, 1 where one fails or cannot be tried, else 0."""
    import uvloop

    try:
        host, port = address(args.server) if args.server else ("", 0)
        scenarios = [one for one in load_scenarios(args.scenarios) if args.only in one.name]
        if not scenarios:
            raise BadScenario(f"no scenario has {args.only!r} in its name")
        if args.calls < 1:
            raise BadScenario(f"--calls {args.calls}: must be at least 1")
        if args.http and not args.server:
            raise BadScenario("--http needs --server")
        args.output.mkdir(parents=True, exist_ok=True)
        return int(uvloop.run(_try(scenarios, args, host, port)))
    except BadScenario as error:
        return _complain(str(error), 2)
    except (CannotServe, SpeechError, OSError) as error:
        return _complain(str(error), 1)


async def _try(scenarios: Sequence[Scenario], args: argparse.Namespace, host: str, port: int) -> int:
    from bridge.converse.report import table, write
    from bridge.converse.server_group import Address, AgentModel, try_all
    from bridge.converse.voices import Voices, embedded_voice

    def show(scenario: Scenario) -> None:
        print(f"{scenario.name} …", file=sys.stderr, flush=True)

    at = Address(host, port, args.http, args.api_key) if host else None
    agent = caller = None
    if args.agent_model:
        agent = AgentModel(args.agent_model[0], args.agent_model[1], os.environ.get(AGENT_KEY, ""))
    if args.caller_model:
        caller = CallerModel(args.caller_model[0], args.caller_model[1], os.environ.get(KEY, ""))
    try:
        async with embedded_voice() as engine:
            outcomes = await try_all(
                scenarios, Voices(engine), at=at, calls=args.calls, agent_model=agent, caller_model=caller,
                on_call_over=show,
            )  # fmt: skip
    finally:
        if caller is not None:
            await caller.close()
    for outcome in outcomes:  # drawn once all calls are over, for drawing would make callers late
        await asyncio.to_thread(write, outcome, args.output)
    print(f"{table(outcomes, short=args.short)}\n\n{args.output}/")
    return 1 if any(outcome.counts for outcome in outcomes) else 0


def address(text: str) -> tuple[str, int]:
    """Returns host and port out of `host:port` or `host`. Raises BadScenario."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadScenario(f"--server {text}: must be host:port")
    return host.strip("[]"), int(port)


def _complain(message: str, status: int) -> int:
    print(f"talkspurt converse: {message}", file=sys.stderr)
    return status
