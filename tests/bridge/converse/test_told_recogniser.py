"""The recogniser that is told the words: when it knows them, and over a socket."""

from __future__ import annotations

import aiohttp

from bridge.converse.told_recogniser import LATE_S, ToldRecogniser, ToldWords


def test_words_are_known_one_after_the_other() -> None:
    words = ToldWords()
    words.tell("one two six", 10.0, 10.9)
    assert words.partial(10.0) == ""
    assert words.partial(10.31 + LATE_S) == "one"
    assert words.partial(10.95 + LATE_S) == "one two six"


def test_a_final_transcript_begins_anew() -> None:
    words = ToldWords()
    words.tell("one two", 10.0, 11.0)
    assert words.final(10.55 + LATE_S) == "one"
    assert words.partial(12.0) == "two"
    assert words.final(12.0) == "two"
    assert words.final(13.0) == ""


async def test_each_connection_hears_its_own_call() -> None:
    now_s = 20.0
    async with ToldRecogniser(lambda: now_s) as told, aiohttp.ClientSession() as http:
        told.call("a").tell("yes", 10.0, 10.5)
        for call, heard in (("a", "yes"), ("b", "")):
            async with http.ws_connect(f"{told.url}/ws/transcribe", headers={"X-Call-Id": call}) as socket:
                await socket.send_json({"action": "flush"})
                answer = await socket.receive_json()
                while answer["is_partial"]:
                    answer = await socket.receive_json()
                assert answer == {"text": heard, "is_partial": False, "is_final": True}
