"""The worker over a tiny checkpoint: which sentences are admitted and cancelled, voices learned, what a fault does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.audio import resample
from engine.qwen3.batch import eager_runner
from engine.qwen3.batch.gpu_use import WINDOW_S
from engine.qwen3.messages import (
    Audio,
    Beat,
    Cancel,
    Event,
    Failed,
    Forget,
    Learn,
    Learned,
    Prime,
    Ready,
    Refused,
    Speak,
)
from engine.qwen3.settings import QwenSettings
from engine.qwen3.worker import worker as worker_module
from engine.qwen3.worker.build import Assembly, build
from engine.qwen3.worker.worker import FAULT_STATUS, QUIET_S, Worker
from tests.engine.qwen3.model.test_frame import a_recording
from tests.support.qwen3.kernel_support import CUDA, WHY_NOT


@pytest.fixture(scope="module")
def assembled(checkpoint_folder: Any) -> Callable[[str], Assembly]:
    """Returns a function: kind → an assembly for two callers."""
    built: dict[str, Assembly] = {}

    def get(kind: str) -> Assembly:
        if kind not in built:
            folder = str(checkpoint_folder(kind))
            built[kind] = build(
                QwenSettings(model_id=folder, device="cpu", dtype="float32", max_batch=2, max_positions=128)
            )
        return built[kind]

    return get


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Process:
    """A worker and all that it has said."""

    def __init__(self, assembly: Assembly, clock: Callable[[], float] = time.monotonic) -> None:
        self.said: list[Event] = []
        self.worker = Worker(assembly, self._hear, clock)

    def _hear(self, events: Iterable[Event]) -> None:
        self.said += events

    def run(self, turns: int = 400) -> None:
        """Runs the worker until it has nothing more to do."""
        for _ in range(turns):
            if self.worker.patience_s == 1.0:
                return
            self.worker.turn()
        raise AssertionError("it does not end")

    def run_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(400):
            if holds():
                return
            self.worker.turn()
        raise AssertionError("it does not come to that")

    def taught(self, learn: Learn) -> Learned:
        """Gives it a voice and waits for the thread that takes it."""
        self.worker.handle(learn)
        self.worker.close()
        self.worker.turn()
        (learned,) = [event for event in self.said if isinstance(event, Learned)]
        return learned

    def pcm(self, number: int) -> np.ndarray:
        pieces = [event.pcm for event in self.said if isinstance(event, Audio) and event.number == number]
        return np.frombuffer(b"".join(pieces), np.int16)

    def ends(self) -> dict[int, str]:
        return {event.number: event.end for event in self.said if isinstance(event, Audio) and event.end}

    def refused(self) -> list[int]:
        return [event.number for event in self.said if isinstance(event, Refused)]

    def failures(self) -> dict[int, str]:
        return {event.number: event.message for event in self.said if isinstance(event, Failed)}


@pytest.fixture
def process(assembled: Any) -> Iterable[Process]:
    process = Process(assembled("custom_voice"), Clock())  # a machine that is busy admits no fewer
    yield process
    for number in list(process.worker._speaking):
        process.worker.handle(Cancel(number))
    process.worker.close()


def a_sentence(number: int, text: str = "Hello.", **how: Any) -> Speak:
    return Speak(number, text, how.pop("voice", "speaker:ryan"), "english", seed=1, **how)


def test_says_what_it_is(process: Process) -> None:
    ready = process.said[0]
    assert isinstance(ready, Ready)
    assert ready.kind == "custom_voice"
    assert ready.facts["runner"]
    assert ready.facts["quantize"] == "none"
    assert ready.facts["attention"] == "sdpa"
    process.worker.turn()
    beats = [event for event in process.said if isinstance(event, Beat)]
    assert beats[0].facts["active"] == 0


def test_more_callers_than_places_are_all_served(process: Process) -> None:
    for number in range(4):
        process.worker.handle(a_sentence(number))
    process.run()
    assert set(process.ends()) == {0, 1, 2, 3}
    assert process.pcm(0).size > 0
    # The same seed, whoever was beside it.
    assert all(np.array_equal(process.pcm(0), process.pcm(number)) for number in (1, 2, 3))


def test_who_is_more_urgent_goes_first(process: Process) -> None:
    for number, priority in enumerate((2, 2, 2, 0)):
        process.worker.handle(a_sentence(number, priority=priority))
    process.worker.turn()
    assert set(process.worker._speaking) == {0, 3}


def test_among_equals_who_needs_it_first_goes_first(process: Process) -> None:
    for number, needed_in_s in enumerate((2.0, 0.0, 3.0, 1.0)):
        process.worker.handle(a_sentence(number, needed_in_s=needed_in_s))
    process.worker.turn()
    assert set(process.worker._speaking) == {1, 3}


def test_many_that_come_at_once_do_not_hold_up_those_that_speak(
    assembled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame is made between them, and in the end all have spoken."""
    monkeypatch.setattr(worker_module, "ADMITTING_S", 0.0)
    process = Process(assembled("custom_voice"), count(0.0, 0.001).__next__)
    frames: list[int] = []
    step = process.worker._assembly.runner.step
    monkeypatch.setattr(
        process.worker._assembly.runner, "step", lambda: (frames.append(len(process.worker._speaking)), step())[1]
    )
    for number in (0, 1):
        process.worker.handle(a_sentence(number))
    process.run()
    assert frames[:2] == [1, 2]
    assert set(process.ends()) == {0, 1}


def test_who_gets_no_place_in_time_is_refused(assembled: Any) -> None:
    """As many are admitted as the runner says it can feed, so that those that speak do not stutter."""
    clock = Clock()
    process = Process(assembled("custom_voice"), clock)
    worker = process.worker
    for number in (0, 1):  # both places, for longer than the others have patience
        worker.handle(a_sentence(number, "One two three four five", patience_s=0.0))
    worker.handle(a_sentence(2, patience_s=0.3))
    worker.handle(a_sentence(3, needed_in_s=2.0, patience_s=0.3))  # the one ahead of it plays for so long
    worker.handle(a_sentence(4, priority=2, patience_s=27.0))
    worker.handle(a_sentence(5, priority=2))
    clock.now_s = 0.29
    worker.turn()
    assert process.refused() == []
    clock.now_s = 0.31
    worker.turn()
    assert process.refused() == [2]
    clock.now_s = 2.31
    worker.turn()
    assert process.refused() == [2, 3]
    clock.now_s = 30.0
    worker.turn()
    assert process.refused() == [2, 3, 4]
    process.run()
    assert set(process.ends()) == {0, 1, 5}


def test_voices_are_made_ready_when_there_is_nothing_else_to_do(process: Process) -> None:
    worker, kept = process.worker, process.worker._assembly.slots.prefixes._entries
    wanted = [("serena", "english"), ("serena", None), ("nobody", None), ("eric", "german")]
    for voice, language in wanted:
        worker.handle(Prime(f"speaker:{voice}", language))
    worker.handle(a_sentence(0))
    process.run_until(lambda: 0 in process.ends())
    before = len(kept)
    assert not any("serena" in key[0] for key in kept), "a sentence comes first"
    assert worker.patience_s == QUIET_S, "and whoever comes now does"
    kept_more = []
    for _ in wanted:
        worker.turn()
        kept_more.append(len(kept) - before)
    assert kept_more == [1, 2, 2, 3], "one at a time"
    assert worker.patience_s == 1.0
    assert worker._assembly.runner.active == 0
    worker.handle(a_sentence(1, voice="speaker:serena"))
    process.run()
    assert len(kept) == before + 3, "nothing was left to be worked out"


def test_no_more_voices_are_made_ready_than_can_be_kept(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, prefixes = process.worker, process.worker._assembly.slots.prefixes
    process.worker.handle(Prime("speaker:vivian", "german"))
    process.run()
    one = prefixes._entries[next(reversed(prefixes._entries))].nbytes
    monkeypatch.setattr(prefixes, "_max_bytes", prefixes.nbytes + 5 * one // 2)
    before = len(prefixes._entries)
    for language in ("english", "french", "italian", "spanish"):
        worker.handle(Prime("speaker:vivian", language))
    process.run()
    assert len(prefixes._entries) == before + 2


def test_a_cancelled_sentence_stops_at_once(process: Process) -> None:
    for number in range(3):
        process.worker.handle(a_sentence(number))
    process.worker.turn()
    process.worker.turn()
    process.worker.handle(Cancel(0))  # in the batch
    process.worker.handle(Cancel(2))  # before it was in the batch
    process.worker.handle(Cancel(99))
    before = len(process.said)
    process.run()
    later = {event.number for event in process.said[before:] if isinstance(event, Audio)}
    assert later == {1}


def test_the_parts_of_a_request_reach_the_model(process: Process) -> None:
    process.worker.handle(a_sentence(0))
    process.worker.handle(a_sentence(1, speed=2.0))
    process.run()
    assert process.pcm(1).size == pytest.approx(process.pcm(0).size / 2, abs=2400)
    process.worker.handle(Speak(2, "Hello.", "speaker:ryan", "english", seed=1, temperature=0.0))
    process.worker.handle(Speak(3, "Hello.", "speaker:ryan", "english", seed=2, temperature=0.0))
    process.run()
    assert np.array_equal(process.pcm(2), process.pcm(3)), "temperature 0 leaves nothing to chance"
    assert not np.array_equal(process.pcm(0), process.pcm(2))


def test_what_cannot_be_spoken_fails_alone(process: Process) -> None:
    process.worker.handle(a_sentence(0, voice="speaker:nobody"))
    process.worker.handle(a_sentence(1, text="word " * 400))
    process.worker.handle(a_sentence(2, voice="a voice never learned"))
    process.worker.handle(Speak(3, "Hello.", "speaker:ryan", "welsh"))
    process.worker.handle(Prime("speaker:ryan", "welsh"))
    process.worker.handle(a_sentence(4))
    process.run()
    assert set(process.failures()) == {0, 1, 2, 3}
    assert "MAX_POSITIONS" in process.failures()[1]
    assert "does not speak welsh" in process.failures()[3]
    assert set(process.ends()) == {4}


def test_a_learned_voice_speaks_and_a_forgotten_one_does_not(assembled: Any) -> None:
    process = Process(assembled("base"))
    pcm = a_recording(1.5).tobytes()
    assert process.taught(Learn("a", pcm, 24000, "I said this.")).error is None
    process.worker.handle(a_sentence(0, voice="a"))
    process.run()
    assert process.pcm(0).size > 0
    process.worker.handle(Forget("a"))
    process.worker.handle(a_sentence(1, voice="a"))
    process.run()
    assert set(process.failures()) == {1}


def test_a_voice_forgotten_before_it_was_learned_is_not_kept(assembled: Any) -> None:
    process = Process(assembled("base"))
    process.worker.handle(Learn("a", a_recording(1.5).tobytes(), 24000))
    process.worker.handle(Forget("a"))
    process.worker.close()  # its thread is done
    process.worker.handle(a_sentence(0, voice="a"))
    process.run()
    assert set(process.failures()) == {0}


def test_sentences_wait_for_their_voice_and_hold_up_nobody(assembled: Any) -> None:
    process = Process(assembled("base"))
    worker = process.worker
    pcm = a_recording(1.0).tobytes()
    release = threading.Event()
    worker._voices._thread.submit(release.wait)  # the thread has something else to do first
    worker.handle(Learn("a", pcm, 24000))
    worker.handle(a_sentence(0, voice="a"))
    worker.handle(a_sentence(1, voice="designed"))
    for _ in range(3):
        worker.turn()
    assert set(worker._speaking) == {1}
    release.set()
    worker._voices._thread.shutdown(wait=True)
    process.run()
    assert set(process.ends()) == {0, 1}


@pytest.mark.parametrize(("seconds", "rate_hz"), [(0.0, 24000), (0.005, 24000)], ids=["nothing", "a click"])
def test_a_recording_that_is_none(assembled: Any, seconds: float, rate_hz: int) -> None:
    process = Process(assembled("base"))
    assert "cannot be used" in (process.taught(Learn("a", a_recording(seconds).tobytes(), rate_hz)).error or "")


GREEDY = {"temperature": 0.0, "top_p": 1.0}


@pytest.fixture
def graphed(assembled: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Process:
    """The runner of the graphs, plain PyTorch in the place of its GPU."""
    if WHY_NOT or CUDA:
        pytest.skip(WHY_NOT or "plain PyTorch in the place of the GPU")
    from engine.qwen3.cuda.fast_slots import FastSlots
    from engine.qwen3.cuda.graph_runner import GraphRunner
    from engine.qwen3.cuda.tuning import Tuning
    from tests.support.qwen3.plain_gpu import pretend

    streams = pretend(monkeypatch)
    assembly = assembled("custom_voice")
    model, codec = assembly.checkpoint.model, assembly.checkpoint.codec
    with torch.inference_mode():
        slots = FastSlots(model, codec, 2, 128, 128, 2**20, streams, torch.float32)
        clock = count(0.0, 0.01).__next__  # or it would wait for what it has made to be played
        tuning = Tuning("test", tmp_path)
        runner = GraphRunner(slots, tuning, graphs=False, pin=False, clock=clock, rest=lambda _: None)
    return Process(replace(assembly, slots=slots, runner=runner))


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_a_call_in_narrowband_hears_the_same_sound(process: Process, speed: float) -> None:
    text = "One two three four five, and so on."
    for number, narrowband in enumerate((False, True)):
        process.worker.handle(a_sentence(number, text, narrowband=narrowband, speed=speed, **GREEDY))
    process.run()
    wide, narrow = process.pcm(0), process.pcm(1)
    assert process.ends()[0] == process.ends()[1]
    if speed == 1.0:
        assert 3 * len(narrow) == len(wide)
        inside = slice(40, -440)  # but for what the trimming fades
        apart = resample(wide, 24000, 8000).astype(int) - narrow
        assert np.abs(apart[inside]).max() <= 2
    else:
        assert 3 * len(narrow) == pytest.approx(len(wide), abs=1200)


def test_the_graphs_runner_says_what_the_plain_one_does(process: Process, graphed: Process) -> None:
    text = "One two three four five, and so on."
    process.worker.handle(a_sentence(0, text, **GREEDY))
    process.run()
    worker = graphed.worker
    worker.handle(Prime("speaker:ryan", "english"))
    worker.turn()
    graphed.run()
    assert len(worker._assembly.slots.prefixes._entries) == 1
    assert worker._assembly.runner.active == 0
    worker.handle(a_sentence(0, text, **GREEDY))
    graphed.run(2000)
    assert graphed.ends() == process.ends()
    assert np.abs(graphed.pcm(0).astype(int) - process.pcm(0)).max() <= 2


def test_the_load_is_told_as_it_is(graphed: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    milliseconds = count(1.0)
    monkeypatch.setattr(torch.cuda.Event, "elapsed_time", lambda *_: next(milliseconds))
    worker = graphed.worker
    before = worker._facts()["load"]
    worker.handle(a_sentence(0, **GREEDY))
    for _ in range(5):  # what a frame took is known when it has been made
        worker.turn()
    speaking = worker._facts()["load"]
    worker.handle(Cancel(0))
    for _ in range(round(WINDOW_S / 0.01)):  # each look at the load is a step of the fixture's clock
        after = worker._facts()["load"]
    assert before == after == 0 < speaking <= 1


def test_a_fault_ends_every_sentence_and_the_process(assembled: Any) -> None:
    """The engine then starts another process: after a fault of the GPU none is relied on."""

    class Broken:
        active, facts = 0, dict[str, Any]()

        def admit(self, sentence: Any) -> bool:
            return sentence.number < 2

        def step(self) -> None:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore of it")

    assembly = replace(assembled("custom_voice"), runner=Broken())
    process = Process(assembly)
    for number in range(3):
        process.worker.handle(a_sentence(number))
    with pytest.raises(SystemExit) as ended:
        process.worker.turn()
    assert ended.value.code == FAULT_STATUS
    message = "the model failed: CUDA error: an illegal memory access was encountered"
    assert process.failures() == {0: message, 1: message, 2: message}


def test_a_code_that_may_not_be_drawn_fails_its_own_sentence_and_is_counted(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it took the process, and every sentence in it, with it."""
    decode, speaking = eager_runner.decode_frame, process.worker._speaking

    def spoilt(model: Any, state: Any, slots: torch.Tensor, kv_length: int, codes: torch.Tensor) -> None:
        made = state.frame[slots].clone()
        decode(model, state, slots, kv_length, codes)
        if 1 in speaking:
            codes[(slots == speaking[1].slot) & (made == 2), 0] = 2656

    monkeypatch.setattr(eager_runner, "decode_frame", spoilt)
    process.worker.handle(a_sentence(1))
    process.worker.handle(a_sentence(2))
    process.run()
    assert process.failures() == {1: "the model drew a code that is not speech"}
    assert process.ends()[2] in ("spoken", "budget")
    assert len(process.pcm(2)) > 0
    process.worker._beat_at = 0.0
    process.worker.beat()
    beat = [event for event in process.said if isinstance(event, Beat)][-1]
    assert beat.facts["ends"]["invalid_code"] == 1
    process.said.clear()
    process.worker.handle(a_sentence(3))
    process.run()
    assert process.ends().keys() == {3}
