"""HTTP clients that never rest, in a process of their own: `python -m benchmarks.tts_clock_bulk URL CLIENTS RETRY_S`.

Each asks for the same text again as soon as it has been answered, and throws the sound away. One that is refused comes
again after RETRY_S, whatever it was told. Ends with standard input, and prints what it got.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import uvloop

TEXT = (
    "Please hold the line for a moment. We are looking into it for you now. It will not take us very long. "
    "Thank you very much for your patience."
)
BYTES_PER_S = 2 * 24_000
PIECE_BYTES = 65_536


class Bulk:
    """All of the clients together."""

    def __init__(self, url: str, retry_s: float) -> None:
        self._url = f"{url}/v1/audio/speech"
        self._retry_s = retry_s
        self.answers = 0
        self.refused = 0
        self.sound_bytes = 0

    async def keep_asking(self, session: aiohttp.ClientSession) -> None:
        """One client."""
        while True:
            async with session.post(self._url, json={"input": TEXT, "response_format": "pcm"}) as response:
                if response.status == 503:  # the engine's queue is full
                    self.refused += 1
                    await asyncio.sleep(self._retry_s)
                    continue
                response.raise_for_status()
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    self.sound_bytes += len(piece)
            self.answers += 1


async def run(url: str, clients: int, retry_s: float) -> None:
    bulk, begun_s = Bulk(url, retry_s), time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asking = [asyncio.create_task(bulk.keep_asking(session)) for _ in range(clients)]
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        done, _ = await asyncio.wait([*asking, over], return_when=asyncio.FIRST_COMPLETED)
        seconds = time.monotonic() - begun_s
        failed = [task.exception() for task in done if task is not over]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if failed:
        raise RuntimeError(f"a client failed: {failed[0]}")
    realtime = bulk.sound_bytes / BYTES_PER_S / seconds
    print(json.dumps({"answers": bulk.answers, "refused": bulk.refused, "realtime": realtime}), flush=True)


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
