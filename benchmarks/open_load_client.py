"""Asks for speech at random moments, whether or not earlier requests were answered, and tells what each one heard.

    python -m benchmarks.open_load_client URL RATE SECONDS SEED

Prints one JSON list: of each request when it was sent, when it was over, its status, and what was heard (`Heard`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from dataclasses import asdict
from typing import Any

import aiohttp
import uvloop

from benchmarks.playback import heard

TEXT = "Your appointment is on {day} at {hour}, {name}."  # the checkpoint has a token for each letter
WORDS = {
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "hour": ("eight", "nine", "ten", "eleven"),
    "name": ("Mary", "Peter", "Anna", "Robert", "Susan", "George"),
}
ASKED = {"stream": True, "non_streaming_mode": False, "stream_format": "audio", "response_format": "pcm"}
GIVE_UP_S = 60.0


async def ask(session: aiohttp.ClientSession, url: str, text: str) -> dict[str, Any]:
    """Asks once, on a connection of the pool."""
    body = json.dumps({"input": text, "language": "en", **ASKED}).encode()
    arrivals: list[tuple[float, bytes]] = []
    sent_s = time.monotonic()
    try:
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            status = response.status
            if status == 200:
                async for piece in response.content.iter_any():
                    arrivals.append((time.monotonic(), piece))
            else:
                await response.read()
            after = response.headers.get("Retry-After")
    except (aiohttp.ClientError, TimeoutError) as error:
        return {"sent_s": sent_s, "over_s": time.monotonic(), "status": repr(error), "heard": None, "retry_after": None}
    over_s = time.monotonic()
    told = heard(arrivals, sent_s)
    return {
        "sent_s": sent_s,
        "over_s": over_s,
        "status": status,
        "heard": None if told is None else asdict(told),
        "retry_after": after,
    }


async def run(url: str, rate: float, seconds: float, seed: int) -> None:
    dice, asked = random.Random(seed), []
    timeout = aiohttp.ClientTimeout(total=GIVE_UP_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        gc.collect()
        gc.freeze()
        next_s = time.monotonic()
        end_s = next_s + seconds
        while (next_s := next_s + dice.expovariate(rate)) < end_s:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            text = TEXT.format(**{what: dice.choice(words) for what, words in WORDS.items()})
            asked.append(asyncio.create_task(ask(session, f"{url}/v1/audio/speech", text)))
        print(json.dumps(await asyncio.gather(*asked)))


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
