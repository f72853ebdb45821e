"""A network in memory: each connection keeps its bytes in order, and nothing else is certain.

Bytes are late, come in pieces or together, stand still, and are lost with their connection. What one connection sends
overtakes what another has sent before. There is no I/O, and every chance comes from the seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from tests.simulation.end import End

if TYPE_CHECKING:
    from tests.simulation.virtual_loop import VirtualLoop

Address = tuple[str, int]
HALF_OPEN_S: Final = 10.0
"""How long the kernel waits for an answer to what it has sent (TCP_USER_TIMEOUT)."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How a path through the network is."""

    delay_ms: float = 0.2
    jitter_ms: float = 0.0
    split: float = 0.0
    """The share of writes that come in pieces."""
    holds_bytes: int = 65_536
    """How much is on the way before the sender has to wait."""


@dataclass(slots=True)
class Host:
    """One neighbour: what is done to it is done to all of its connections."""

    name: str
    quality: Quality = field(default_factory=Quality)
    accept: Callable[[], asyncio.BaseProtocol] | None = None
    """Makes the protocol of a connection that comes in; None while nobody listens."""
    stalled_until_s: float = 0.0
    ends: list[End] = field(default_factory=list)
    """Its ends of the connections that there are."""


class Network:
    """All hosts and connections. A host is made by naming it."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self._loop = loop
        self._seed = seed
        self._made = 0
        self.hosts: dict[Address, Host] = {}
        self.resets_by_us: list[str] = []
        """The connections on which our side made the peer's bytes bounce."""

    def host(self, name: str, address: Address) -> Host:
        """Returns a new host, which listens once its `accept` is set."""
        self.hosts[address] = Host(name)
        return self.hosts[address]

    async def reach(self, address: Address) -> None:
        """Takes as long as a connection takes to open. Raises OSError where nobody listens."""
        host = self.hosts[address]
        await asyncio.sleep(host.quality.delay_ms * 2 / 1000)
        await asyncio.sleep(max(host.stalled_until_s - self._loop.time(), 0.0))
        if host.accept is None:
            raise ConnectionRefusedError(111, f"nobody listens at {host.name}")

    def connect(self, protocol: asyncio.BaseProtocol, address: Address) -> End:
        """Opens a connection of ours to a host and returns our end."""
        host = self.hosts[address]
        if host.accept is None:
            raise ConnectionResetError(104, f"{host.name} has gone")
        ours, theirs = self.pair(host, host.name)
        ours.open(protocol)
        theirs.open(host.accept())
        return ours

    def pair(self, host: Host, name: str) -> tuple[End, End]:
        """Returns both ends of a new connection with a host, ours first."""
        self._made += 1
        chance = Random(f"{self._seed}/{name}/{len(host.ends)}/{self._loop.time():.6f}")
        ours = End(self._loop, host, name, chance, is_ours=True, network=self)
        theirs = End(self._loop, host, name, Random(chance.random()), is_ours=False, network=self)
        ours.other, theirs.other = theirs, ours
        host.ends.append(theirs)
        return ours, theirs

    def open_ends(self) -> list[str]:
        """Returns the names of the connections that are not closed on our side."""
        return [end.other.name for host in self.hosts.values() for end in host.ends if not end.other.gone]

    def kill(self, host: Host) -> None:
        """Ends a host's process: its connections are reset, and nobody listens any more."""
        host.accept = None
        for end in list(host.ends):
            end.reset()

    def stall(self, host: Host, seconds: float) -> None:
        """Lets nothing pass to or from a host for a while: it is stopped, or the network is parted."""
        host.stalled_until_s = max(host.stalled_until_s, self._loop.time() + seconds)
        if seconds > HALF_OPEN_S:
            for end in host.ends:
                self._loop.call_later(HALF_OPEN_S, end.other.time_out)
