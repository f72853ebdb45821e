"""Lets other processes speak with an engine of this one, each over a link of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Final

from engine.link.messages import Hello, Room
from engine.link.peer import Peer
from engine.link.playbacks import Playbacks
from engine.speech import Engine

ROOM_EVERY_S: Final = 0.1
"""How often the others are told how the engine does. Who hears nothing for several times as long takes it for dead."""
STUCK_TURNS: Final = 50
"""A peer that has taken nothing for so many times of that is gone, or hangs: its sentences keep places from others."""
DRAINED_EVERY_S: Final = 0.05
"""How often it is looked whether a server that drains still speaks."""


class LinkServer:
    """Serves an engine, which is the caller's to start and close, to whoever is `serve`d."""

    def __init__(self, engine: Engine, voice_names: Iterable[str] = ()) -> None:
        """`voice_names` are those that people may use and the engine may not list."""
        self._engine = engine
        self._voice_names = tuple(voice_names)
        self._peers: set[Peer] = set()
        """Those that are spoken with."""
        self._own: set[Peer] = set()
        """Those of them that are processes of this server."""
        self._hello: Hello | None = None
        """What all of these know that the engine is."""
        self._playbacks = Playbacks()
        self._draining = False
        self._telling: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._peers)

    @property
    def sentences(self) -> int:
        """Those that are being made."""
        return len(self._playbacks)

    async def serve(self, sock: socket.socket) -> None:
        """Serves the process at the other end of a connected socket until it closes the connection.

        It is told anew what the engine is whenever that changes.
        """
        sock.setblocking(False)
        peer = self.peer(on_lost=lambda: self._own.discard(peer))
        self._own.add(peer)
        await asyncio.get_running_loop().create_connection(lambda: peer.connection, sock=sock)

    def peer(self, token: str = "", on_lost: Callable[[], None] = lambda: None) -> Peer:
        """Returns one end of a link, whose connection is to be given to the event loop.

        It is served once it has shown the token, where there is one. `on_lost` is told when it is gone.
        """

        def leave(peer: Peer) -> None:
            self._peers.discard(peer)
            on_lost()

        return Peer(self._engine, self._playbacks, token, self._welcome, leave)

    async def drain(self, timeout_s: float) -> None:
        """Has everybody ask elsewhere from now on, and waits until what was asked is made, for so long at most."""
        self._draining = True
        self._tell()
        until_s = asyncio.get_running_loop().time() + timeout_s
        while self._playbacks and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110 - many ends, one wait
            await asyncio.sleep(DRAINED_EVERY_S)

    async def close(self) -> None:
        """Ends every sentence and closes every connection."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        for peer in tuple(self._peers):
            await peer.close()

    def _welcome(self, peer: Peer) -> None:
        self._peers.add(peer)
        peer.tell_room(self._room().pack())
        hello = self._known()
        self._hello = self._hello or hello
        peer.greet(hello.pack())
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_room())

    async def _tell_room(self) -> None:
        while True:
            await asyncio.sleep(ROOM_EVERY_S)
            self._tell()
            if self._own and self._known() != self._hello:
                self._greet_anew()

    def _greet_anew(self) -> None:
        self._hello = self._known()
        hello = self._hello.pack()
        for peer in self._own & self._peers:
            peer.greet(hello)

    def _known(self) -> Hello:
        return Hello.of(self._engine, self._voice_names)

    def _tell(self) -> None:
        room = self._room().pack()
        for peer in tuple(self._peers):
            if peer in self._own and not peer.connection.read:
                continue  # it has had its end since before it was started, and does not read until it has loaded all
            stuck_turns = peer.connection.stuck_looks()
            if not stuck_turns:
                peer.tell_room(room)
            elif stuck_turns >= STUCK_TURNS:
                peer.connection.abort("it does not read what it is sent")

    def _room(self) -> Room:
        status = self._engine.status()
        return Room(
            status,
            max(len(self._playbacks), status.queue_depth),
            status.capacity,
            self._playbacks.slack_s(asyncio.get_running_loop().time()),
            self._draining,
        )
