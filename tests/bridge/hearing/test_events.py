"""Reading recognisers' events: joined, placed in the call, and acted on once."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.hearing.events import (
    MAX_TEXT_CHARS,
    BadEvent,
    EventReader,
    Heard,
    Partial,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    out,
    parse,
)

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def read(reader: EventReader, **event: Any) -> Heard | None:
    return reader.read(parse(event))


def test_speech_and_its_place_in_the_call() -> None:
    reader = EventReader(offset_ms=4000)
    started = read(reader, type="input_audio_buffer.speech_started", audio_start_ms=120, item_id="a")
    assert started == SpeechStarted(4120)
    assert read(reader, type="input_audio_buffer.speech_stopped", audio_end_ms=900) == SpeechStopped(4900)
    assert read(reader, type="input_audio_buffer.speech_started") == SpeechStarted(None)


def test_pieces_of_a_transcript_are_joined_by_item() -> None:
    reader = EventReader()
    assert read(reader, type=DELTA, item_id="a", delta="Two ") == Partial("Two")
    assert read(reader, type=DELTA, item_id="b", delta="No") == Partial("No")
    assert read(reader, type=DELTA, item_id="a", delta="pizzas") == Partial("Two pizzas")
    assert read(reader, type=COMPLETED, item_id="a", transcript=" Two pizzas. ") == Transcript("Two pizzas.")


def test_an_event_delivered_twice_is_read_once() -> None:
    reader = EventReader()
    assert read(reader, type=COMPLETED, item_id="a", transcript="yes") == Transcript("yes")
    assert read(reader, type=COMPLETED, item_id="a", transcript="yes") is None
    assert read(reader, type=COMPLETED, item_id="b", transcript="yes") == Transcript("yes")
    assert read(reader, type="input_audio_buffer.speech_started", event_id="e1") == SpeechStarted()
    assert read(reader, type="input_audio_buffer.speech_started", event_id="e1") is None


def test_what_comes_of_an_item_after_its_end_is_not_read() -> None:
    """The start would hold the agent and the words would cut it, although they were answered long ago."""
    reader = EventReader()
    read(reader, type="input_audio_buffer.speech_started", item_id="a")
    read(reader, type=COMPLETED, item_id="a", transcript="yes")
    for kind in ("started", "stopped"):
        assert read(reader, type=f"input_audio_buffer.speech_{kind}", item_id="a") is None
    assert read(reader, type=DELTA, item_id="a", delta="yes") is None
    assert read(reader, type="input_audio_buffer.speech_started", item_id="b") == SpeechStarted()
    assert read(reader, type="input_audio_buffer.speech_started") == SpeechStarted()


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ({"type": "response.create"}, "type"),
        ({"audio_start_ms": 1}, "type"),
        ("speech", "dict"),
        ({"type": "input_audio_buffer.speech_started", "audio_start_ms": -1}, "audio_start_ms"),
        ({"type": COMPLETED}, "transcript"),
    ],
)
def test_a_bad_event_says_what_is_wrong(message: Any, part: str) -> None:
    with pytest.raises(BadEvent, match=part):
        parse(message)


def test_outbound_events_leave_out_what_is_not_there() -> None:
    assert out("dtmf", "c1", digit="5", text=None) == {"type": "dtmf", "call_id": "c1", "digit": "5"}


@pytest.mark.parametrize("words", [Partial, Transcript])
def test_of_words_without_an_end_the_beginning_is_kept(words: type[Partial | Transcript]) -> None:
    """Whichever recogniser they come from: what compares them takes as long as they are."""
    assert words("x" * 1_000_000).text == "x" * MAX_TEXT_CHARS == "x" * 10_000
