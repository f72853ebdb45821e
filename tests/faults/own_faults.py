"""What may be wrong with the engine, with Asterisk, and with our own process and its machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from bridge.conversation import recording_writer
from tests.faults.fault import FULL_ENGINE_S, Fault, Outcome
from tests.faults.simulated import FaultRun
from tests.simulation.network import Quality
from tests.simulation.voice import SimulatedEngine

SPEAKS_S: Final = 4.0
"""The agent is in the middle of its answer."""
BEFORE_S: Final = 1.2
HALF_ASKED_S: Final = 2.5
"""The caller is in the middle of the question."""
HOUR_S: Final = 3_600.0
WHOLE_RECORDING_BYTES: Final = 20 * 8_000 * 4
FOR_GOOD_S: Final = 60.0
LOGGED: Final = ("log: speech broke down: True",)
REAL_TIME: Final = 1.2
"""An engine that makes speech hardly faster than it is heard."""


def break_engine(run: FaultRun) -> None:
    """Fails every sentence, as a model on a GPU does that has an error."""
    run.engine.is_broken = True


def break_engines(run: FaultRun) -> None:
    run.engine.is_broken = run.spare.is_broken = True


def kill_engine(run: FaultRun) -> None:
    run.engine.kill()


def hang_replica(run: FaultRun) -> None:
    """Makes no sound any more, and tells no error; it does not know that it hangs."""
    engine = run.home.engine
    assert isinstance(engine, SimulatedEngine)
    engine.speed = 1e-6


def silence_engine(run: FaultRun) -> None:
    """Makes silence in place of words, and tells no error."""
    run.engine.is_silent = True


def silence_replica(run: FaultRun) -> None:
    engine = run.home.engine
    assert isinstance(engine, SimulatedEngine)
    engine.is_silent = True


def slow_engine(run: FaultRun) -> None:
    run.engine.speed = 0.7


def fill_engine(run: FaultRun) -> None:
    run.engine.places = 0


def kill_replica(run: FaultRun) -> None:
    run.loop.network.kill(run.home.host)


def stall_replica(run: FaultRun) -> None:
    run.loop.network.stall(run.home.host, FOR_GOOD_S)


def reset_replica(run: FaultRun) -> None:
    for end in list(run.home.host.ends):
        end.reset()


def garble_replica(run: FaultRun) -> None:
    run.home.garble()


def late_replica(run: FaultRun) -> None:
    for replica in run.replicas:
        replica.host.quality = Quality(delay_ms=150.0, jitter_ms=100.0)


def kill_replicas(run: FaultRun) -> None:
    for replica in run.replicas:
        run.loop.network.kill(replica.host)


def leave(run: FaultRun, how: str) -> None:
    """Has Asterisk's end of the connection be lost."""
    caller = run.callers[0]
    if how == "reset":
        caller.end.reset()
    elif how == "vanished":
        caller.vanished_s = run.loop.time()
        run.loop.network.stall(caller.host, HOUR_S)


def stall_line(run: FaultRun, seconds: float) -> None:
    run.loop.network.stall(run.callers[0].host, seconds)


def send_no_sound(run: FaultRun) -> None:
    """Has nothing of the caller come any more, as where the sound goes one way only."""
    run.callers[0].fall_silent()


def garble_line(run: FaultRun) -> None:
    run.callers[0].end.write(b"\xff" * 400)


def late_line(run: FaultRun) -> None:
    run.callers[0].host.quality = Quality(delay_ms=150.0, jitter_ms=200.0, split=0.5)


def stand_still(run: FaultRun) -> None:
    run.loop.stand_still(0.3)


def stop_server(run: FaultRun) -> None:
    run.stopping.set()


def step_clock(run: FaultRun, seconds: float) -> None:
    run.loop.wall_step_s += seconds


def run_out_of_memory(run: FaultRun) -> None:
    """Raises MemoryError wherever the engine would make sound."""

    async def no_memory(*_: Any) -> AsyncGenerator[Any, None]:
        raise MemoryError
        yield

    run.engine.stream = no_memory  # type: ignore[method-assign, assignment]


def lose_memory(run: FaultRun) -> None:
    """Raises MemoryError in the middle of a sentence."""
    run.engine.error = MemoryError()
    run.engine.kill()


def run_out_of_descriptors(run: FaultRun) -> None:
    """Opens no connection any more, and has the recogniser's be opened anew."""
    run.loop.has_descriptors = False
    for end in list(run.recogniser.host.ends):
        end.reset()


def record(run: FaultRun) -> None:
    """Has the call recorded into a folder of its own."""
    run.plan.settings["record_dir"] = run.folder


def fill_disk(run: FaultRun) -> None:
    """Leaves no room on the disk of the recordings."""
    run.stack.enter_context(patch.object(recording_writer, "MIN_FREE_BYTES", 2**62))


def recording(run: FaultRun) -> str:
    """Tells whether the recording is shorter than the call."""
    (path,) = run.folder.glob("*.wav")
    return "the recording from then on" if path.stat().st_size < WHOLE_RECORDING_BYTES else ""


ENGINE: Final = [
    Fault("engine", "GPU error between two sentences", Outcome.GOES_ON, break_engine, BEFORE_S, engine="spare"),
    Fault(
        "engine",
        "GPU error in the middle of a sentence",
        Outcome.HUMAN,
        kill_engine,
        SPEAKS_S,
        engine="spare",
        speed=REAL_TIME,
    ),
    Fault("engine", "broken, without another", Outcome.HUMAN, break_engine, BEFORE_S),
    Fault("engine", "broken, and the other one too", Outcome.HUMAN, break_engines, BEFORE_S, engine="spare"),
    Fault("engine", "makes silence of words", Outcome.GOES_ON, silence_engine, BEFORE_S, engine="spare"),
    Fault("engine", "makes silence of words, without another", Outcome.HUMAN, silence_engine, BEFORE_S),
    Fault("engine", "slower than speech", Outcome.GOES_ON, slow_engine, BEFORE_S),
    Fault(
        "engine",
        "has no place for 20 s",
        Outcome.HUMAN,
        fill_engine,
        BEFORE_S,
        caller_says_more=False,
        silence_bound_s=FULL_ENGINE_S,
    ),
    Fault(
        "engine",
        "no memory in the middle of a sentence",
        Outcome.HUMAN,
        lose_memory,
        SPEAKS_S,
        speed=REAL_TIME,
        allowed=LOGGED,
    ),
    Fault("engine", "no memory for a sentence", Outcome.HUMAN, run_out_of_memory, BEFORE_S, allowed=LOGGED),
    Fault(
        "replica",
        "killed in the middle of a sentence",
        Outcome.GOES_ON,
        kill_replica,
        SPEAKS_S,
        engine="replicas",
        speed=REAL_TIME,
    ),
    Fault(
        "replica",
        "stopped in the middle of a sentence",
        Outcome.GOES_ON,
        stall_replica,
        SPEAKS_S,
        engine="replicas",
        speed=REAL_TIME,
    ),
    Fault("replica", "connection reset", Outcome.GOES_ON, reset_replica, SPEAKS_S, engine="replicas", speed=REAL_TIME),
    Fault(
        "replica", "garbles its frames", Outcome.GOES_ON, garble_replica, SPEAKS_S, engine="replicas", speed=REAL_TIME
    ),
    Fault("replica", "every byte 150 to 250 ms late", Outcome.GOES_ON, late_replica, BEFORE_S, engine="replicas"),
    Fault(
        "replica",
        "makes no sound any more",
        Outcome.GOES_ON,
        hang_replica,
        BEFORE_S,
        engine="replicas",
        caller_says_more=False,
    ),
    Fault(
        "replica",
        "makes silence of words",
        Outcome.GOES_ON,
        silence_replica,
        BEFORE_S,
        engine="replicas",
    ),
    Fault("replica", "all killed", Outcome.HUMAN, kill_replicas, SPEAKS_S, engine="replicas", speed=REAL_TIME),
]
LINE: Final = [
    Fault("Asterisk", "connection reset", Outcome.LINE_LOST, partial(leave, how="reset"), SPEAKS_S),
    Fault(
        "Asterisk",
        "vanishes without a word",
        Outcome.LINE_LOST,
        partial(leave, how="vanished"),
        SPEAKS_S,
        blocks="caller stalled",
    ),
    Fault(
        "Asterisk",
        "stopped for 1 s",
        Outcome.GOES_ON,
        partial(stall_line, seconds=1.0),
        SPEAKS_S,
        blocks="caller stalled",
    ),
    Fault("Asterisk", "sends no sound any more", Outcome.GOES_ON, send_no_sound, HALF_ASKED_S),
    Fault("Asterisk", "garbles its messages", Outcome.LINE_LOST, garble_line, SPEAKS_S),
    Fault("Asterisk", "every byte 150 to 350 ms late", Outcome.GOES_ON, late_line, BEFORE_S),
    Fault("our process", "no processor for 300 ms", Outcome.GOES_ON, stand_still, SPEAKS_S, blocks="we stand still"),
    Fault(
        "our process",
        "told to stop in a call",
        Outcome.HUMAN,
        stop_server,
        SPEAKS_S,
        blocks="we stop",
        apologises=False,
    ),
    Fault("our machine", "no descriptor for another connection", Outcome.HUMAN, run_out_of_descriptors, BEFORE_S),
    Fault("our machine", "disk full", Outcome.GOES_ON, fill_disk, SPEAKS_S, prepare=record, also_lost=recording),
    Fault("our machine", "clock set an hour ahead", Outcome.GOES_ON, partial(step_clock, seconds=HOUR_S), SPEAKS_S),
    Fault("our machine", "clock set an hour back", Outcome.GOES_ON, partial(step_clock, seconds=-HOUR_S), SPEAKS_S),
]
