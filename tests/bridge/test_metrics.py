"""The metrics of the telephone side, as Prometheus reads them while calls go on."""

from __future__ import annotations

from tests.support.whole_app import Bench, whole_app

FRAME_8KHZ = bytes(320)


async def underruns(bench: Bench) -> float:
    async with bench.http.get("/metrics") as response:
        told = (line.split() for line in (await response.text()).splitlines())
        return next(float(line[1]) for line in told if line[0] == "talkspurt_underrun_frames_total")


async def test_speech_that_is_not_made_in_time_is_counted_while_the_call_goes_on() -> None:
    async with whole_app() as bench:
        peer = await bench.call()
        assert await underruns(bench) == 0
        playout = bench.call_of(peer).playout
        utterance = playout.begin()
        utterance.open(8_000)
        utterance.write(FRAME_8KHZ)  # one frame is made, and nothing after it
        while playout.underrun_frames < 3:
            await peer.receive()
        utterance.end()
        assert await underruns(bench) == playout.underrun_frames
        counted = playout.underrun_frames
        await bench.ended(peer)
        assert await underruns(bench) == counted, "and not once more at its end"
