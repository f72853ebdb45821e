"""Each recogniser's protocol: the messages that carry audio, and the events that messages tell."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.hearing.asr.backlog import WAITING_MS
from bridge.hearing.asr.deepgram import Deepgram
from bridge.hearing.asr.item_order import LOST_S
from bridge.hearing.asr.openai_realtime import OpenAiRealtime
from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, ServiceError, SessionLost
from bridge.hearing.asr.protocols import PROTOCOLS
from bridge.hearing.asr.qwen3_asr import Qwen3Asr
from bridge.hearing.asr.vllm_realtime import VllmRealtime
from bridge.hearing.asr.vosk import Vosk
from bridge.hearing.events import (
    MAX_TEXT_CHARS,
    BadEvent,
    Heard,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)

PCM = bytes(range(40))


def read(protocol: AsrProtocol, message: Any) -> list[Heard] | None:
    """Returns the events of a message, or None if it says nothing about the caller's audio."""
    told = protocol.read(json.dumps(message))
    return None if told is None else told[0]


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    "message",
    ["", "{", "[1]", b"\xff\x00", "null", '{"foo": 1}', '{"type": 5}', '{"type": []}', "[" * 100_000, "9" * 5_000],
)
def test_rubbish_is_refused(name: str, message: str | bytes) -> None:
    with pytest.raises(BadEvent):
        PROTOCOLS[name](AsrOptions()).read(message)


@pytest.mark.parametrize(
    ("name", "base", "url"),
    [
        ("openai-realtime", "ws://asr:8080", "ws://asr:8080/v1/realtime?intent=transcription"),
        ("openai-realtime", "ws://asr/own/path?model=m", "ws://asr/own/path?intent=transcription&model=m"),
        ("openai-realtime", "ws://asr?intent=own", "ws://asr/v1/realtime?intent=own"),
        ("vosk", "ws://asr/?keyterm=a&keyterm=b%20c&x=", "ws://asr/?keyterm=a&keyterm=b+c&x="),
        ("qwen3-asr", "ws://asr:8001", "ws://asr:8001/ws/transcribe"),
        ("vllm-realtime", "ws://asr/", "ws://asr/v1/realtime"),
        ("vosk", "ws://asr:2700", "ws://asr:2700/"),
    ],
)
def test_addresses(name: str, base: str, url: str) -> None:
    assert PROTOCOLS[name](AsrOptions()).url(base) == url


def test_keys() -> None:
    assert OpenAiRealtime(AsrOptions(api_key="k")).headers() == {"Authorization": "Bearer k"}
    assert Deepgram(AsrOptions(api_key="k")).headers() == {"Authorization": "Token k"}
    assert Vosk(AsrOptions()).headers() == {}


def test_openai_realtime_out() -> None:
    protocol = OpenAiRealtime(AsrOptions(language="de", model="whisper-1"))
    (update,) = protocol.opening()
    audio_input = json.loads(update)["session"]["audio"]["input"]
    assert audio_input["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert audio_input["transcription"] == {"model": "whisper-1", "language": "de"}
    (append,) = protocol.audio(PCM)
    assert json.loads(append)["type"] == "input_audio_buffer.append"
    assert base64.b64decode(json.loads(append)["audio"]) == PCM


def test_openai_realtime_in() -> None:
    protocol = OpenAiRealtime(AsrOptions(), offset_ms=1000)
    delta = "conversation.item.input_audio_transcription.delta"
    assert read(protocol, {"type": "session.created"}) is None, "no sign that it hears anything"
    started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 200, "item_id": "i"}
    assert read(protocol, started) == [SpeechStarted(1200)]
    assert read(protocol, {"type": delta, "item_id": "i", "delta": "two "}) == [Partial("two")]
    assert read(protocol, {"type": delta, "item_id": "i", "delta": "pizzas"}) == [Partial("two pizzas")]
    stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 900, "item_id": "i"}
    assert read(protocol, stopped) == [SpeechStopped(1900)]
    completed = {"type": "conversation.item.input_audio_transcription.completed", "item_id": "i", "transcript": "Two."}
    assert read(protocol, completed) == [Transcript("Two.")]
    assert read(protocol, completed) == []
    with pytest.raises(ServiceError, match="no such model"):
        read(protocol, {"type": "error", "error": {"message": "no such model"}})
    for wrong in ("soon", -1, 10**300):
        with pytest.raises(BadEvent, match="audio_start_ms"):
            read(protocol, {"type": "input_audio_buffer.speech_started", "audio_start_ms": wrong})


COMPLETED = "conversation.item.input_audio_transcription.completed"


def spoken(*committed: str) -> OpenAiRealtime:
    """Returns a connection on which these items were committed in order."""
    protocol = OpenAiRealtime(AsrOptions())
    for previous, item in zip([None, *committed], committed, strict=False):
        event = {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": previous}
        assert read(protocol, event) is None
    return protocol


def completed(protocol: OpenAiRealtime, item: str) -> list[Heard] | None:
    return read(protocol, {"type": COMPLETED, "item_id": item, "transcript": f"words of {item}"})


def test_openai_realtime_gives_finals_in_the_order_of_speech() -> None:
    protocol = spoken("one", "two", "three")
    assert completed(protocol, "two") == []
    assert completed(protocol, "one") == [Transcript("words of one"), Transcript("words of two")]
    assert completed(protocol, "three") == [Transcript("words of three")]
    assert completed(protocol, "never committed") == [Transcript("words of never committed")]


def test_openai_realtime_puts_a_late_commit_where_it_belongs() -> None:
    protocol = spoken("one", "three")
    read(protocol, {"type": "input_audio_buffer.committed", "item_id": "two", "previous_item_id": "one"})
    assert completed(protocol, "three") == []
    assert completed(protocol, "one") == [Transcript("words of one")]
    assert completed(protocol, "two") == [Transcript("words of two"), Transcript("words of three")]


def test_openai_realtime_waits_for_no_final_that_has_failed_or_is_lost() -> None:
    protocol = spoken("one", "two")
    assert completed(protocol, "two") == []
    failed = {"type": "conversation.item.input_audio_transcription.failed", "item_id": "one", "error": {"message": "x"}}
    assert read(protocol, failed) == [Transcript("words of two")]
    protocol = spoken("lost", "two", "three", "four")
    assert completed(protocol, "two") == []
    assert completed(protocol, "three") == []
    words = [Transcript("words of two"), Transcript("words of three"), Transcript("words of four")]
    assert completed(protocol, "four") == words


def test_openai_realtime_lets_a_caller_whose_first_words_are_lost_be_heard_with_the_next() -> None:
    now_s = 100.0
    protocol = OpenAiRealtime(AsrOptions(), now_s=lambda: now_s)
    committed = {"type": "input_audio_buffer.committed", "item_id": "lost"}
    assert read(protocol, committed) is None
    now_s += 2.0
    assert read(protocol, committed | {"item_id": "two", "previous_item_id": "lost"}) is None
    assert completed(protocol, "two") == [], "those before may still come"
    now_s += LOST_S - 2.0
    started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 900}
    assert read(protocol, started) == [Transcript("words of two"), SpeechStarted(900)]
    assert completed(protocol, "lost") == [Transcript("words of lost")], "late, and not dropped"
    assert read(protocol, committed | {"item_id": "lost again"}) is None
    now_s += LOST_S
    assert read(protocol, committed | {"item_id": "three", "previous_item_id": "lost again"}) is None
    assert completed(protocol, "three") == [Transcript("words of three")]


@pytest.mark.parametrize("item", [5, ["x"], "x" * 201])
def test_openai_realtime_takes_no_odd_ids(item: Any) -> None:
    with pytest.raises(BadEvent, match="item_id"):
        read(OpenAiRealtime(AsrOptions()), {"type": "input_audio_buffer.committed", "item_id": item})


def test_qwen3_asr() -> None:
    protocol = Qwen3Asr(AsrOptions(language="en"))
    assert [json.loads(m) for m in protocol.opening()] == [{"action": "config", "language": "en"}]
    assert [json.loads(m) for m in Qwen3Asr(AsrOptions()).opening()] == [{"action": "config", "language": "auto"}]
    assert protocol.audio(PCM) == [PCM]
    assert [json.loads(m) for m in protocol.flush()] == [{"action": "flush"}]
    assert read(protocol, {"status": "connected", "sample_rate": 16_000}) is None
    assert read(protocol, {"text": " two", "is_partial": True, "is_final": False}) == [Partial("two")]
    assert read(protocol, {"text": "Two.", "is_partial": False, "is_final": True}) == [Transcript("Two.")]
    for failure in (
        {"error": "overloaded"},
        {"code": "WEBSOCKET_ERROR", "message": "overloaded", "statusCode": 500},
        {"text": "[error: overloaded]", "is_partial": True, "is_final": False},
    ):
        with pytest.raises(ServiceError, match="overloaded"):
            read(protocol, failure)


def test_vllm_realtime_holds_audio_back_while_an_utterance_is_finished() -> None:
    protocol = VllmRealtime(AsrOptions(model="voxtral"))
    assert [json.loads(m) for m in protocol.opening()] == [
        {"type": "session.update", "model": "voxtral"},
        {"type": "input_audio_buffer.commit"},
    ]
    assert len(protocol.audio(PCM)) == 1
    assert read(protocol, {"type": "transcription.delta", "delta": "two"}) == [Partial("two")]
    assert read(protocol, {"type": "transcription.delta", "delta": " pizzas"}) == [Partial("two pizzas")]
    assert [json.loads(m) for m in protocol.flush()] == [{"type": "input_audio_buffer.commit", "final": True}]
    assert protocol.flush() == []
    assert protocol.audio(PCM) == []
    told = protocol.read(json.dumps({"type": "transcription.done", "text": "Two pizzas."}))
    assert told is not None
    events, replies = told
    assert events == [Transcript("Two pizzas.")]
    kinds = [json.loads(reply)["type"] for reply in replies]
    assert kinds == ["input_audio_buffer.commit", "input_audio_buffer.append"]
    assert read(protocol, {"type": "transcription.delta", "delta": "And"}) == [Partial("And")]


def test_vllm_realtime_is_connected_to_anew_when_its_generation_has_failed() -> None:
    protocol = VllmRealtime(AsrOptions())
    assert read(protocol, {"type": "session.created", "id": "sess-1"}) is None
    with pytest.raises(SessionLost, match="out of memory"):
        read(protocol, {"type": "error", "error": "out of memory", "code": "processing_error"})
    with pytest.raises(ServiceError) as told:
        read(protocol, {"type": "error", "error": "Invalid audio data", "code": "invalid_audio"})
    assert not isinstance(told.value, SessionLost), "that was about one message"


def results(text: str, *, final: bool = False, ends: bool = False) -> dict[str, Any]:
    alternatives = {"alternatives": [{"transcript": text}]}
    return {"type": "Results", "is_final": final, "speech_final": ends, "start": 1.0, "duration": 0.5,
            "channel": alternatives}  # fmt: skip


def test_deepgram_nova() -> None:
    protocol = Deepgram(AsrOptions(model="nova-3", language="en"), offset_ms=100)
    query = parse_qs(urlsplit(protocol.url("wss://api.deepgram.example")).query)
    assert query["encoding"] == ["linear16"]
    assert query["vad_events"] == ["true"]
    assert query["model"] == ["nova-3"]
    assert protocol.audio(PCM) == [PCM]
    assert read(protocol, {"type": "SpeechStarted", "timestamp": 0.9}) == [SpeechStarted(1000)]
    assert read(protocol, results("")) == []
    assert read(protocol, results("two")) == [Partial("two")]
    assert read(protocol, results("two pizzas", final=True)) == [Partial("two pizzas")]
    assert read(protocol, results("please")) == [Partial("two pizzas please")]
    ended = read(protocol, results("please", final=True, ends=True))
    assert ended == [SpeechStopped(1600), Transcript("two pizzas please")]
    assert read(protocol, {"type": "UtteranceEnd", "last_word_end": 1.5}) == [], "it has ended already"
    assert read(protocol, {"type": "Metadata"}) is None
    assert read(protocol, {"type": "SpeechStarted", "timestamp": 1e400}) == [SpeechStarted(None)]
    with pytest.raises(BadEvent, match="transcript is missing"):
        read(protocol, {"type": "Results", "channel": {"alternatives": []}})


def test_deepgram_nova_where_noise_hides_the_end() -> None:
    protocol = Deepgram(AsrOptions())
    read(protocol, {"type": "SpeechStarted", "timestamp": 1.0})
    assert read(protocol, results("two pizzas", final=True)) == [Partial("two pizzas")]
    assert read(protocol, {"type": "UtteranceEnd", "last_word_end": 1.5}) == [
        SpeechStopped(1500),
        Transcript("two pizzas"),
    ]
    read(protocol, {"type": "SpeechStarted", "timestamp": 3.0})
    assert read(protocol, {"type": "UtteranceEnd", "last_word_end": 1.5}) == [], "of the utterance before"
    assert [json.loads(m) for m in protocol.flush()] == [{"type": "Finalize"}]
    assert read(protocol, {**results("and a coke", final=True), "from_finalize": True}) == [
        SpeechStopped(1500),
        Transcript("and a coke"),
    ]
    assert read(protocol, {**results("", final=True), "from_finalize": True}) == []


def test_deepgram_nova_where_a_sound_had_no_words() -> None:
    protocol = Deepgram(AsrOptions())
    finalized = {**results("", final=True), "from_finalize": True}
    read(protocol, {"type": "SpeechStarted", "timestamp": 1.2})
    assert read(protocol, finalized) == [SpeechStopped(1500), Transcript("")]
    assert read(protocol, finalized) == []
    read(protocol, {"type": "SpeechStarted", "timestamp": 1.8})
    assert read(protocol, finalized) == [], "of the sound before"


def test_deepgram_flux() -> None:
    protocol = Deepgram(AsrOptions(model="flux-general-en"))
    assert urlsplit(protocol.url("wss://api.deepgram.example")).path == "/v2/listen"
    assert read(protocol, {"type": "Connected", "request_id": "r", "sequence_id": 0}) is None
    started = {"type": "TurnInfo", "event": "StartOfTurn", "transcript": "two", "audio_window_start": 0.0,
               "audio_window_end": 0.6, "words": [{"word": "two", "confidence": 0.9}]}  # fmt: skip
    assert read(protocol, started) == [SpeechStarted(600), Partial("two")], "not when the last turn ended"
    started["words"] = [{"word": "two", "confidence": 0.9, "start": 0.4, "end": 0.55}]
    assert read(protocol, started) == [SpeechStarted(400), Partial("two")]
    assert read(protocol, {"type": "TurnInfo", "event": "Update", "transcript": "two pizzas"}) == [
        Partial("two pizzas")
    ]
    eager = {"type": "TurnInfo", "event": "EagerEndOfTurn", "transcript": "two pizzas", "audio_window_end": 1.1}
    assert read(protocol, eager) == [Partial("two pizzas"), SpeechPaused(1100)]
    resumed = {"type": "TurnInfo", "event": "TurnResumed", "transcript": "two pizzas"}
    assert read(protocol, resumed) == [SpeechResumed(), Partial("two pizzas")]
    ended = {"type": "TurnInfo", "event": "EndOfTurn", "transcript": "Two pizzas.", "audio_window_end": 1.4}
    assert read(protocol, ended) == [SpeechStopped(1400), Transcript("Two pizzas.")]


def test_vosk() -> None:
    protocol = Vosk(AsrOptions(sample_rate_hz=8000))
    assert [json.loads(m) for m in protocol.opening()] == [{"config": {"sample_rate": 8000}}]
    assert protocol.audio(PCM) == [PCM]
    assert protocol.closing() == ['{"eof" : 1}']
    assert read(protocol, {"partial": ""}) == []
    assert read(protocol, {"partial": "two pizzas"}) == [Partial("two pizzas")]
    assert read(protocol, {"result": [], "text": "two pizzas"}) == [Transcript("two pizzas")]
    assert read(protocol, {"text": ""}) == []


def test_of_a_deepgram_utterance_that_never_ends_no_more_is_kept_than_a_text_may_have() -> None:
    deepgram = Deepgram(AsrOptions())
    words = {"type": "Results", "is_final": True, "channel": {"alternatives": [{"transcript": "word " * 1_000}]}}
    for _ in range(100):
        deepgram.read(json.dumps(words))
        assert len(deepgram._finished) <= MAX_TEXT_CHARS
    heard = read(deepgram, {"type": "UtteranceEnd", "last_word_end": 9.0})
    assert heard is not None
    assert isinstance(heard[1], Transcript)
    assert heard[1].text.startswith("word word")


def test_of_a_vllm_generation_that_never_ends_neither_words_nor_audio_are_kept_without_end() -> None:
    vllm = VllmRealtime(AsrOptions())
    for _ in range(100):
        vllm.read(json.dumps({"type": "transcription.delta", "delta": "word " * 1_000}))
        assert len(vllm._text) <= MAX_TEXT_CHARS
    vllm.flush()
    pieces = [bytes([number % 256]) * 1_280 for number in range(1_000)]
    for pcm in pieces:
        assert vllm.audio(pcm) == []
    told = vllm.read('{"type": "transcription.done"}')
    assert told is not None
    sent = [base64.b64decode(json.loads(message)["audio"]) for message in told[1][1:]]
    assert sent == pieces[-WAITING_MS // vllm.chunk_ms :], "the newest is heard"
