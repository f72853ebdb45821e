"""`tts_gpu calls`, `cancel` and `icl`: first sound, lateness and cancelling, alone and with many calls."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from benchmarks.gpu.load import Load, a_sentence, drain, percentile, run_calls
from benchmarks.gpu.models import DEVICE, build_runner
from engine.qwen3.model.prompt import Prompt

ALONE = 100
CANCELS = 50
REFERENCE_FRAMES = 125
"""The frames of the recording: 10 s."""
REFERENCE_TOKENS = 40
"""The tokens of what is said in the recording."""
BEFORE_REFERENCE = 9
ICL_CALLS = 64
ICL_EVERY_S = 0.25


def calls(size: str, quantize: str, counts: Sequence[int], slots: int, seconds: float) -> None:
    begin = time.perf_counter()
    runner, model = build_runner(size, quantize, slots)
    hidden = model.talker.stack.hidden
    torch.cuda.synchronize()
    print(
        f"\n{size} {quantize}: ready for {slots} calls in {time.perf_counter() - begin:.1f} s; capacity by measure "
        f"{runner.scheduler.capacity}; {runner.graphs} graphs; warnings {runner.warnings}; "
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most"
    )
    first_s = Load(runner, hidden).warm_voices()
    print(f"first sound of the first sentence in a voice, whose prefix is not kept yet: {first_s * 1e3:.1f} ms")
    print("calls   first sound ms p50   p95   sentences   late   worst late ms   refused   steps a s   load")
    for count in counts:
        if count == 1:
            load, refused = Load(runner, hidden), 0
            for _ in range(ALONE):
                load.say(12)
                load.finish()
        else:
            load, refused = run_calls(runner, hidden, count, seconds)
        first = [talk.first_s * 1e3 for talk in load.all if talk.begun_s is not None]
        late = [talk.late_s for talk in load.all if talk.late_s > 0]
        print(
            f"{count:5d} {percentile(first, 50):15.1f} {percentile(first, 95):9.1f} {len(first):11d} {len(late):6d}"
            f" {max(late, default=0) * 1e3:13.1f} {refused:9d} {len(load.steps_s) / sum(load.steps_s):11.0f}"
            f" {runner.scheduler.use.load(time.monotonic()):6.2f}"
        )
        drain(load)


def cancel(size: str) -> None:
    runner, model = build_runner(size, "none", ICL_CALLS)
    load = Load(runner, model.talker.stack.hidden)
    spans = []
    for _ in range(CANCELS):
        while runner.active < ICL_CALLS - 1:
            load.say(75)
        sentence = load.say(75)
        assert sentence is not None
        for _ in range(4):
            load.step()
        begin = time.perf_counter()
        runner.remove(sentence)
        spans.append((time.perf_counter() - begin) * 1e3)
        load.talks.pop(sentence.number, None)
        assert not runner.holds(sentence)
    print(
        f"cancel, {ICL_CALLS} calls: the slot is free after {percentile(spans, 50):.3f} ms (p95 "
        f"{percentile(spans, 95):.3f}); no step begun later has the call in it"
    )


def _clone(hidden: int, voice: int) -> Prompt:
    """Returns a prompt as `PromptBuilder` makes it in context: the recording's words, then ours, beside its codes."""
    embeds = torch.randn(BEFORE_REFERENCE + REFERENCE_FRAMES + 1, hidden, device=DEVICE).bfloat16()
    codes = torch.randint(0, 2048, (REFERENCE_FRAMES, 16), device=DEVICE)
    return Prompt(embeds, BEFORE_REFERENCE + REFERENCE_TOKENS, ("clone", voice), embeds[:8], codes)


def _row(name: str, values_s: Sequence[float]) -> None:
    ms = [value * 1e3 for value in values_s]
    print(f"{name:56s} {percentile(ms, 50):8.1f} {percentile(ms, 95):8.1f} {len(ms):6d}")


def icl(size: str, seconds: float) -> None:
    """Measures a voice cloned in context from 10 s of recording: its first sound, and its effect on running calls."""
    runner, model = build_runner(size, "none", 2 * ICL_CALLS, 384)
    hidden = model.talker.stack.hidden
    print(f"\n{size}, a clone from a recording of 10 s: first sound, ms                p50      p95      n")
    load = Load(runner, hidden)
    load.warm_voices()
    new, kept = [], []
    for voice in range(20):
        prompt = _clone(hidden, voice)
        torch.cuda.synchronize()
        for spans in (new, kept):
            load.done.clear()
            load.speak(prompt, 12, time.perf_counter())
            load.finish()
            spans.append(load.done[0].first_s)
    _row("alone, a new recording", new)
    _row("alone, its first part kept from the last sentence", kept)
    quiet, _ = run_calls(runner, hidden, ICL_CALLS, seconds)
    drain(quiet)
    # The same calls again, and a clone from a new recording four times a second.
    load = Load(runner, hidden)
    for _ in range(ICL_CALLS):
        load.say(a_sentence(load))
    prompts = [_clone(hidden, 1000 + i) for i in range(int(seconds / ICL_EVERY_S))]
    torch.cuda.synchronize()
    begin = time.perf_counter()
    while (now := time.perf_counter() - begin) < seconds:
        if prompts and now >= ICL_EVERY_S * (int(seconds / ICL_EVERY_S) - len(prompts)):
            load.speak(prompts.pop(), 40, time.perf_counter())
        for talk in load.step():
            if not talk.cloned:
                load.say(a_sentence(load))
    _row(f"with {ICL_CALLS} calls that speak, a new recording", [t.first_s for t in load.all if t.cloned and t.begun_s])
    for name, loaded in (("without clones", quiet), ("with four new clones a second", load)):
        running = [talk for talk in loaded.all if not talk.cloned and talk.begun_s]
        late = [talk.late_s * 1e3 for talk in running if talk.late_s > 0]
        longest, p99 = max(loaded.steps_s) * 1e3, percentile(loaded.steps_s, 99) * 1e3
        print(
            f"the {ICL_CALLS} calls {name}: {len(running)} sentences, {len(late)} late, "
            f"worst {max(late, default=0):.1f} ms; longest step {longest:.1f} ms, p99 {p99:.1f}"
        )
    drain(load)
