"""What fails in a run: neighbours that are killed and started again, stopped, garbled, slow, or cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.conversation.talk import Talk
from tests.simulation.plan import Fault

if TYPE_CHECKING:
    from tests.simulation.run import Run

ASIDE = "Please hold the line."
"""What the calls API has said."""
STANDS_STILL_S = 0.3
"""The longest that our own process gets no processor."""


def begin_fault(run: Run, fault: Fault) -> None:
    """Begins a fault now, and sets the timer for its end."""
    loop, network = run.loop, run.loop.network
    caller = run.callers[fault.call] if fault.call < len(run.callers) else None
    connected = caller is not None and caller.has_connected and not caller.gone
    engine = run.engine
    match fault.kind:
        case "recogniser killed":
            network.kill(run.recogniser.host)
            loop.call_later(fault.lasts_s, run.recogniser.listen)
        case "recogniser stalled":
            network.stall(run.recogniser.host, fault.lasts_s)
        case "recogniser garbles":
            run.recogniser.garbles = True
            loop.call_later(fault.lasts_s, _set, run.recogniser, "garbles", False)
        case "model killed":
            network.kill(run.model.host)
            loop.call_later(fault.lasts_s, run.model.listen)
        case "model stalled":
            network.stall(run.model.host, fault.lasts_s)
        case "engine broken":
            engine.is_broken = True
            loop.call_later(fault.lasts_s, _set, engine, "is_broken", False)
        case "engine slow":
            speed, engine.speed = engine.speed, 0.5
            loop.call_later(fault.lasts_s, _set, engine, "speed", speed)
        case "engine killed":
            engine.kill()
        case "caller stalled" if connected and caller is not None:
            network.stall(caller.host, fault.lasts_s)
        case "caller deaf" if connected and caller is not None:
            caller.end.be_deaf(fault.lasts_s)
        case "caller reset" if connected and caller is not None:
            caller.end.reset()
        case "all parted":
            for host in network.hosts.values():
                network.stall(host, fault.lasts_s)
        case "we stand still":
            loop.stand_still(min(fault.lasts_s, STANDS_STILL_S))
        case "we stop":
            run.stopping.set()
        case "told to speak" | "told to be silent" | "told to hang up" if connected and caller is not None:
            talk = run.app.calls.find(caller.id)
            if talk is not None:
                {"told to speak": _speak, "told to be silent": Talk.interrupt, "told to hang up": _hang_up}[fault.kind](
                    talk
                )


def _set(neighbour: object, name: str, value: object) -> None:
    """Ends a fault. By its module, a timer that calls it is known for the simulation's own; `setattr` would not be."""
    setattr(neighbour, name, value)


def _speak(talk: Talk) -> None:
    talk.say(ASIDE)


def _hang_up(talk: Talk) -> None:
    talk.hang_up(ASIDE)
