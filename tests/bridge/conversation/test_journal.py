"""A call's journal: the same lines on the socket and in the file, in a form that the schema describes."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from structlog.testing import capture_logs

from bridge.conversation import journal as journal_module
from bridge.conversation.journal import Journal, encoded
from bridge.conversation.recording import CallRecording
from bridge.conversation.recording_writer import MAX_WAITING_BYTES, RecordingWriter
from bridge.conversation.trace import Mark, TurnTrace
from bridge.conversation.unheard_text import rest_of
from bridge.journal.events import schema
from bridge.journal.reading import read_journal
from bridge.line.audiosocket import Kind
from tests.support.fakes import Asterisk
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.whole_app import Bench, whole_app

STARTED = "input_audio_buffer.speech_started"
STOPPED = "input_audio_buffer.speech_stopped"
COMPLETED = "conversation.item.input_audio_transcription.completed"
ANSWER = "We have pizza and pasta. Then there is soup. And last of all there are cakes of every kind."

Lines = list[dict[str, Any]]


def validate(lines: Lines) -> None:
    validator = Draft202012Validator(schema())
    for line in lines:
        validator.validate(line)


def of(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["type"] == kind]


def failures(bench: Bench) -> dict[str, float]:
    """How many calls each service has failed, by /metrics."""
    families = bench.app.metrics.registry.collect()
    samples = [one for family in families for one in family.samples if one.name == "talkspurt_service_failures_total"]
    return {one.labels["service"]: one.value for one in samples}


class Listener:
    """Keeps reading what a peer is sent, so that it is played."""

    def __init__(self, peer: Asterisk) -> None:
        self._peer, self._left, self._heard = peer, 0, asyncio.Event()

    async def listen(self) -> None:
        while (message := await self._peer.receive()) is not None:
            if message.kind >= Kind.SLIN8 and any(message.payload):
                self._left -= 1
                if self._left == 0:
                    self._heard.set()

    async def hear(self, frames: int) -> None:
        """Waits for so many more frames with sound."""
        self._left = frames
        await self._heard.wait()


async def say(bench: Bench, peer: Asterisk, text: str) -> None:
    for event in ({"type": STARTED}, {"type": STOPPED}, {"type": COMPLETED, "transcript": text}):
        status, _ = await bench.post(f"/v1/calls/{peer.id}/events", event)
        assert status == 202


async def test_the_socket_and_the_file_have_the_same_lines(tmp_path: Path) -> None:
    async with (
        LlmServer(ANSWER) as model,
        whole_app(
            llm_base_url=model.url, llm_model="m", greeting="Hello.", record_dir=tmp_path, early_answer_ms=0
        ) as bench,
    ):
        peer = await bench.call(**{"from": "12345", "name": "Ann"})
        socket = await bench.http.ws_connect(f"/v1/calls/{peer.id}/events?journal=1")
        told: Lines = []

        async def until(kind: str) -> None:
            while not told or told[-1]["type"] != kind:
                told.append(await asyncio.wait_for(socket.receive_json(), 20))

        listener = Listener(peer)
        hearing = asyncio.create_task(listener.listen())
        await until("response.done")
        await say(bench, peer, "What do you have?")
        while len(of(told, "response.started")) < 2:
            told.append(await asyncio.wait_for(socket.receive_json(), 20))
        await listener.hear(frames=100)  # two seconds: twenty letters
        peer.send(Kind.DTMF, b"5")
        await until("turn.done")
        await peer.close()
        await until("call.ended")
        await socket.close()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
    text = (tmp_path / f"{peer.id}.jsonl").read_text()
    written = [json.loads(line) for line in text.splitlines()]
    assert written == told, "from the first line on, though the socket came later"
    assert (tmp_path / f"{peer.id}.jsonl").stat().st_mode & 0o777 == 0o600
    validate(written)
    assert [line["number"] for line in written] == list(range(1, len(written) + 1))
    assert all(one["monotonic_s"] <= two["monotonic_s"] for one, two in itertools.pairwise(written))
    assert datetime.fromisoformat(written[0]["time"]).tzinfo is not None
    assert (written[0]["type"], written[0]["journal_version"]) == ("call.started", 1)
    assert (written[0]["variables"]["name"], written[-1]["type"]) == ("Ann", "call.ended")
    assert [line["floor"] for line in of(written, "floor.changed")][:3] == ["agent", "nobody", "caller"]
    assert of(written, "dtmf")[0]["digit"] == "5"
    answer = of(written, "transcript.agent")[1]
    assert ANSWER.startswith(answer["text"])
    assert answer["interrupted"]
    assert " ".join(f"{answer['text']} {answer['unheard']}".split()) == ANSWER
    greeting, turn = of(written, "turn.done")
    assert "response_ms" not in greeting, "nobody had spoken before it"
    stages = {stage["stage"]: stage for stage in turn["stages"]}
    assert {"recogniser", "model", "first_sentence", "first_sound", "first_frame", "writing", "playing"} <= set(stages)
    assert all(stage["start_ms"] <= stage["end_ms"] for stage in stages.values())
    assert stages["model"]["end_ms"] == stages["first_sentence"]["start_ms"] <= turn["at_ms"]
    assert turn["response_ms"] == stages["playing"]["start_ms"] - stages["recogniser"]["start_ms"]
    assert read_journal(tmp_path / f"{peer.id}.jsonl")[0].type == "call.started"


async def test_observers_are_told_what_they_always_were_and_nothing_else() -> None:
    async with whole_app(greeting="Hello.") as bench:
        peer = await bench.call()
        async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events") as socket:
            first = await socket.receive_json()
            assert (first["type"], first["at_ms"]) == ("call.started", 0)
            await peer.hear(voiced=True)
            await say(bench, peer, "Stop.")
            await peer.close()
            kinds = []
            while not kinds or kinds[-1] != "call.ended":
                kinds.append((await socket.receive_json())["type"])
    assert not set(kinds) & {
        "floor.changed",
        "turn.done",
        "caller.started",
        "caller.stopped",
        "agent.silenced",
        "fault",
    }


async def test_tools_and_faults_are_in_it(tmp_path: Path) -> None:
    tools = tmp_path / "tools.yaml"
    tools.write_text("tools: [{name: book, description: Book., url: 'http://127.0.0.1:9/'}]")
    answers = (Answer(tools=[ToolCall("book", {"people": 2})]), Answer(status=500), Answer(status=500))
    async with (
        LlmServer(*answers) as model,
        whole_app(
            llm_base_url=model.url, llm_model="m", llm_tools=tools, record_dir=tmp_path, early_answer_ms=0
        ) as bench,
    ):
        peer = await bench.call()
        await say(bench, peer, "A table for two.")
        await peer.drain()
        assert failures(bench) == {"asr": 0, "llm": 1, "realtime": 0, "engine": 0}
    lines = [json.loads(line) for line in (tmp_path / f"{peer.id}.jsonl").read_text().splitlines()]
    validate(lines)
    assert of(lines, "tool.done")[0]["tool"] == "book"
    assert of(lines, "fault")[0]["service"] == "llm"


async def test_a_broken_engine_is_a_fault(tmp_path: Path) -> None:
    async with whole_app(record_dir=tmp_path) as bench:
        bench.engine.broken = True
        peer = await bench.call()
        await bench.post(f"/v1/calls/{peer.id}/say", {"text": "Hello."})
        await peer.drain()
        assert failures(bench) == {"asr": 0, "llm": 0, "realtime": 0, "engine": 1}, "an alert watches it"
    lines = [json.loads(line) for line in (tmp_path / f"{peer.id}.jsonl").read_text().splitlines()]
    assert of(lines, "fault")[0]["service"] == "engine"


async def test_a_turn_of_silence_gives_the_floor_back() -> None:
    async with whole_app() as bench:
        peer = await bench.call()
        async with bench.http.ws_connect(f"/v1/calls/{peer.id}/events?journal=1") as socket:
            await bench.post(f"/v1/calls/{peer.id}/say", {"text": '<speak><break time="100ms"/></speak>'})
            kinds: list[str] = []
            while "response.done" not in kinds:
                kinds.append((await asyncio.wait_for(socket.receive_json(), 20))["type"])
            assert (await socket.receive_json())["floor"] == "nobody"
        await peer.close()


def test_a_transfer_that_goes_on_after_the_call_is_written_too(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, "c1", writer)
    recording.line("one")
    recording.caller(bytes(320), 8_000)
    recording.close({})
    recording.line("two")
    writer.close()
    assert recording.journal_path.read_text() == "one\ntwo\n"


def test_a_journal_whose_end_the_disk_does_not_take_is_told_of(tmp_path: Path) -> None:
    writer, stuck = RecordingWriter(), threading.Event()
    recording = CallRecording(tmp_path, "c1", writer)
    writer.submit(MAX_WAITING_BYTES, lambda: bool(stuck.wait()), MAX_WAITING_BYTES)
    recording.line("one")
    with capture_logs() as told:
        recording.close({})
    stuck.set()
    writer.close()
    assert "journal incomplete: the disk does not keep up" in [line["event"] for line in told]


def test_a_second_call_of_one_name_has_a_journal_of_its_own(tmp_path: Path) -> None:
    writer = RecordingWriter()
    (tmp_path / "c1.jsonl").write_text("earlier\n")
    recording = CallRecording(tmp_path, "c1", writer)
    recording.line("later")
    recording.caller(bytes(320), 8_000)
    recording.close({})
    writer.close()
    assert (tmp_path / "c1.jsonl").read_text() == "earlier\n"
    assert (tmp_path / "c1-2.jsonl").read_text() == "later\n"


def test_what_is_no_utf_8_is_written_all_the_same() -> None:
    lines: list[str] = []
    journal = Journal("c", lambda: 5, lambda: 7.0, lambda: 0.0)
    journal.followers.append(lines.append)
    journal.tell("dtmf", digit="\ud800")
    assert json.loads(lines[0]) == {
        "type": "dtmf", "call_id": "c", "at_ms": 5, "number": 1, "monotonic_s": 7.0,
        "time": "1970-01-01T00:00:00.000Z", "digit": "?",
    }  # fmt: skip


@pytest.mark.parametrize(("mode", "texts"), [("off", 1), ("strict", 2)])
async def test_an_event_is_made_into_json_once_however_many_listen(
    monkeypatch: pytest.MonkeyPatch, mode: str, texts: int
) -> None:
    """Once as it is kept, and once as it is told where that is something else."""
    made: list[str] = []
    monkeypatch.setattr(journal_module, "encoded", lambda event: made.append(encoded(event)) or made[-1])
    async with whole_app(privacy=mode) as bench:
        peer = await bench.call()
        path = f"/v1/calls/{peer.id}/events"
        sockets = [await bench.http.ws_connect(f"{path}{query}") for query in ("", "", "", "?journal=1", "?journal=1")]
        made.clear()
        peer.send(Kind.DTMF, b"5")
        for socket in sockets:
            while (await asyncio.wait_for(socket.receive_json(), 20))["type"] != "dtmf":
                pass
        assert len([text for text in made if '"type": "dtmf"' in text]) == texts
        await bench.ended(peer)


def test_a_turn_that_is_cut_has_ends_too() -> None:
    trace = TurnTrace()
    for mark, at_s in ((Mark.SPEECH_END, 11.0), (Mark.ASKED, 11.5), (Mark.FIRST_TOKEN, 12.0), (Mark.FIRST_FRAME, 12.5)):
        trace.mark(mark, at_s)
    trace.end(14.0, 13.5)
    told = trace.turn(3, 10.0, interrupted=True)
    assert (told["turn"], told["response_ms"]) == (3, 1_500)
    stages = {stage["stage"]: (stage["start_ms"], stage["end_ms"]) for stage in told["stages"]}
    assert stages == {"model": (1_500, 2_000), "writing": (2_000, 4_000), "playing": (2_500, 3_500)}
    assert "last_frame_ms" not in trace.stages_ms(), "the transcript's trace is what it was"


def test_a_turns_response_is_as_long_as_its_stages_say() -> None:
    trace = TurnTrace()
    trace.mark(Mark.SPEECH_END, 10.6146)  # 250.8 ms, from 615 to 865
    trace.mark(Mark.FIRST_FRAME, 10.8654)
    assert trace.turn(1, 10.0, interrupted=False)["response_ms"] == 250


def test_what_was_not_heard_follows_on_what_was() -> None:
    text = "Hello there. It costs 5 euros, and it is good."
    assert rest_of(text, "Hello there. It costs") == "5 euros, and it is good."
    assert rest_of(text, "Hello there.") == "It costs 5 euros, and it is good."
    assert rest_of(text, "") == text
    assert rest_of(text, text) == ""
    assert rest_of(text, "Something else") == "", "it cannot be told"
