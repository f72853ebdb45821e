"""Which worker takes a call, and which one has it. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from bridge.line.connection import CallRefused

KNOWN: Final = 50_000
"""The number of calls of each kind of which it is remembered where they are: as many as a worker keeps ids of."""


class Seat(Protocol):
    """What is to be known of a worker."""

    draining: bool
    """Whether it takes no more calls but those that were announced to it."""
    overloaded: bool
    """Whether its frames are late, so that it takes no more calls before others have ended."""

    @property
    def load(self) -> int:
        """The number of its calls, of those handed to it, and of those announced to it that are about to connect."""


Worker = TypeVar("Worker", bound=Seat)


class Roster(Generic[Worker]):
    """The workers that live, and the calls that each of them knows."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self.workers: list[Worker] = []
        self._told: OrderedDict[UUID, Worker] = OrderedDict()
        """Where calls are that were announced or placed over HTTP. Nobody's connection pushes one of them out."""
        self._came: OrderedDict[UUID, Worker] = OrderedDict()
        """Where connections went that nobody had told of."""
        self._connected: OrderedDict[UUID, Worker] = OrderedDict()
        """Where connections went of calls that were announced or placed over HTTP: such a call may go elsewhere."""
        self.on_known: Callable[[UUID], None] = lambda call_id: None
        """Hears of each call once it is known where it is."""

    def add(self, worker: Worker) -> None:
        """Gives calls to this worker too."""
        self.workers.append(worker)

    def remove(self, worker: Worker) -> None:
        """Forgets a worker that is gone, and all its calls."""
        if worker in self.workers:
            self.workers.remove(worker)
        for known in (self._told, self._came, self._connected):
            for call_id in [call_id for call_id, its in known.items() if its is worker]:
                del known[call_id]

    def roomiest(self) -> Worker | None:
        """Returns the worker with most room for something new; None where there is none."""
        able = (worker for worker in self.workers if not worker.draining)
        return min(able, key=lambda each: (each.overloaded, each.load), default=None)

    def is_overloaded(self) -> bool:
        """Tells whether frames are late in every worker that could take a call."""
        worker = self.roomiest()
        return worker is not None and worker.overloaded

    def of(self, call_id: UUID) -> Worker | None:
        """Returns the worker that knows a call; None where none does. What is asked about is remembered longest."""
        for known in (self._told, self._came):
            if (worker := known.get(call_id)) is not None:
                known.move_to_end(call_id)
                return worker
        return None

    def check_room(self, call_id: UUID) -> None:
        """Raises CallRefused where no worker would take this call now. One that knows it decides by itself."""
        if self.of(call_id) is not None:
            return
        if self.roomiest() is None:
            raise CallRefused("no worker is ready")
        if self.is_overloaded():
            raise CallRefused("frames are late in every worker: the machine carries no more calls")
        if sum(worker.load for worker in self.workers) >= self._max_calls:
            raise CallRefused(f"MAX_CALLS={self._max_calls} calls are in progress or about to begin")

    def place(self, call_id: UUID) -> Worker | None:
        """Returns the worker that is to have a call: the one to which it was announced, else the one with most room."""
        if (worker := self.of(call_id)) is not None:
            if call_id in self._told:
                _note(self._connected, call_id, worker)
        elif (worker := self.roomiest()) is not None:
            _note(self._came, call_id, worker)
            self.on_known(call_id)
        return worker

    def has(self, call_id: UUID) -> bool:
        """Tells whether a call has connected here: one that was announced may connect to another bridge."""
        return call_id in self._came or call_id in self._connected

    def learn(self, call_id: UUID, worker: Worker) -> None:
        """Notes that a worker was told of a call over HTTP."""
        self._came.pop(call_id, None)
        _note(self._told, call_id, worker)
        self.on_known(call_id)

    def inherit(self, call_id: UUID, worker: Worker) -> None:
        """Notes that a worker has a call, or is about to have it, that it knew before it came here."""
        self.learn(call_id, worker)
        _note(self._connected, call_id, worker)

    def was_announced(self, call_id: UUID | None) -> bool:
        """Tells whether its worker was told of a call over HTTP, and so counts it already."""
        return call_id in self._told

    def known(self) -> list[UUID]:
        """Returns all calls of which it is known where they are, the latest last."""
        return [*self._came, *self._told]

    def elsewhere(self, worker: Worker) -> int:
        """Returns how many calls the others have."""
        return sum(other.load for other in self.workers if other is not worker)


def _note(known: OrderedDict[UUID, Worker], call_id: UUID, worker: Worker) -> None:
    known[call_id] = worker
    known.move_to_end(call_id)
    while len(known) > KNOWN:
        known.popitem(last=False)
