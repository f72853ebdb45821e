"""The fast runner, on a CPU too: slots, prompts in pieces, ends; its sound is the plain runner's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.qwen3.kernel_support import CUDA, DEVICE, WHY_NOT

if WHY_NOT:
    pytest.skip(WHY_NOT, allow_module_level=True)

from engine.audio import resample
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.cuda.fast_slots import FastSlots
from tests.engine.qwen3.kernels.test_kernels import tiny_model
from tests.support.qwen3.plain_gpu import CODEC, KEPT_BYTES, TEXT, a_sentence, fast, plain, play, pretend, spoil
from tests.support.qwen3.random_codec import random_codec

JOINS = {0: (0, 1), 3: (2,), 40: (3, 4)}
"""Which calls come in which turn."""
CLOSE = 4 if CUDA else 1
"""Steps of 16 bits."""


def apart(one: NDArray[np.int16], other: NDArray[np.int16]) -> int:
    """Returns the largest difference."""
    return int(np.abs(one.astype(int) - other).max(initial=0))


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        yield


def test_cloned_voices_sound_as_from_the_plain_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Long and short recordings, new and kept, side by side and in slots that others had."""
    results = []
    for runner in (plain(3), fast(monkeypatch, tmp_path, 3)):
        joins = {
            0: [a_sentence(0), a_sentence(1, 1, reference=33)],
            3: [a_sentence(2, 2, reference=71)],
            40: [a_sentence(3, 1, reference=33), a_sentence(4), a_sentence(5, 2, reference=71)],
        }
        results.append(play(runner, joins, {0: 13, 1: 20, 2: 7, 3: 20, 4: 5, 5: 9}))
    (expected, ends), (sound, fast_ends) = results
    assert fast_ends == ends
    for number, pcm in expected.items():
        assert sound[number].shape == pcm.shape
        assert apart(sound[number], pcm) <= CLOSE


def test_calls_in_narrowband_go_with_others_in_the_same_batches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    budgets = {0: 13, 1: 20, 2: 7, 3: 1, 4: 16}

    def joins(*wide: int) -> dict[int, list[Sentence]]:
        return {at: [a_sentence(each, narrowband=each not in wide) for each in which] for at, which in JOINS.items()}

    expected, expected_ends = play(plain(3), joins(*budgets), budgets)
    sound, ends = play(fast(monkeypatch, tmp_path, 3), joins(1), budgets)
    assert ends == expected_ends
    for number, pcm in expected.items():
        wanted = pcm if number == 1 else resample(pcm, 24000, 8000)
        assert sound[number].shape == wanted.shape
        assert apart(sound[number], wanted) <= CLOSE


def test_a_clone_that_leaves_before_it_is_ready_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path, 1)
    gone = a_sentence(0, 1, reference=71)
    assert runner.admit(gone)
    runner.step()
    runner.remove(gone)
    assert runner.active == 0
    heard, _ = play(runner, {0: [a_sentence(1, 1, reference=71)]}, {1: 9})
    expected, _ = play(plain(1), {0: [a_sentence(1, 1, reference=71)]}, {1: 9})
    assert apart(heard[1], expected[1]) <= CLOSE


def test_a_removed_call_frees_its_place_and_is_heard_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = fast(monkeypatch, tmp_path, 1)
    first, second = a_sentence(0), a_sentence(1)
    assert runner.admit(first)
    assert not runner.admit(second)
    for _ in range(3):
        runner.step()
    runner.remove(first)
    runner.remove(first)
    assert runner.active == 0
    heard, ends = play(runner, {0: [second]}, {1: 9})
    expected, _ = play(plain(1), {0: [a_sentence(1)]}, {1: 9})
    assert set(heard) == {1}
    assert ends == {1: End.BUDGET}
    assert apart(heard[1], expected[1]) <= CLOSE


@pytest.mark.skipif(CUDA, reason="its tolerance has been tried without a GPU only")
@pytest.mark.parametrize("seed", [0, 3])
def test_whatever_comes_and_goes_beside_it_each_sounds_as_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    """New and kept voices and clones; some cut short."""
    random = Random(seed)
    alone, runner = plain(1), fast(monkeypatch, tmp_path, 3)
    for each in (alone, runner):
        each._slots.model.allowed[each._slots.model.eos] = False
    kinds = [(random.randint(0, 2), random.choice((0, 0, 33)), random.randint(6, 20)) for _ in range(8)]
    expected = [
        play(alone, {0: [a_sentence(number, voice, frames)]}, {number: budget})[0][number]
        for number, (voice, frames, budget) in enumerate(kinds)
    ]
    heard = [np.zeros(0, np.int16) for _ in kinds]
    coming, live, cut_short = deque(range(len(kinds))), dict[int, Sentence](), set[int]()
    while coming or live:
        if coming and random.random() < 0.3:
            call = a_sentence(coming[0], *kinds[coming[0]][:2])
            if runner.admit(call):
                call.budget = kinds[call.number][2]
                live[coming.popleft()] = call
        for number, call in list(live.items()):
            if random.random() < 0.002:
                runner.remove(call)
                cut_short.add(number)
                del live[number]
        for made in runner.step():
            number = made.sentence.number
            assert number in live, "it has left"
            heard[number] = np.concatenate((heard[number], made.pcm))
            if made.end is not None:
                del live[number]
    for number, (sound, whole) in enumerate(zip(heard, expected, strict=True)):
        assert len(sound) <= len(whole) if number in cut_short else len(sound) == len(whole)
        assert apart(sound, whole[: len(sound)]) <= CLOSE
    assert runner.active == 0


def test_positions_that_the_tables_do_not_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, model = pretend(monkeypatch), tiny_model(64, False)
    codec = random_codec(DEVICE, torch.float32, CODEC)
    with pytest.raises(ValueError, match="MAX_POSITIONS=97 is more than the model's tables hold, 96"):
        FastSlots(model, codec, 1, 97, TEXT, KEPT_BYTES, streams)


@pytest.mark.skipif(CUDA, reason="a captured frame cannot be made to draw what it may not")
@pytest.mark.parametrize("made_by", ["plain", "fast"])
@pytest.mark.parametrize(("at", "code"), [(0, 64), (0, 1087), (0, -1), (3, 64)])
def test_a_code_that_may_not_be_drawn_ends_its_own_sentence_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made_by: str, at: int, code: int
) -> None:
    """Nothing of that frame is heard, its neighbour sounds as alone, and its place is free again."""
    runner = plain(2) if made_by == "plain" else fast(monkeypatch, tmp_path, 2)
    expected, _ = play(plain(1), {0: [a_sentence(1)]}, {1: 12})
    sick, well = a_sentence(0), a_sentence(1)
    spoil(monkeypatch, runner, 0, 5, at, code)  # the first to come has the first slot
    heard, ends = play(runner, {0: [sick, well]}, {0: 12, 1: 12})
    assert ends == {0: End.INVALID_CODE, 1: End.BUDGET}
    assert len(heard[0]) <= 5 * len(heard[1]) // 12
    assert apart(heard[1], expected[1]) <= CLOSE
    assert runner.admit(a_sentence(2))
    assert runner.admit(a_sentence(3))


@pytest.mark.skipif(CUDA, reason="a captured frame cannot be made to draw an end")
@pytest.mark.parametrize("made_by", ["plain", "fast"])
@pytest.mark.parametrize("budget", [6, 20])
def test_an_end_counts_in_the_last_frame_of_the_budget_too_and_nothing_drawn_after_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made_by: str, budget: int
) -> None:
    """The fast runner sees an end one frame late: the frame made meanwhile is neither heard nor looked at."""
    expected, _ = play(plain(1), {0: [a_sentence(0)]}, {0: 5})
    runner = plain(1) if made_by == "plain" else fast(monkeypatch, tmp_path, 1)
    spoil(monkeypatch, runner, 0, 5, 0, runner._slots.model.eos)
    spoil(monkeypatch, runner, 0, 6, 0, -1)
    heard, ends = play(runner, {0: [a_sentence(0)]}, {0: budget})
    assert ends == {0: End.SPOKEN}
    assert heard[0].shape == expected[0].shape
    assert apart(heard[0], expected[0]) <= CLOSE
    assert runner.active == 0
    assert runner._slots.free == 1
