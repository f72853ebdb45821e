"""Asks a replica at its own port, as a bridge would: whether it listens, answers, and has an engine that speaks."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from engine.link.link import Link
from engine.speech import SpeechError

ANSWER_S: Final = 3.0
"""How long it may take to answer, encryption included."""


async def ask(host: str, port: int, token: str, *, tls: bool) -> bool:
    """Tells whether the engine at a port is ready to speak. Raises OSError or SpeechError where nothing answers."""
    link = Link(token)
    try:
        async with asyncio.timeout(ANSWER_S):
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: link.connection, host, port, ssl=_unchecked() if tls else None)
        await link.greeted(ANSWER_S)
        if link.room is None:
            raise SpeechError("it does not tell how it does")
        return link.room.status.ready
    finally:
        link.close()


def _unchecked() -> ssl.SSLContext:
    """A context that checks no certificate: the port is this process's own, and the certificate names its machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
