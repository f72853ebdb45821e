"""Speaking into a call, and silencing it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.calls_api import speech
from engine.text import SentenceSplitter
from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench, by_both_doors

JSON = {"Content-Type": "application/json"}
PLAIN = {"Content-Type": "text/plain"}


class Written:
    """A body of plain text that the test writes."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = asyncio.Event()
        """Marks that nobody reads it any more."""

    def write(self, text: str | bytes) -> None:
        self._pieces.put_nowait(text.encode() if isinstance(text, str) else text)

    def end(self) -> None:
        self._pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._pieces.get()) is not None:
                yield piece
        finally:
            self.left.set()


@by_both_doors
async def test_what_is_said_is_heard_in_order(bench: Bench, peer: Asterisk, path: str) -> None:
    for text in ("One.", "Two."):
        assert (await bench.post(f"{path}/say", {"text": text}))[0] == 202
    await peer.hear(voiced=True)
    await peer.hear(voiced=False)
    assert [sentence.strip() for sentence, _ in bench.engine.spoken] == ["One.", "Two."]


async def test_interrupt_says_what_was_heard_and_is_idempotent(bench: Bench, peer: Asterisk, path: str) -> None:
    text = "A line to be cut that lasts for quite some time."
    assert await bench.post(f"{path}/interrupt") == (200, {"interrupted": False})
    await bench.post(f"{path}/say", {"text": text})
    for _ in range(15):
        await peer.hear(voiced=True)
    _, answer = await bench.post(f"{path}/interrupt")
    assert answer["interrupted"] is True
    assert await bench.post(f"{path}/interrupt") == (200, {"interrupted": False})
    # However long the answer took: what was heard is what was told, and after it there is silence.
    voiced = 15
    while any((await peer.receive()).payload):
        voiced += 1
    assert voiced * 20 - 20 <= answer["audio_end_ms"] <= voiced * 20, "the last one may be the fade"
    letters = answer["audio_end_ms"] // 100
    assert abs(len(answer["text"]) - letters) <= 6, "to the word"
    assert text.startswith(answer["text"])
    for _ in range(25):
        assert not any((await peer.receive()).payload)


async def test_a_client_that_does_not_wait_is_stopped_at_a_hundred(bench: Bench, peer: Asterisk, path: str) -> None:
    bench.engine.gate.clear()
    statuses = [(await bench.post(f"{path}/say", {"text": "Once more."}))[0] for _ in range(110)]
    taken = statuses.count(202)
    assert taken in (100, 101), "with the one that is being spoken"
    assert statuses[taken:] == [503] * (110 - taken)
    await bench.post(f"{path}/interrupt")
    assert (await bench.post(f"{path}/say", {"text": "Once more."}))[0] == 202


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"text", "body"),
        (b"[]", "body"),
        (b"{}", "text"),
        (b'{"text": ""}', "text"),
        (b'{"text": "  "}', "text"),
        (b'{"text": 7}', "text"),
        (b'{"text": "\\ud800"}', "body"),
        (b'{"text": "x", "voice": 7}', "voice"),
        (b'{"text": "x", "voice": "nobody"}', "voice"),
        (b'{"text": "x", "speed": 2}', "speed"),
        (b'{"text": "x", "interruptible": "no"}', "interruptible"),
        (b'{"text": "' + b"x" * 20_001 + b'"}', "text"),
        (b"[" * 100_000, "body"),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field(
    bench: Bench, peer: Asterisk, path: str, body: bytes, param: str
) -> None:
    status, answer = await bench.post(f"{path}/say", data=body, headers=JSON)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == param
    assert bench.engine.spoken == []


async def test_a_body_that_is_too_large_is_not_read(bench: Bench, peer: Asterisk, path: str) -> None:
    status, answer = await bench.post(f"{path}/say", data=b'{"text": "' + b"x" * 2**20, headers=JSON)
    assert (status, answer["error"]["message"]) == (413, "the body is too large")


async def test_a_text_that_is_still_being_written_is_spoken_as_it_comes(
    bench: Bench, peer: Asterisk, path: str
) -> None:
    body = Written()
    headers = {"Content-Type": "text/plain; charset=UTF-8"}
    request = asyncio.create_task(bench.http.post(f"{path}/say", data=body, headers=headers))
    body.write("Grüß Gott. Wie")
    await peer.hear(voiced=True)
    assert [text.strip() for text, _ in bench.engine.spoken] == ["Grüß Gott."]
    geht = " geht és?".encode()
    body.write(geht[:7])  # in the middle of a character
    body.write(geht[7:])
    body.end()
    assert (await request).status == 202
    while len(bench.engine.spoken) < 2:
        await peer.receive()
    assert bench.engine.spoken[1][0] == "Wie geht és?"


async def test_a_text_that_is_not_written_on_ends_and_what_was_said_stays(
    bench: Bench, peer: Asterisk, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Written()
    request = asyncio.create_task(bench.post(f"{path}/say", data=body, headers=PLAIN))
    body.write("It is done. And")
    await peer.hear(voiced=True)
    monkeypatch.setattr(speech, "PIECE_TIMEOUT_S", 0.0)  # from the next piece on
    body.write(" so")
    status, answer = await request
    assert status == 408
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert "nothing more came" in answer["error"]["message"]
    await body.left.wait()
    while len(bench.engine.spoken) < 2:
        await peer.receive()
    assert [text.strip() for text, _ in bench.engine.spoken] == ["It is done.", "And so"]


async def test_who_writes_on_after_an_interruption_is_told(bench: Bench, peer: Asterisk, path: str) -> None:
    body = Written()
    request = asyncio.create_task(bench.post(f"{path}/say", data=body, headers=PLAIN))
    body.write("It is not done. And")
    await peer.hear(voiced=True)
    await bench.post(f"{path}/interrupt")
    body.write(" so on. And on.")
    status, answer = await request
    assert (status, answer["code"]) == (409, "CONFLICT")
    await body.left.wait()
    assert [text.strip() for text, _ in bench.engine.spoken] == ["It is not done."]


async def test_a_client_that_goes_away_has_said_what_it_has_said(bench: Bench, peer: Asterisk, path: str) -> None:
    body = Written()
    request = asyncio.create_task(bench.http.post(f"{path}/say", data=body, headers=PLAIN))
    body.write("It is done. And so")
    await peer.hear(voiced=True)
    request.cancel()
    while len(bench.engine.spoken) < 2:
        await peer.receive()
    assert bench.engine.spoken[1][0] == "And so"


@pytest.mark.parametrize("body", [b"", b"  \n "])
async def test_a_plain_body_with_nothing_to_say_is_a_400(bench: Bench, peer: Asterisk, path: str, body: bytes) -> None:
    status, answer = await bench.post(f"{path}/say", data=body, headers=PLAIN)
    assert (status, answer["error"]["param"]) == (400, "text")


@pytest.mark.parametrize(
    ("query", "kind", "status", "param"),
    [
        ("?voice=nobody", "text/plain", 400, "voice"),
        ("?interruptible=perhaps", "text/plain", 400, "interruptible"),
        ("?interruptible=False", "text/plain", 202, None),
        ("", "text/plain; charset=utf-16", 415, None),
        ("", "text/plain; charset=hex", 415, None),
        ("", "text/html", 415, None),
    ],
)
async def test_how_a_plain_body_is_to_be_said(
    bench: Bench, peer: Asterisk, path: str, query: str, kind: str, status: int, param: str | None
) -> None:
    given, answer = await bench.post(f"{path}/say{query}", data=b"Hello.", headers={"Content-Type": kind})
    assert given == status
    assert status == 202 or answer["error"]["param"] == param


async def test_a_plain_body_without_end_is_ended_at_the_limit(bench: Bench, peer: Asterisk, path: str) -> None:
    ended = asyncio.Event()

    async def write() -> Any:
        try:
            while True:
                yield b"x" * 999 + b" "
        finally:
            ended.set()

    response = await bench.http.post(f"{path}/say", data=write(), headers=PLAIN)
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "input_too_long"
    response.close()
    await asyncio.wait_for(ended.wait(), 30)


@pytest.mark.parametrize("plain", [True, False])
async def test_a_long_text_lets_others_run_while_it_is_split(
    bench: Bench, peer: Asterisk, path: str, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    fed: list[tuple[int, str]] = []
    turns = 0
    feed = SentenceSplitter.feed

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count_turns)

    def record(self: SentenceSplitter, piece: str) -> list[str]:
        fed.append((turns, piece))
        return feed(self, piece)

    monkeypatch.setattr(SentenceSplitter, "feed", record)
    monkeypatch.setattr("engine.loop_share.SHARE_S", 1e-9)  # the first piece uses up a turn's share
    asyncio.get_running_loop().call_soon(count_turns)
    text = "\n" * 15_000 + "Here."  # nothing that would wait for the engine
    options: dict[str, Any] = {"data": text, "headers": PLAIN} if plain else {"json": {"text": text}}
    assert (await bench.post(f"{path}/say", **options))[0] == 202
    await peer.hear(voiced=True)
    assert "".join(piece for _, piece in fed) == text
    assert max(len(piece) for _, piece in fed) <= 500
    assert len({turn for turn, _ in fed}) == len(fed), "two pieces in one turn of the loop"
