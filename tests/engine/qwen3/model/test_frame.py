"""Greedy in float32, our modules give upstream's codes exactly: alone, and in batches that change at every frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.qwen3.batch.slots import Slots, kv_length
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.model.frame import decode_frame
from engine.qwen3.model.prompt import Prompt, Speaker
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.speakers import cloned_speaker, designed_speaker, named_speaker

GREEDY = Sampling(temperature=0.0, sub_temperature=0.0)
FRAMES = 24
REFERENCE_TEXT = "I said this."

pytestmark = pytest.mark.usefixtures("no_grad")


def a_recording(seconds: float = 2.0) -> np.ndarray:
    """A buzz with a moving pitch: something for the encoders to chew on."""
    t = np.arange(int(24000 * seconds)) / 24000
    sound = sum(np.sin(2 * np.pi * k * (140 * t + 8 * np.sin(3 * t))) / k for k in range(1, 12))
    return (np.asarray(sound) * 4000).astype(np.int16)


@dataclass
class Call:
    """One call of a test's batch: when it joins, what it is to give."""

    prompt: Prompt
    expected: Tensor
    joins: int = 0
    slot: int = -1
    position: int = 0
    codes: list[Tensor] = field(default_factory=list)
    over: bool = False


def run(checkpoint: Checkpoint, calls: list[Call], slots: Slots) -> None:
    """Frame after frame until every call has ended or has as many frames as expected."""
    frame = 0
    while not all(call.over for call in calls):
        for call in calls:
            if call.joins == frame:
                call.slot = slots.take(call.prompt, GREEDY)
                call.position = len(call.prompt.embeds) - 1
        active = [call for call in calls if call.slot >= 0]
        frame += 1
        if not active:
            continue
        # A bucket of 4 rows, filled up with the scratch slot, as a graph would have it.
        rows = [call.slot for call in active] + [slots.state.scratch] * (-len(active) % 4)
        codes = torch.full((len(rows), 16), -1)
        length = kv_length(max(call.position for call in active) + 1, slots.state.talker_kv.max_positions)
        decode_frame(checkpoint.model, slots.state, torch.tensor(rows), length, codes)
        for call, row in zip(active, codes, strict=False):
            call.position += 1
            ended = int(row[0]) == checkpoint.ids.eos
            if not ended:
                call.codes.append(row.clone())
            if ended or len(call.codes) == FRAMES:
                call.over = True
                slots.release(call.slot)
                call.slot = -1


def check(calls: list[Call]) -> None:
    for call in calls:
        got = torch.stack(call.codes) if call.codes else torch.zeros(0, 16, dtype=torch.int64)
        assert got.tolist() == call.expected.tolist()


def make_slots(checkpoint: Checkpoint, slots: int = 6) -> Slots:
    return Slots(checkpoint.model, checkpoint.codec, slots, 256, 128, 2**20)


def build(checkpoint: Checkpoint, text: str, speaker: Speaker, **how: Any) -> Prompt:
    return checkpoint.prompts.build(checkpoint.tokenizer.text(text), speaker, **how)


@pytest.mark.parametrize("wide", [False, True], ids=["0.6B", "1.7B"])
@pytest.mark.parametrize("language", ["english", None])
def test_named_voice(upstream: Any, checkpoint: Any, wide: bool, language: str | None) -> None:
    ours = checkpoint("custom_voice", wide)
    text = "Good morning, how may I help you?"
    expected = upstream("custom_voice", wide).codes(text, FRAMES, speaker="ryan", language=language)
    call = Call(build(ours, text, named_speaker(ours, "ryan"), language=language), expected)
    assert len(call.prompt.embeds) == (10 if language else 9)
    run(ours, [call], make_slots(ours))
    check([call])


def test_dialect_of_a_speaker(upstream: Any, checkpoint: Any) -> None:
    ours = checkpoint("custom_voice")
    expected = upstream("custom_voice").codes("Ni hao.", FRAMES, speaker="eric", language="chinese")
    call = Call(build(ours, "Ni hao.", named_speaker(ours, "eric"), language="chinese"), expected)
    run(ours, [call], make_slots(ours))
    check([call])


@pytest.mark.parametrize("kind", ["custom_voice", "voice_design"])
def test_instruction(upstream: Any, checkpoint: Any, kind: str) -> None:
    ours = checkpoint(kind, True)
    how = {"instruct": "Whisper, as if it were late.", "language": "german"}
    speaker = named_speaker(ours, "sohee") if kind == "custom_voice" else designed_speaker()
    names = {"speaker": "sohee"} if kind == "custom_voice" else {}
    expected = upstream(kind, True).codes("Guten Abend.", FRAMES, **names, **how)
    instruct = ours.tokenizer.instruction(how["instruct"])
    call = Call(build(ours, "Guten Abend.", speaker, language="german", instruct_ids=instruct), expected)
    run(ours, [call], make_slots(ours))
    check([call])


@pytest.mark.parametrize("text", ["Hi.", "A text that is a good deal longer than the recording was, on purpose."])
@pytest.mark.parametrize("in_context", [False, True], ids=["x-vector", "in context"])
def test_cloned_voice(upstream: Any, checkpoint: Any, text: str, in_context: bool) -> None:
    ours, theirs = checkpoint("base"), upstream("base")
    pcm = a_recording()
    told = REFERENCE_TEXT if in_context else None
    clone = theirs.tts.create_voice_clone_prompt((pcm / np.float32(32768), 24000), told, not in_context)
    expected = theirs.codes(text, FRAMES, clone=clone, language="english")
    speaker = cloned_speaker(ours, told or "x-vector", pcm, 24000, told)
    call = Call(build(ours, text, speaker, language="english"), expected)
    run(ours, [call], make_slots(ours))
    check([call])


def test_a_batch_that_changes_all_the_time(upstream: Any, checkpoint: Any) -> None:
    """Different prompts, lengths and languages; calls join and leave at different frames; slots are used again."""
    ours, theirs = checkpoint("custom_voice"), upstream("custom_voice")
    slots = make_slots(ours, slots=5)
    voices = ["ryan", "vivian", "eric", "sohee"]
    languages = ["english", None, "french"]
    calls = []
    for i, text in enumerate(
        [
            "One.",
            "Two words.",
            "Now three words.",
            "Hello there, caller.",
            "Ça va?",
            "A number: 4711.",
            "Bye",
            "Yes, yes, yes.",
        ]
    ):
        speaker, language = voices[i % 4], languages[i % 3]
        expected = theirs.codes(text, FRAMES, speaker=speaker, language=language)
        prompt = build(ours, text, named_speaker(ours, speaker), language=language)
        calls.append(Call(prompt, expected, joins=[0, 0, 3, 4, 9, 30, 31, 40][i]))
    assert len({len(call.expected) for call in calls}) > 2, "they are meant to end at different times"
    run(ours, calls, slots)
    check(calls)
    assert slots.free == 5


def test_kept_prefix_gives_the_same_codes(upstream: Any, checkpoint: Any) -> None:
    """The second sentence in a voice prefills nothing: its first nine positions are copied."""
    ours = checkpoint("custom_voice")
    slots = make_slots(ours)
    for text in ("The first one.", "Another."):
        expected = upstream("custom_voice").codes(text, FRAMES, speaker="aiden", language="english")
        call = Call(build(ours, text, named_speaker(ours, "aiden"), language="english"), expected)
        assert call.prompt.constant == len(call.prompt.embeds) - 1
        assert (slots.prefixes.get(call.prompt.key) is None) == (text == "The first one.")
        run(ours, [call], slots)
        check([call])


def test_sampling_is_the_call_s_own(checkpoint: Any) -> None:
    """A seed gives the same codes alone and beside others, and another seed gives others."""
    ours = checkpoint("custom_voice")
    prompt = build(ours, "Roll the dice.", named_speaker(ours, "ryan"), language="english")

    def sample(seeds: list[int]) -> list[list[list[int]]]:
        slots = make_slots(ours)
        at = torch.tensor([slots.take(prompt, Sampling(seed=seed)) for seed in seeds])
        out = []
        for _ in range(6):
            codes = torch.zeros(len(seeds), 16, dtype=torch.int64)
            decode_frame(ours.model, slots.state, at, 64, codes)
            out.append(codes.tolist())
        return [[frame[i] for frame in out] for i in range(len(seeds))]

    together = sample([7, 8, 2**62 + 5])
    assert together[0] != together[1]
    assert [sample([7])[0], sample([2**62 + 5])[0]] == [together[0], together[2]]
