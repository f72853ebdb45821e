"""The ports of a server with workers: opened, or inherited from the server before, and left to the next one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from bridge.app import open_wyoming
from bridge.config import ServerSettings
from bridge.explaining import naming
from bridge.http.connection import BUSY
from bridge.http.server import HttpServer
from bridge.line.doorway import BACKLOG, Doorway, open_doorways
from bridge.workers.door import GOODBYE, Door, HandOver
from engine.api.service import SPEECH

if TYPE_CHECKING:
    from bridge.wyoming.server import WyomingServer

Inherited = dict[str, list[int]]
"""Descriptors of sockets that listen, by their address in the settings."""


class Ports:
    """Calls come by the one, requests by another, and Home Assistant by a third where the settings want it."""

    def __init__(self, settings: ServerSettings, hand_over: HandOver) -> None:
        """`hand_over` gets each call's connection."""
        self._settings = settings
        self.door = Door(hand_over, max(settings.max_calls, settings.max_connections))
        self._http: HttpServer | None = None
        self._wyoming: WyomingServer | None = None
        self._waiting: dict[str, list[Doorway]] = {}
        """The sockets of what is not answered yet, by their names in the settings."""
        self.audiosocket_port = 0
        self.http_port = 0

    async def open(self, inherited: Inherited) -> None:
        """Listens on all, and lets calls in. Requests wait. Raises OSError.

        What was inherited is listened on, unless the settings name another address now.
        """
        self._waiting["HTTP"] = await self._doorways("HTTP", BUSY, inherited)
        if self._settings.wyoming_port is not None:
            self._waiting["WYOMING"] = await self._doorways("WYOMING", b"", inherited)
        for doorway in (doorway for waiting in self._waiting.values() for doorway in waiting):
            doorway.listen(BACKLOG)
        doorways = await self._doorways("AUDIOSOCKET", GOODBYE, inherited)
        self.audiosocket_port = await self.door.start(*self._address("AUDIOSOCKET"), doorways)
        for descriptor in (descriptor for unused in inherited.values() for descriptor in unused):
            os.close(descriptor)

    async def answer(self, app: web.Application) -> None:
        """Answers requests, those that wait too."""
        self._http = HttpServer(app, self._settings.max_connections)
        self.http_port = await self._http.start(*self._address("HTTP"), self._waiting.pop("HTTP"))
        self._wyoming = await open_wyoming(self._settings, app[SPEECH], self._waiting.pop("WYOMING", ()))

    def listeners(self) -> Iterator[tuple[str, socket.socket]]:
        """Returns the sockets that listen, each with its address in the settings."""
        for name, server in (("AUDIOSOCKET", self.door), ("HTTP", self._http), ("WYOMING", self._wyoming)):
            for doorway in server.doorways if server is not None else ():
                yield self._label(name), doorway

    def leave(self) -> None:
        """Stops to listen, for another process does. Who is there already is let in and answered."""
        for server in (self._http, self._wyoming, self.door):
            if server is not None:
                server.retire()

    async def close(self, timeout_s: float) -> None:
        """Ends all: requests get twice `timeout_s` at most."""
        self.door.close()
        for doorway in (doorway for waiting in self._waiting.values() for doorway in waiting):
            doorway.close()
        for server in (self._http, self._wyoming):
            if server is not None:
                await server.close(timeout_s)

    async def _doorways(self, name: str, goodbye: bytes, inherited: Inherited) -> list[Doorway]:
        host, port = self._address(name)
        with naming(name, host, port):
            return await open_doorways(host, port, goodbye, inherited.pop(self._label(name), ()))

    def _address(self, name: str) -> tuple[str, int]:
        settings = self._settings
        match name:
            case "HTTP":
                return settings.http_host, settings.http_port
            case "WYOMING":
                return settings.wyoming_host, settings.wyoming_port or 0
            case _:
                return settings.audiosocket_host, settings.audiosocket_port

    def _label(self, name: str) -> str:
        return "{} {}:{}".format(name, *self._address(name))
