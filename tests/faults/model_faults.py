"""What may be wrong with the language model, its tools and the systems that are told of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.fault import ANSWERS, Fault, Outcome
from tests.faults.neighbours import HttpNeighbour, Ill
from tests.faults.simulated import FaultRun
from tests.simulation.plan import Answer

FIRST, NEXT = ANSWERS
ALWAYS_S: Final = 60.0
BRIEF_S: Final = 2.0
USES_TOOL: Final = (Answer("", end="tool"), FIRST, NEXT)
HUNDREDTH_LETTER_S: Final = 0.4
"""A word in so long is slower than speech."""
STALLS_S: Final = 7.0
"""A word comes within each LLM_TIMEOUT_MS, and a sentence of five does not."""
BEFORE_S: Final = 1.2
ANSWERS_S: Final = 4.2


def ends(*how: str) -> tuple[Answer, ...]:
    """Returns answers that end so, and then good ones."""
    return (*(replace(FIRST, end=end) for end in how), FIRST, NEXT)  # type: ignore[arg-type]


def always(end: str) -> tuple[Answer, ...]:
    return (replace(FIRST, end=end),)  # type: ignore[arg-type]


def kill(run: FaultRun, back_s: float | None) -> None:
    run.loop.network.kill(run.model.host)
    if back_s is not None:
        run.loop.call_later(back_s, run.model.listen)


def stall(run: FaultRun, seconds: float) -> None:
    run.loop.network.stall(run.model.host, seconds)


def kill_both(run: FaultRun) -> None:
    """Kills the model and the recogniser, as the end of the machine does that has both."""
    for service in (run.model, run.recogniser):
        run.loop.network.kill(service.host)


def stall_both(run: FaultRun) -> None:
    for service in (run.model, run.recogniser):
        run.loop.network.stall(service.host, ALWAYS_S)


def be_late(run: FaultRun) -> None:
    run.model.host.quality = run.slow


def ail(run: FaultRun, who: str, how: Ill) -> None:
    """Has a neighbour that is asked over HTTP be ill."""
    neighbour: HttpNeighbour = getattr(run, who)
    neighbour.ill = how


def die(run: FaultRun, who: str) -> None:
    neighbour: HttpNeighbour = getattr(run, who)
    run.loop.network.kill(neighbour.host)


def stop(run: FaultRun, who: str) -> None:
    neighbour: HttpNeighbour = getattr(run, who)
    run.loop.network.stall(neighbour.host, ALWAYS_S)


def events(run: FaultRun) -> str:
    """Tells which events never came."""
    types = [kind for kind in (b"call.started", b"call.ended") if not any(kind in body for body in run.receiver.taken)]
    return "the web-hook's events" if types else ""


def _of_mcp(name: str, prepare: Callable[[FaultRun], None]) -> Fault:
    """Returns a fault of a server of tools that speaks MCP; the agent goes on without what the tool would tell."""
    tools = {"llm_tools": Path(__file__).with_name("mcp_tools.yaml")}
    return Fault("MCP server", name, Outcome.GOES_ON, prepare=prepare, answers=USES_TOOL, settings=tools)


MODEL: Final = [
    Fault("model", "killed, and started again after 2 s", Outcome.HUMAN, partial(kill, back_s=BRIEF_S)),
    Fault(
        "model",
        "killed while it answers",
        Outcome.GOES_ON,
        partial(kill, back_s=0.1),
        ANSWERS_S,
        (replace(FIRST, token_s=0.2), FIRST, NEXT),
    ),
    Fault("model", "stopped for 2 s", Outcome.GOES_ON, partial(stall, seconds=BRIEF_S)),
    Fault("model", "stopped, and never goes on", Outcome.HUMAN, partial(stall, seconds=ALWAYS_S)),
    Fault("model", "stops in the middle of an answer", Outcome.HUMAN, answers=ends("hang")),
    Fault("model", "breaks off in the middle of an answer", Outcome.GOES_ON, answers=ends("dies")),
    Fault("model", "every byte 1 s late", Outcome.GOES_ON, be_late, BEFORE_S),
    Fault(
        "model",
        "writes more slowly than speech",
        Outcome.GOES_ON,
        answers=(replace(FIRST, token_s=HUNDREDTH_LETTER_S), NEXT),
    ),
    Fault("model", "writes a word every 7 s", Outcome.HUMAN, answers=(replace(FIRST, token_s=STALLS_S), NEXT)),
    Fault("model", "out of order once (HTTP 503)", Outcome.GOES_ON, answers=ends("error")),
    Fault("model", "out of order (HTTP 503)", Outcome.HUMAN, answers=always("error")),
    Fault("model", "refuses the key (HTTP 401)", Outcome.HUMAN, answers=always("refused")),
    Fault("model", "garbles an answer", Outcome.GOES_ON, answers=(replace(FIRST, end="garbled"), NEXT)),
    Fault("model", "answers with a web page", Outcome.HUMAN, answers=always("page")),
    Fault("model", "says nothing", Outcome.HUMAN, answers=always("silent")),
    Fault(
        "model",
        "does not end its answer",
        Outcome.GOES_ON,
        answers=(replace(FIRST, text=f"{FIRST.text} ", end="endless"), NEXT),
    ),
    Fault("model", "calls a tool that there is not, for ever", Outcome.HUMAN, answers=(Answer("", end="no tool"),)),
]
TOGETHER: Final = [
    Fault("recogniser and model", "both killed for good", Outcome.HUMAN, kill_both),
    Fault("recogniser and model", "both stopped, and never go on", Outcome.HUMAN, stall_both),
]
TOOLS: Final = [
    Fault("tool", "killed", Outcome.GOES_ON, prepare=partial(die, who="tool"), answers=USES_TOOL),
    Fault("tool", "stopped", Outcome.GOES_ON, partial(stop, who="tool"), BEFORE_S, USES_TOOL),
    Fault(
        "tool", "answers after 4 s", Outcome.GOES_ON, prepare=partial(ail, who="tool", how="slow"), answers=USES_TOOL
    ),
    Fault(
        "tool",
        "out of order (HTTP 500)",
        Outcome.GOES_ON,
        prepare=partial(ail, who="tool", how="fails"),
        answers=USES_TOOL,
    ),
    Fault(
        "tool",
        "garbles its answer",
        Outcome.GOES_ON,
        prepare=partial(ail, who="tool", how="garbles"),
        answers=USES_TOOL,
    ),
    Fault(
        "tool",
        "cuts its answer off",
        Outcome.GOES_ON,
        prepare=partial(ail, who="tool", how="cuts off"),
        answers=USES_TOOL,
    ),
    Fault(
        "tool",
        "answers with a megabyte",
        Outcome.GOES_ON,
        prepare=partial(ail, who="tool", how="floods"),
        answers=USES_TOOL,
    ),
    _of_mcp("not there", partial(die, who="mcp")),
    _of_mcp("killed while its tool is at work, and started again", partial(ail, who="mcp", how="dies")),
    _of_mcp("hangs while its tool is at work", partial(ail, who="mcp", how="hangs")),
    _of_mcp("answers after 4 s", partial(ail, who="mcp", how="slow")),
    _of_mcp("out of order (HTTP 500)", partial(ail, who="mcp", how="fails")),
    _of_mcp("garbles its answer", partial(ail, who="mcp", how="garbles")),
    _of_mcp("cuts its answer off", partial(ail, who="mcp", how="cuts off")),
    _of_mcp("answers with a megabyte", partial(ail, who="mcp", how="floods")),
    Fault("web-hook's receiver", "killed", Outcome.GOES_ON, prepare=partial(die, who="receiver"), also_lost=events),
    Fault("web-hook's receiver", "stopped", Outcome.GOES_ON, partial(stop, who="receiver"), 0.0, also_lost=events),
    Fault(
        "web-hook's receiver",
        "out of order (HTTP 500)",
        Outcome.GOES_ON,
        prepare=partial(ail, who="receiver", how="fails"),
        also_lost=events,
    ),
    Fault(
        "web-hook's receiver",
        "sends elsewhere (HTTP 302)",
        Outcome.GOES_ON,
        prepare=partial(ail, who="receiver", how="redirects"),
        also_lost=events,
    ),
    Fault(
        "web-hook's receiver",
        "garbles its answer",
        Outcome.GOES_ON,
        prepare=partial(ail, who="receiver", how="garbles"),
        also_lost=events,
    ),
]
