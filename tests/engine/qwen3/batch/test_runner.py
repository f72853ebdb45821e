"""Sentences through the batch: the sound is upstream's, and every sentence ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine.audio import resample
from engine.qwen3.batch.eager_runner import EagerRunner
from engine.qwen3.batch.end_guard import frame_budget
from engine.qwen3.batch.runner import Made
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.batch.slots import Slots
from engine.qwen3.messages import Speak
from engine.qwen3.model.checkpoint import Checkpoint
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.model.speakers import cloned_speaker, named_speaker
from tests.engine.qwen3.model.test_frame import GREEDY, a_recording

pytestmark = pytest.mark.usefixtures("no_grad")

SAMPLES = 1920


def a_sentence(checkpoint: Checkpoint, text: str, voice: str = "ryan", sampling: Sampling = GREEDY) -> Sentence:
    ids = checkpoint.tokenizer.text(text)
    prompt = checkpoint.prompts.build(ids, named_speaker(checkpoint, voice), language="english")
    return Sentence(Speak(0, "", "")).build(prompt, sampling, len(ids))


def a_runner(checkpoint: Checkpoint, slots: int = 2, max_positions: int = 256) -> EagerRunner:
    return EagerRunner(Slots(checkpoint.model, checkpoint.codec, slots, max_positions, 128, 2**20))


def finish(runner: EagerRunner) -> list[Made]:
    made: list[Made] = []
    while runner.active:
        made += runner.step()
    return made


def sound_of(made: list[Made], sentence: Sentence) -> np.ndarray:
    return np.concatenate([each.pcm for each in made if each.sentence is sentence])


def test_sound_is_upstream_s(upstream: Any, checkpoint: Any) -> None:
    """Text in, PCM out, in chunks of 1, 2, 4, 8 frames, two sentences side by side."""
    ours, theirs = checkpoint("custom_voice"), upstream("custom_voice")
    texts = ["Hello there, caller.", "Bye"]
    runner = a_runner(ours)
    sentences = [a_sentence(ours, text) for text in texts]
    assert all(runner.admit(sentence) for sentence in sentences)
    made = finish(runner)
    for text, sentence in zip(texts, sentences, strict=True):
        codes, sound = theirs.speak(text, 200, speaker="ryan", language="english")
        mine = sound_of(made, sentence)
        frames = min(len(codes), sentence.budget)
        assert len(mine) == frames * SAMPLES
        assert np.abs(mine / 32767 - sound[: len(mine)]).max() < 1e-4
        sizes = [len(each.pcm) // SAMPLES for each in made if each.sentence is sentence]
        assert sizes[:-1] == [1, 2, 4, *[8] * len(sizes)][: len(sizes) - 1]
        ends = [each.end for each in made if each.sentence is sentence and each.end]
        assert ends == [End.SPOKEN if len(codes) < sentence.budget else End.BUDGET]


def test_a_call_in_narrowband_beside_one_at_the_model_s_rate(checkpoint: Any) -> None:
    """What it hears is what the line's resampler makes of the sentence, though another one left its slot before."""
    ours = checkpoint("custom_voice")
    wide = a_runner(ours)
    sentences = [a_sentence(ours, text) for text in ("Hello there, caller.", "Bye")]
    for sentence in sentences:
        wide.admit(sentence)
    made = finish(wide)
    expected = [sound_of(made, sentence) for sentence in sentences]

    runner = a_runner(ours)
    gone, *both = [a_sentence(ours, text) for text in ("I am cut off.", "Hello there, caller.", "Bye")]
    for sentence in (gone, both[0]):
        sentence.request = replace(sentence.request, narrowband=True)
    runner.admit(gone)
    for _ in range(3):
        runner.step()
    runner.remove(gone)
    for sentence in both:
        assert runner.admit(sentence)
    made = finish(runner)
    np.testing.assert_array_equal(sound_of(made, both[0]), resample(expected[0], 24000, 8000))
    np.testing.assert_array_equal(sound_of(made, both[1]), expected[1])
    assert [each.end for each in made if each.sentence is both[0]][-1] is sentences[0].end


def test_sound_of_a_cloned_voice_goes_on_from_its_recording(upstream: Any, checkpoint: Any) -> None:
    """In context the codec has heard the recording; upstream decodes it again before every sentence and cuts it off."""
    ours, theirs = checkpoint("base"), upstream("base")
    pcm = a_recording()
    clone = theirs.tts.create_voice_clone_prompt((pcm / np.float32(32768), 24000), "I said this.")
    _, sound = theirs.speak("And now this.", 6, clone=clone, language="english")
    speaker = cloned_speaker(ours, "a", pcm, 24000, "I said this.")
    runner = a_runner(ours)
    for _ in range(2):  # the second time from what was kept of the first
        prompt = ours.prompts.build(ours.tokenizer.text("And now this."), speaker, language="english")
        sentence = Sentence(Speak(0, "", "")).build(prompt, GREEDY, 10)
        runner.admit(sentence)
        mine = np.concatenate([each.pcm for _ in range(6) for each in runner.step()])
        runner.remove(sentence)
        assert len(mine) >= 3 * SAMPLES
        assert np.abs(mine[: 3 * SAMPLES] / 32767 - sound[: 3 * SAMPLES]).max() < 1e-4


def test_full_batch_refuses_and_a_removed_call_makes_room(checkpoint: Any) -> None:
    ours = checkpoint("custom_voice")
    runner = a_runner(ours)
    first, second, third = (a_sentence(ours, text) for text in ("One.", "Two.", "Three."))
    assert runner.admit(first)
    assert runner.admit(second)
    assert not runner.admit(third)
    runner.step()
    runner.remove(first)
    assert runner.admit(third), "free at the next frame"
    made = runner.step()
    assert first not in [each.sentence for each in made]
    runner.remove(first)  # once more does no harm
    assert runner.active == 2


def test_budget_ends_what_does_not_end(checkpoint: Any) -> None:
    ours = checkpoint("custom_voice")
    runner = a_runner(ours)
    endless = a_sentence(ours, "Hm")
    runner.admit(endless)
    at = torch.tensor(ours.ids.eos)
    allowed = ours.model.allowed[at].clone()
    ours.model.allowed[at] = False
    try:
        made = finish(runner)
    finally:
        ours.model.allowed[at] = allowed
    assert made[-1].end is End.BUDGET
    assert len(sound_of(made, endless)) == frame_budget(2, 256) * SAMPLES


def test_prompt_that_leaves_no_room_is_refused_with_the_reason(checkpoint: Any) -> None:
    ours = checkpoint("custom_voice")
    slots = Slots(ours.model, ours.codec, 1, 64, 20, 2**20)
    assert slots.check(a_sentence(ours, "Short.").prompt) is None
    assert "MAX_POSITIONS" in (slots.check(a_sentence(ours, "A text of more than twenty tokens.").prompt) or "")
    speaker = named_speaker(ours, "ryan")
    long = ours.prompts.build([1], speaker, instruct_ids=[2] * 60)
    assert "MAX_POSITIONS" in (slots.check(long) or "")
