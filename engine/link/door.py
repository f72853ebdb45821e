"""The port at which processes of other machines ask an engine to speak: TCP, with TLS and a token."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from engine.link.connection import Connection
from engine.link.peer import Peer
from engine.link.server import LinkServer

TOKEN_S: Final = 5.0
"""How long somebody may take to encrypt the connection, and again to show the token."""
MAX_STRANGERS: Final = 64
"""Connections at once that have not shown it. The oldest makes room for the next: a bridge shows it at once."""
BACKLOG: Final = 128


class LinkDoor:
    """Listens for whoever asks an engine to speak."""

    def __init__(self, server: LinkServer, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        """`token` is what they have to show; empty for none."""
        self._server = server
        self._token = token
        self._tls = tls
        self._peers: dict[Peer, asyncio.TimerHandle] = {}
        """Those that are connected, the oldest first, each with what gives it up where it does not show the token."""
        self._listening: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Starts to listen and returns the port, which the system chooses if `port` is 0. Raises OSError."""
        self._listening = await asyncio.get_running_loop().create_server(
            self._accept,
            host,
            port,
            backlog=BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=TOKEN_S if self._tls is not None else None,
        )
        return int(self._listening.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listens no more, and closes every connection."""
        if self._listening is not None:
            self._listening.close()
        for peer in tuple(self._peers):
            await peer.close()

    def _accept(self) -> Connection:
        strangers = [each for each in self._peers if not each.known]
        if len(strangers) >= MAX_STRANGERS:
            self._give_up(strangers[0])
        peer = self._server.peer(self._token, lambda: self._leave(peer))
        self._peers[peer] = asyncio.get_running_loop().call_later(2 * TOKEN_S, self._give_up, peer)
        return peer.connection

    def _give_up(self, peer: Peer) -> None:
        if not peer.known:
            peer.connection.abort("it did not show the token")
            self._leave(peer)  # where it is not encrypted yet, it was never made

    def _leave(self, peer: Peer) -> None:
        if (timer := self._peers.pop(peer, None)) is not None:
            timer.cancel()
