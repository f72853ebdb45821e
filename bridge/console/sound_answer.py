"""Answers a request for a call's sound, or for a range of its bytes, as a player asks for what it is about to play."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from bridge.console.call_sound import CallSound

PIECE_BYTES: Final = 262_144
"""How much is read and sent at once, so that no listener holds up the calls."""


async def send_sound(request: web.Request, sound: CallSound, headers: dict[str, str]) -> web.StreamResponse:
    """Sends the sound as a WAV file, or the range that the request wants. Raises OSError."""
    try:
        asked = request.http_range
    except ValueError:
        asked = slice(None)
    start, stop, _ = asked.indices(sound.size_bytes)
    headers = {**headers, "Accept-Ranges": "bytes"}
    is_part = asked.start is not None or asked.stop is not None
    if is_part and start >= stop:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{sound.size_bytes}"})
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{sound.size_bytes}"
    response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
    response.content_type, response.content_length = "audio/wav", stop - start
    await response.prepare(request)
    if request.method != "HEAD":
        while start < stop:
            piece = await asyncio.to_thread(sound.read, start, min(PIECE_BYTES, stop - start))
            if not piece:
                break  # it was cut short meanwhile
            await response.write(piece)
            start += len(piece)
    await response.write_eof()
    return response
