"""One replica: an engine, the server of its links, and the port at which bridges ask it to speak."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterable
from typing import Final

from engine.api.voice_names import OPENAI_VOICES, QWEN_VOICES
from engine.link.door import LinkDoor
from engine.link.server import LinkServer
from engine.replicas.settings import ReplicaSettings
from engine.replicas.tls import server_context
from engine.speech import Engine

PORTS: Final = 64
"""So many replicas of one machine may share it: each takes the first free port from ENGINE_PORT on."""


class Station:
    """An engine with a port of its own. It closes the engine too."""

    def __init__(self, engine: Engine, settings: ReplicaSettings, token: str) -> None:
        """Raises SpeechError where the certificate is of no use."""
        cert, key = settings.engine_tls_cert, settings.engine_tls_key
        self.tls: ssl.SSLContext | None = server_context(cert, key) if cert else None
        self.engine = engine
        self.server = LinkServer(engine, (*QWEN_VOICES, *OPENAI_VOICES))
        self._door = LinkDoor(self.server, token, self.tls)
        self._settings = settings

    async def start(self, *, any_port: bool = False) -> int:
        """Loads the engine and listens. Returns the port; with `any_port` the first from ENGINE_PORT on that is free.

        Raises SpeechError or OSError.
        """
        await self.engine.start()
        host, first = self._settings.engine_host, self._settings.engine_port
        for port in _ports(first, any_port):
            try:
                return await self._door.start(host, port)
            except OSError as error:
                if any_port and error.errno == errno.EADDRINUSE:
                    continue
                raise OSError(f"ENGINE_HOST={host}, ENGINE_PORT={port}: {error}") from None
        raise OSError(f"ENGINE_HOST={host}: none of the {PORTS} ports from ENGINE_PORT={first} on is free")

    async def close(self) -> None:
        """Ends every sentence and listens no more."""
        await self._door.close()
        await self.server.close()
        await self.engine.close()


def _ports(first: int, several: bool) -> Iterable[int]:
    return range(first, min(first + PORTS, 65536)) if several and first else (first,)
