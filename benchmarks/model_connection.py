"""Measures what a new connection to the language model costs a turn, beside a kept one: TLS, on loopback.

`python -m benchmarks.model_connection [--turns 300]`
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import ssl
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from openai import AsyncOpenAI

from benchmarks.machine import facts
from benchmarks.table import markdown
from bridge.brains.llm_client import make_llm_client
from bridge.dial.table import aligned
from tests.support.certificate import make_certificate

WORD = b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}}]}\n\ndata: [DONE]\n\n'


def serve(certificate: Path, key: Path, port: Connection) -> None:
    """Plays a model that answers at once; `/new/…` closes its connection afterwards."""

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(body=WORD, content_type="text/event-stream")
        if request.match_info["how"] == "new":
            response.force_close()
        return response

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/{how}/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def ask(client: AsyncOpenAI) -> tuple[float, float]:
    """Returns how long the first word took, and this process's processor time for it, in ms."""
    message: Any = {"role": "user", "content": "Are you there?"}
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    stream = await client.chat.completions.create(model="m", messages=[message], stream=True)
    first = await anext(aiter(stream))
    assert first.choices
    taken = (time.perf_counter() - began_s) * 1000, (time.thread_time() - began_cpu_s) * 1000
    async for _ in stream:
        pass
    return taken


async def measure(port: int, turns: int) -> list[tuple[str, ...]]:
    """Returns the rows of the table; the two kinds take turns, so that both meet the same load."""
    clients = {how: make_llm_client(f"https://localhost:{port}/{how}", "k") for how in ("kept", "new")}
    taken: dict[str, list[tuple[float, float]]] = {how: [] for how in clients}
    for _ in range(turns + 5):
        for how, client in clients.items():
            taken[how].append(await ask(client))
    for client in clients.values():
        await client.close()
    rows: list[tuple[str, ...]] = [("connection", "first word, p50", "p95", "processor, p50", "p95")]
    for how, pairs in taken.items():
        wall, cpu = np.array(pairs[5:]).T
        rows.append((how, *(f"{np.percentile(ms, share):.1f} ms" for ms in (wall, cpu) for share in (50, 95))))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_connection", description=__doc__)
    parser.add_argument("--turns", type=int, default=300)
    arguments = parser.parse_args()
    print(aligned(facts()), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make_certificate(Path(folder))
        os.environ["SSL_CERT_FILE"] = str(certificate)
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        server = spawning.Process(target=serve, args=(certificate, key, theirs), daemon=True)
        server.start()
        print(markdown(asyncio.run(measure(ours.recv(), arguments.turns))))
        server.terminate()


if __name__ == "__main__":
    main()
