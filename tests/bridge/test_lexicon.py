"""LEXICON in a running server: calls and HTTP pronounce words as the file says, also once it has changed."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from tests.support.waiting import until
from tests.support.whole_app import Bench, whole_app

GREETING = "We use SQL."


async def said_over_http(bench: Bench) -> str:
    bench.engine.spoken.clear()
    async with bench.http.post("/v1/audio/speech", json={"input": GREETING}) as response:
        assert response.status == 200
        await response.read()
    return bench.engine.spoken[-1][0] if bench.engine.spoken else "from the cache"


async def said_in_a_call(bench: Bench, **variables: str) -> str:
    bench.engine.spoken.clear()
    peer = await bench.call(**variables)
    await peer.hear(voiced=True)
    said = bench.engine.spoken[0][0]
    await bench.ended(peer)
    return str(said)


async def reload(bench: Bench) -> None:
    bench.app.reload()
    await until(lambda: not len(bench.app._reloads))


async def test_calls_and_http_follow_the_lexicon_and_what_becomes_of_it(tmp_path: Path) -> None:
    agents, lexicon = tmp_path / "agents.yaml", tmp_path / "lexicon.yaml"
    agents.write_text("shop:\n  description: The shop.\n")
    lexicon.write_text("en:\n  SQL: sequel\nagents:\n  shop:\n    en:\n      SQL: squirrel\n")
    async with whole_app(agents=agents, lexicon=lexicon, greeting=GREETING, voice_language="en") as bench:
        assert await said_over_http(bench) == "We use sequel."
        assert await said_over_http(bench) == "from the cache"
        assert await said_in_a_call(bench) == "We use sequel."
        assert await said_in_a_call(bench, agent="shop") == "We use squirrel."

        lexicon.write_text("en:\n  SQL: the language\n")
        await reload(bench)
        assert await said_over_http(bench) == "We use the language."
        assert await said_in_a_call(bench, agent="shop") == "We use the language."

        lexicon.write_text("en:\n  SQL: /x/\n")
        with capture_logs() as lines:
            await reload(bench)
        faults = [fault for line in lines for fault in line.get("faults", ())]
        assert faults == [f"{lexicon}:2: en.SQL: /x/ has no vowel"]
        assert await said_in_a_call(bench) == "We use the language."
