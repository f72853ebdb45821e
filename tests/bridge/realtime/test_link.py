"""The connection to a speech-to-speech service that does not read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bridge.conversation.service_sessions import SOUND_BYTES, open_session
from bridge.realtime.link import MAX_MESSAGES, LinkLost, RealtimeLink
from bridge.realtime.protocol import Event, RealtimeOptions

LONG = "x" * 20_000
"""So that what is sent does not fit into the buffers of the connection."""


@pytest.fixture
async def service() -> AsyncIterator[str]:
    """The address of a service that tells of the caller's speech without end."""

    async def hold(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while not socket.closed:
            try:
                await socket.send_str('{"type":"input_audio_buffer.speech_started"}')
            except ConnectionError:
                break
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", hold)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_service_that_makes_us_send_and_does_not_read_is_given_up(service: str) -> None:
    answered = 0

    def answer(event: Event) -> None:
        nonlocal answered
        answered += 1
        link.send({"type": "conversation.item.create", "text": LONG})

    async with open_session(SOUND_BYTES) as http:
        link = RealtimeLink(RealtimeOptions(url=service), http, answer)
        with pytest.raises(LinkLost, match=f"does not read: {MAX_MESSAGES} messages wait"):
            await link.run("", [])
    assert answered < 2 * MAX_MESSAGES
