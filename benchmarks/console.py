"""What the console costs: how long an hour's call takes to open, and how late frames are with the console open.

Prints Markdown for `docs/console.md`. The hour is opened in a headless Chromium. For the lateness the requests of three
open pages are made without a browser, which would take the cores from the callers, and by a process of their own: the
list, the engine, and a call whose journal is read anew every ten seconds. The calls are silent: what their speech and
their recordings cost is in `benchmarks.calls`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import wave
from pathlib import Path
from uuid import uuid4

import aiohttp
import numpy as np
import uvloop

from benchmarks.machine import Usage, facts
from benchmarks.table import markdown
from bridge.console.session import COOKIE
from bridge.converse.server_process import ServerProcess, running_server
from bridge.dial.command import SPACING_S, CallPlan, place_calls
from bridge.dial.table import PERCENTILES, spread_cells
from tests.support.browser import open_browser
from tests.support.console import ConsolePage

KEY = "a key for the benchmark"
HOUR_S = 3_600
TURN_S = 6
RATE_HZ = 8_000
GOAL_OPEN_MS = 1_000
CALLS = 500
SECONDS = 20.0
TEXT = "These are the words of a turn that is as long as turns are, made up for a call of an hour."
LIST_EVERY_S, HEALTH_EVERY_S, SOUND_EVERY_S = 3.0, 2.0, 2.0
"""As the page has it."""
OPEN_EVERY_S = 10.0
SETTLE_S = 5.0
"""How long the calls have been up when lateness begins to be measured."""
AGENTS = """
archive:
  record_dir: {folder}
calls:
  default: true
  {calls}
"""
"""The hour was recorded by one agent; another one has the calls."""


def write_hour(folder: Path, seconds: int = HOUR_S) -> str:
    """Writes the recording and the journal of a long call; returns its name."""
    name = str(uuid4())
    lines = [{"type": "call.started", "from": "5550100", "agent_name": "shop", "variables": {}, "journal_version": 1}]
    for turn, at_s in enumerate(range(1, seconds - TURN_S, TURN_S), 1):
        times = {"start_ms": at_s * 1000, "end_ms": (at_s + 2) * 1000}
        stages = [
            {"stage": stage, "start_ms": at_s * 1000 + 2_000 + 200 * index, "end_ms": at_s * 1000 + 2_200 + 200 * index}
            for index, stage in enumerate(("recogniser", "model", "first_sentence", "first_sound", "playing"))
        ]
        said = {"start_ms": at_s * 1000 + 2_800, "end_ms": (at_s + 5) * 1000}
        lines += [
            {"type": "caller.started", "start_ms": times["start_ms"]},
            {"type": "floor.changed", "floor": "caller"},
            {"type": "caller.stopped", "end_ms": times["end_ms"]},
            {"type": "floor.changed", "floor": "nobody"},
            {"type": "transcript.user", "text": TEXT, **times},
            {"type": "response.started", "id": f"utt_{turn}"},
            {"type": "floor.changed", "floor": "agent"},
            {"type": "transcript.agent", "text": TEXT, "interrupted": False, **said},
            {"type": "turn.done", "turn": turn, "interrupted": False, "stages": stages, "response_ms": 800},
        ]
        for line in lines[-9:]:
            line["at_ms"] = said["end_ms"] if line["type"].startswith("t") else times["end_ms"]
    lines.append({"type": "call.ended", "reason": "hung up", "at_ms": seconds * 1000})
    with open(folder / f"{name}.jsonl", "w") as file:
        for number, line in enumerate(lines, 1):
            file.write(
                json.dumps({"call_id": name, "at_ms": 0, "time": "2030-01-02T03:04:05Z", **line, "number": number})
                + "\n"
            )
    sound = (np.random.default_rng(1).normal(0, 3_000, (RATE_HZ * 10, 2))).astype("<i2").tobytes()
    with wave.open(str(folder / f"{name}.wav"), "wb") as wav:
        wav.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
        for _ in range(0, seconds, 10):
            wav.writeframesraw(sound)
    return name


async def open_hour(server: ServerProcess, name: str, profile: Path, repeats: int) -> list[float]:
    """Returns how many ms it takes each time until the hour's first words and its sound are drawn."""
    took_ms = []
    async with open_browser(profile) as browser:
        await browser.call("Page.enable")
        page = ConsolePage(browser, server.http_url)
        await page.screen(1200, 860)
        await page.open()
        await page.log_in(KEY)
        await page.until("document.querySelector('#search') !== null")
        for _ in range(repeats):
            await page.go("#/calls")
            await page.until("document.querySelector('#search') !== null")
            took_ms.append(float(await browser.evaluate(_OPEN % name)))
    return took_ms


_OPEN = """new Promise(resolve => {
  const began = performance.now();
  location.hash = '#/call/%s';
  const look = () => {
    const canvas = document.querySelector('canvas.timeline');
    const rows = document.querySelectorAll('.row').length;
    if (rows > 10 && canvas && canvas.width > 300) {
      const data = canvas.getContext('2d').getImageData(0, 20, canvas.width, 50).data;
      let drawn = 0;
      for (let at = 3; at < data.length; at += 4) drawn += data[at] > 200;
      if (drawn > 3000) return resolve(performance.now() - began);
    }
    requestAnimationFrame(look);
  };
  look();
})"""


async def look(http_url: str, name: str) -> None:
    """Asks for what three pages ask for, as often as they do, until it is cancelled: the list, the engine and a call.

    The call's events are those of one in progress, its sound and its state those of the hour.
    """
    async with aiohttp.ClientSession(http_url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.post("/console/login", json={"key": KEY}) as response:
            assert COOKIE in response.cookies

        async def ask(path: str) -> aiohttp.ClientResponse:
            async with http.get(path) as response:
                assert response.status == 200, path
                await response.read()
            return response

        async def every(seconds: float, *paths: str) -> None:
            while True:
                for path in paths:
                    await ask(path)
                await asyncio.sleep(seconds)

        async def follow() -> None:
            calls: list[dict[str, str]] = []
            while not calls:
                async with http.get("/v1/calls") as response:
                    calls = (await response.json())["data"]
                await asyncio.sleep(LIST_EVERY_S)
            async with http.ws_connect(f"/v1/calls/{calls[-1]['id']}/events?journal=1") as socket:
                async for _ in socket:
                    pass

        async def open_again() -> None:
            """Reads the hour's journal as its page does when it is opened."""
            while True:
                offset, next_offset = -1, 0
                while next_offset != offset:
                    offset = next_offset
                    answer = await ask(f"/console/recorded/{name}/journal?offset={offset}")
                    next_offset = int(answer.headers["X-Next-Offset"])
                await asyncio.sleep(OPEN_EVERY_S)

        peaks = f"/console/recorded/{name}/peaks?from_ms="
        whole, shown = f"{peaks}0&to_ms={HOUR_S * 1000}&columns=1000", f"{peaks}60000&to_ms=75000&columns=1120"
        async with asyncio.TaskGroup() as group:
            group.create_task(every(LIST_EVERY_S, "/v1/calls?ended=1&limit=100", "/console/recorded?search="))
            group.create_task(every(HEALTH_EVERY_S, "/health"))
            group.create_task(every(SOUND_EVERY_S, f"/console/recorded/{name}", whole, shown))
            group.create_task(open_again())
            group.create_task(follow())


async def lateness(settings: dict[str, str], name: str, calls: int, seconds: float, *, opened: bool) -> tuple[str, ...]:
    """Returns a row of the table: so many calls in progress, with the console open or closed."""
    context = multiprocessing.get_context("spawn")
    async with running_server(**settings) as server:
        plan = CallPlan(
            server.host, server.port, server.http_url, KEY, calls=calls, seconds=SETTLE_S + seconds, settle_s=SETTLE_S
        )
        looking = context.Process(target=_look, args=(server.http_url, name), daemon=True)
        if opened:
            looking.start()
        watching = asyncio.create_task(_server(server, calls * SPACING_S + SETTLE_S, seconds - 1))
        report = await place_calls(plan)
        if opened:
            assert looking.is_alive(), "the pages are no longer looked at"
            looking.kill()
        assert report.lateness is not None, f"no frames: {report.faults}"
        return ("open" if opened else "closed", *spread_cells(report.lateness), *await watching)


def _look(http_url: str, name: str) -> None:
    asyncio.run(look(http_url, name))


async def _server(server: ServerProcess, after_s: float, seconds: float) -> tuple[str, str]:
    """Returns how often the server's own clock was late while lateness is measured, and its share of a core."""
    await asyncio.sleep(after_s)
    used, (moments, late) = Usage.now(server.pid), await _moments(server)
    await asyncio.sleep(seconds)
    share, (all_moments, all_late) = Usage.now(server.pid).share_since(used)[0], await _moments(server)
    return f"{(all_late - late) / (all_moments - moments):.2%}", f"{share:.0%}"


async def _moments(server: ServerProcess) -> tuple[float, float]:
    """Returns how many moments the server's clock has had, and how many of them were late by more than a frame."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(server.http_url, headers=headers) as http, http.get("/metrics") as response:
        lines = dict(line.rsplit(" ", 1) for line in (await response.text()).splitlines() if line[:1] != "#")
    buckets = "talkspurt_clock_lateness_seconds"
    count = float(lines[f"{buckets}_count"])
    return count, count - float(lines[f'{buckets}_bucket{{le="0.02"}}'])


async def run(calls: int, seconds: float, repeats: int, *, recorded: bool) -> None:
    print(markdown([("machine", ""), *facts()]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "recordings"
        folder.mkdir()
        name = write_hour(folder)
        agents = Path(temporary) / "agents.yaml"
        agents.write_text(AGENTS.format(folder=folder, calls=f"record_dir: {folder}" if recorded else "greeting: ''"))
        settings = {"ENGINE": "hibari", "CONSOLE": "true", "API_KEY": KEY, "AGENTS": str(agents), "GREETING": ""}
        settings |= {"NO_INPUT_TIMEOUT_MS": "0"}
        async with running_server(**settings) as server:
            took_ms = await open_hour(server, name, Path(temporary) / "profile", repeats)
        told = ", ".join(f"{one:.0f}" for one in sorted(took_ms))
        verdict = "reached" if max(took_ms) < GOAL_OPEN_MS else "MISSED"
        print(f"\nAn hour opens within {GOAL_OPEN_MS} ms: {verdict} ({told} ms)\n")
        rows: list[tuple[str, ...]] = [("console", *PERCENTILES, "the clock late by > 20 ms", "server")]
        rows += [await lateness(settings, name, calls, seconds, opened=opened) for opened in (False, True, False)]
        how = "recorded" if recorded else "silent"
        print(
            f"Lateness of the frames of {calls} {how} calls, ms, and the server's share of a core:\n\n{markdown(rows)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.console", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--repeats", type=int, default=5, help="how often the hour is opened")
    parser.add_argument("--recorded", action="store_true", help="record the calls, too")
    args = parser.parse_args()
    uvloop.run(run(args.calls, args.seconds, args.repeats, recorded=args.recorded))


if __name__ == "__main__":
    main()
