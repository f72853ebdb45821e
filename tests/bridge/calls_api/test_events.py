"""The events of a recogniser elsewhere, by POST."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.fakes import Asterisk
from tests.support.whole_app import Bench

STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
LINE = "One two three four five six seven eight nine ten."


async def test_they_interrupt_and_are_idempotent(bench: Bench, peer: Asterisk, path: str) -> None:
    assert await bench.post(f"{path}/events", {"type": STARTED}) == (202, {"interrupted": False})
    await bench.post(f"{path}/events", {"type": STOPPED})
    await bench.post(f"{path}/events", {"type": COMPLETED, "transcript": ""})
    await bench.post(f"{path}/say", {"text": LINE})
    for _ in range(40):
        await peer.hear(voiced=True)
    stale = {"type": STARTED, "audio_start_ms": 0}
    assert await bench.post(f"{path}/events", stale) == (202, {"interrupted": False})
    event = {"type": STARTED, "event_id": "e1"}
    status, answer = await bench.post(f"{path}/events", [event, event])
    assert (status, answer["interrupted"]) == (202, True)
    assert LINE.startswith(answer["text"])
    assert answer["audio_end_ms"] >= 780
    await peer.hear(voiced=False)
    words = {"type": COMPLETED, "transcript": "stop", "item_id": "i1"}
    status, answer = await bench.post(f"{path}/events", words)
    assert answer["interrupted"]
    assert await bench.post(f"{path}/events", words) == (202, {"interrupted": False})
    call = await bench.get(path)
    assert [entry["who"] for entry in call["conversation"]["transcript"]] == ["user", "agent"]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "nonsense"},
        {},
        "x",
        5,
        [[]],
        [None],
        {"type": STARTED, "audio_start_ms": -1},
        {"type": STARTED, "audio_start_ms": "5"},
        {"type": STARTED, "audio_start_ms": 1.5},
        {"type": STARTED, "audio_start_ms": 10**400},
        {"type": STOPPED, "audio_end_ms": 10**20},
        {"type": COMPLETED},
        {"type": COMPLETED, "transcript": None},
        {"type": COMPLETED, "transcript": "x" * 20_000},
        {"type": DELTA, "delta": ["x"]},
        {"type": STARTED, "event_id": "e" * 2_000},
        [{"type": STARTED}] * 101,
    ],
)
async def test_bad_ones_are_refused_and_none_of_a_list_happens(
    bench: Bench, peer: Asterisk, path: str, body: Any
) -> None:
    told: list[dict[str, Any]] = []
    conversation = bench.app.calls.find(peer.id)
    assert conversation is not None
    conversation.journal.observers.append(told.append)
    whole = [{"type": COMPLETED, "transcript": "hello"}, body]
    for sent in (whole, body) if not isinstance(body, list) else (body,):
        async with bench.http.post(f"{path}/events", json=sent) as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"]
    assert told == []


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b'{"type": "\xff"}', b'{"type": "\\ud800"}', b"NaN"])
async def test_what_is_no_json_is_refused(bench: Bench, peer: Asterisk, path: str, data: bytes) -> None:
    status, answer = await bench.post(f"{path}/events", data=data, headers={"Content-Type": "application/json"})
    assert (status, answer["code"]) == (400, "INVALID_REQUEST")


async def test_no_event_does_nothing(bench: Bench, peer: Asterisk, path: str) -> None:
    assert await bench.post(f"{path}/events", []) == (202, {"interrupted": False})


async def test_pieces_that_never_end_take_no_room(bench: Bench, peer: Asterisk, path: str) -> None:
    events = [{"type": DELTA, "item_id": "i", "delta": "word " * 400}] * 50
    for _ in range(4):
        assert (await bench.post(f"{path}/events", events))[0] == 202
    conversation = bench.app.calls.find(peer.id)
    assert conversation is not None
    assert sum(len(text) for text in conversation._reader._texts.values()) <= 10_000


@pytest.mark.parametrize("text", ["\x00\x01\x02", "\u202e\u0000", "👩‍👩‍👧 " * 50, "\ufeff", "ﷺ" * 100])
async def test_any_words_are_words(bench: Bench, peer: Asterisk, path: str, text: str) -> None:
    status, _ = await bench.post(f"{path}/events", {"type": COMPLETED, "transcript": text, "item_id": str(uuid4())})
    assert status == 202
    call = await bench.get(path)
    assert [entry["text"] for entry in call["conversation"]["transcript"]] == ([text.strip()] if text.strip() else [])
