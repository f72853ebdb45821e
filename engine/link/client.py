"""An engine that is in another process: it is asked over a link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from engine.link.link import Link
from engine.link.messages import Hello
from engine.speech import Engine, Pcm, Style, Voice
from engine.status import EngineStatus

HELLO_S: Final = 10.0
"""How long an engine that is started already may take to say what it is."""


class LinkedEngine(Engine):
    """Speaks with the engine at the other end of a connected socket, which says with `start` what it is.

    It may say so anew: an engine that is several learns what these are when the first of them is reached.

    Voices of recordings are not imitated over a link.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._link = Link(is_own=True)

    async def start(self) -> None:
        self._sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: self._link.connection, sock=self._sock)
        await self._link.greeted(HELLO_S)

    async def close(self) -> None:
        self._link.close()

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._known.name if self._link.hello is not None else "linked"

    @property
    def sample_rate_hz(self) -> int:  # type: ignore[override]
        return self._known.sample_rate_hz

    @property
    def other_rates_hz(self) -> tuple[int, ...]:  # type: ignore[override]
        return self._known.other_rates_hz

    @property
    def first_sentence_chars(self) -> int | None:  # type: ignore[override]
        return self._known.first_sentence_chars

    @property
    def takes_ipa(self) -> bool:  # type: ignore[override]
        return self._known.takes_ipa

    def stream(self, sentence: str, style: Style) -> AsyncGenerator[Pcm, None]:
        return self._link.stream(sentence, style)

    def voices(self) -> Sequence[Voice]:
        return self._known.voices

    def resolve_voice(self, name: str) -> str:
        return self._known.resolve_voice(name)

    def deterministic(self, style: Style) -> bool:
        return self._known.deterministic or style.seed is not None or style.temperature == 0

    def status(self) -> EngineStatus:
        if self._link.room is None:
            return EngineStatus(self.name, "", model_loaded=False, queue_depth=0)
        return self._link.room.status

    @property
    def _known(self) -> Hello:
        assert self._link.hello is not None, "nothing is known of the engine before its start"
        return self._link.hello
