"""Defects that are put into the product on purpose: an invariant that finds none of its own could not fail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from bridge.conversation.alarm import Alarm
from bridge.conversation.calls import Calls
from bridge.conversation.speaking import Speaking
from bridge.line.call import Call
from bridge.line.connection import Connection
from bridge.line.playout import Playout
from bridge.line.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect, and how the problem begins that it has to make."""

    name: str
    found_as: str
    """What stands in the problem that it makes."""
    put_in: Callable[[], AbstractContextManager[Any]]


def _is_hundredth(connection: Connection) -> bool:
    """Tells whether this is a connection's 50th tick, its 150th and so on."""
    ticks: int = vars(connection).get("ticks", 0)
    vars(connection)["ticks"] = ticks + 1
    return ticks % 100 == 50


def _double_frame() -> AbstractContextManager[Any]:
    real = Connection._tick

    def tick(self: Connection, now_s: float) -> None:
        real(self, now_s)
        if _is_hundredth(self):
            real(self, now_s)

    return patch.object(Connection, "_tick", tick)


def _lost_frame() -> AbstractContextManager[Any]:
    real = Connection._tick

    def tick(self: Connection, now_s: float) -> None:
        if not _is_hundredth(self):
            real(self, now_s)

    return patch.object(Connection, "_tick", tick)


def _lost_cancel() -> AbstractContextManager[Any]:
    """A cut drops what is queued, but what makes the sound goes on."""
    real = Call.interrupt

    def interrupt(self: Call) -> Any:
        self._speaker = None
        return real(self)

    return patch.object(Call, "interrupt", interrupt)


def _boastful_history() -> AbstractContextManager[Any]:
    """What was made counts as heard."""
    return patch.object(Utterance, "heard_text", lambda self, until=None: "".join(span.text for span in self._spans))


def _forgetful_history() -> AbstractContextManager[Any]:
    """The word at which the caller interrupts is forgotten, and the one before it."""
    real = Utterance.heard_text

    def heard_text(self: Utterance, until_samples: int | None = None) -> str:
        text = real(self, until_samples)
        return text if self.done and not self.interrupted else " ".join(text.split()[:-2])

    return patch.object(Utterance, "heard_text", heard_text)


def _repeated_sound() -> AbstractContextManager[Any]:
    """A call goes on 300 ms before the place at which it was paused."""
    real = Playout.resume
    return patch.object(Playout, "resume", lambda self, rewind_ms=0: real(self, 300))


def _others_sound() -> AbstractContextManager[Any]:
    """All calls have one queue."""
    real = Playout.__init__
    shared: list[Any] = []

    def init(self: Playout, *args: Any) -> None:
        real(self, *args)
        shared.append(self._queue)
        self._queue = shared[0]

    return patch.object(Playout, "__init__", init)


def _early_close() -> AbstractContextManager[Any]:
    """The connection is closed with the hang-up, while the caller's sound still comes."""
    real = Connection.hang_up

    def hang_up(self: Connection) -> None:
        real(self)
        self._transport.close()

    return patch.object(Connection, "hang_up", hang_up)


def _left_timer() -> AbstractContextManager[Any]:
    """The alarm of a call that is over still rings."""

    def forget(self: Alarm) -> None:
        self._timer = None

    return patch.object(Alarm, "cancel", forget)


def _left_task() -> AbstractContextManager[Any]:
    """The tasks of a call go on after its end."""
    real = Call.spawn

    def spawn(self: Call, coroutine: Any) -> asyncio.Task[None]:
        task = real(self, coroutine)
        self._tasks.discard(task)
        return task

    return patch.object(Call, "spawn", spawn)


def _left_call() -> AbstractContextManager[Any]:
    return patch.object(Calls, "call_ended", lambda self, call: None)


def _pause_of_a_word() -> AbstractContextManager[Any]:
    """The pause behind a sentence counts as a part of its last word."""
    real = Utterance.write
    return patch.object(Utterance, "write", lambda self, pcm, text="", *, is_pause=False: real(self, pcm, text))


def _early_answer_at_the_end() -> AbstractContextManager[Any]:
    """An answer that was begun early is let go when the server stops."""
    return patch.object(Speaking, "call_ending", lambda self, call: None)


def _endless_close() -> AbstractContextManager[Any]:
    """After our hang-up nobody looks whether the peer takes anything."""
    return patch.object(Connection, "_close", lambda self: self._transport.close())


def _long_stall() -> AbstractContextManager[Any]:
    """A peer that reads again gets the next frame 50 ms too late."""
    real = Connection.resume_writing

    def resume(self: Connection) -> None:
        asyncio.get_running_loop().call_later(0.05, real, self)

    return patch.object(Connection, "resume_writing", resume)


def _chance() -> AbstractContextManager[Any]:
    """What is sent depends on more than the seed."""
    real = Playout.tick

    def tick(self: Playout, now_s: float) -> tuple[int, bytes]:
        rate_hz, frame = real(self, now_s)
        return rate_hz, frame if any(frame) else bytes(318) + os.urandom(1) + b"\0"

    return patch.object(Playout, "tick", tick)


DEFECTS: Final = (
    Defect("a double frame", "frames: a burst", _double_frame),
    Defect("a lost frame", "frames: 40.000 ms", _lost_frame),
    Defect("a stall that lasts too long", "frames:", _long_stall),
    Defect("a lost cancel", "cut:", _lost_cancel),
    Defect("a history that says too much", "history:", _boastful_history),
    Defect("a transcript that says too much", "transcript:", _boastful_history),
    Defect("a history that says too little", "history:", _forgetful_history),
    Defect("sound that is heard twice", "sound:", _repeated_sound),
    Defect("another call's sound", "is not this call's", _others_sound),
    Defect("a reset", "reset:", _early_close),
    Defect("a timer that is left", "timers after the end", _left_timer),
    Defect("a task that is left", "left over", _left_task),
    Defect("a call that is left", "left over", _left_call),
)
FOUND: Final = (
    (364, ("fault0", "fault1", "fault2", "call0.say1"), Defect("a pause of a word", "history:", _pause_of_a_word)),
    (309, ("call0", "fault0", "call1.say1"), Defect("an early answer", "history:", _early_answer_at_the_end)),
    (
        41577,
        ("call1", "fault1", "fault2", "call0.say2", "call0.say0", "call0.say1"),
        Defect("a close without end", "a call does not end", _endless_close),
    ),
)
"""The defects that seeds have found, each with its seed, shrunk, and as it was before it was mended."""
CHANCE: Final = Defect("chance", "", _chance)
"""Two runs of one seed have different bytes."""
