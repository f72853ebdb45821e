"""`tts_gpu ablation`: each of the seven approved optimizations off and on, in one run on one GPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.gpu.load import Load, drain, percentile, run_calls
from benchmarks.gpu.models import DEVICE, build_model, build_runner, bytes_a_frame, no_tuning
from engine.qwen3.batch.sentence import FRAME_S
from engine.qwen3.cuda import graphs
from engine.qwen3.cuda.graphs import Capture, FrameGraphs, measure
from engine.qwen3.kernels import ahead
from engine.qwen3.model import talker
from engine.qwen3.model.frame import FrameModel, decode_frame
from engine.qwen3.model.layers import run_layer
from engine.qwen3.model.state import DecodeState

CALLS = 64
POSITIONS, FILLED, LOOKED_AT = 320, 200, 256
COMPILE_BUDGET_S = 120.0
"""No compilation is begun later than this."""
SENTENCE_FRAMES = 50
TEXTS = 12


def row(optimization: str, what: str, off: str, on: str) -> None:
    print(f"| {optimization} | {what} | {off} | {on} |", flush=True)


def timed_ms(work: Callable[[], object], repeat: int = 5) -> float:
    """Returns the time to launch and wait, the median of a few."""
    work()
    torch.cuda.synchronize()
    spans = []
    for _ in range(repeat):
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        spans.append((time.perf_counter() - begin) * 1e3)
    return percentile(spans, 50)


def two(one_ms: float, many_ms: float) -> str:
    return f"{one_ms:.2f} / {many_ms:.2f}"


class Frames:
    """One model's frames for one call and for many."""

    def __init__(self, model: FrameModel) -> None:
        self.model = model
        self.state = DecodeState.allocate(model.talker, model.predictor, CALLS, POSITIONS, CALLS)
        self.state.position.fill_(FILLED)

    def plain(self, rows: int) -> Callable[[], None]:
        codes = torch.empty(rows, 16, dtype=torch.int64, device=DEVICE)
        at = torch.arange(rows, device=DEVICE)
        return lambda: decode_frame(self.model, self.state, at, LOOKED_AT, codes)

    def ours_ms(self, graph: bool) -> tuple[float, float]:
        made = FrameGraphs(self.model, self.state, Capture(torch.cuda.Stream(), graph), no_tuning(), CALLS)
        with ahead.compiling():
            made.launch()
        made.build()
        self.state.position.fill_(FILLED)
        slots = list(range(CALLS))
        return timed_ms(lambda: made.run(slots[:1])), timed_ms(lambda: made.run(slots))

    def talker_ms(self, rows: int, layer_of: Callable[..., torch.Tensor]) -> float:
        """Measures the talker's 28 layers in plain PyTorch under a graph, where launching costs nothing."""
        at = torch.arange(rows, device=DEVICE)
        x, positions = self.state.x[at], self.state.position[at]
        weights, cache = self.model.talker, self.state.talker_kv

        def work() -> None:
            talker.step(weights, x, positions, cache, at, LOOKED_AT, layer_of)

        return measure(Capture(torch.cuda.Stream(), True)("the talker", work)) * 1e3


def compiling(frames: Frames) -> None:
    from engine.qwen3.model.compile import CompiledLayer

    what = "28 talker layers of plain PyTorch under a CUDA graph, ms, 1 / 64 calls"
    off = two(frames.talker_ms(1, run_layer), frames.talker_ms(CALLS, run_layer))
    begin = time.perf_counter()
    for mode in ("default", "max-autotune-no-cudagraphs"):
        made = []
        mode_begin = time.perf_counter()
        for rows in (1, CALLS):
            if time.perf_counter() - begin > COMPILE_BUDGET_S:
                made.append(float("nan"))
                continue
            # One layer is compiled; all of them run through it.
            torch._dynamo.reset()
            layer = CompiledLayer(mode)
            made.append(frames.talker_ms(rows, layer))
            if layer.warning():
                made[-1] = float("nan")
                print(layer.warning())
        row(f"torch.compile, {mode}", what, off, f"{two(*made)} ({time.perf_counter() - mode_begin:.0f} s to compile)")
    torch._dynamo.reset()


def pipelining(size: str) -> None:
    """Two sentences of a text. Off: the second is asked for when the first has been played; on: while it is."""
    runner, model = build_runner(size, "none", CALLS)
    hidden = model.talker.stack.hidden
    Load(runner, hidden).warm_voices()
    gaps: dict[bool, list[float]] = {False: [], True: []}
    ends: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(TEXTS):
        for prefetch in (False, True):
            load = Load(runner, hidden)
            begin = time.perf_counter()
            load.say(SENTENCE_FRAMES)
            if prefetch:
                load.say(SENTENCE_FRAMES)
            load.finish()
            if not prefetch:
                load.say(SENTENCE_FRAMES)
                load.finish()
            first, second = sorted(load.done, key=lambda talk: talk.asked_s)
            assert first.begun_s is not None
            assert second.begun_s is not None
            assert second.ended_s is not None
            played = first.begun_s + SENTENCE_FRAMES * FRAME_S
            # Asked for when the first has been played, its own first sound is the gap; else what is left of it then.
            gaps[prefetch].append(max(0.0, second.begun_s - played) if prefetch else second.first_s)
            ends[prefetch].append(second.ended_s - begin)
    for what, values in (
        ("silence between two sentences, ms p50", gaps),
        ("until two sentences of 4 s are made, ms p50", ends),
    ):
        off, on = (f"{percentile(values[prefetch], 50) * 1e3:.1f}" for prefetch in (False, True))
        row("sentence pipelining", what, off, on)


def resampling() -> None:
    """Measures 80 ms of one call, on the CPU, where it is done."""
    from engine.audio import Resampler

    pcm = (np.random.default_rng(1).standard_normal(1920) * 8000).astype(np.int16)
    resampler = Resampler(24000, 8000)
    resampler.push(pcm)
    begin = time.perf_counter()
    for _ in range(1000):
        resampler.push(pcm)
    us = (time.perf_counter() - begin) * 1e3
    row("resampling to 8 kHz", "CPU µs for 80 ms of one call", "0", f"{us:.0f}")
    row("resampling to 8 kHz", "bytes to the caller for 80 ms", "3,840", "1,280")


def with_calls(size: str) -> None:
    """Measures pinned memory and streams: 64 calls for 4 s each."""
    results = {}
    for name, how in (("on", {}), ("ordinary", {"pin": False}), ("one stream", {"separate": False})):
        runner, model = build_runner(size, "none", CALLS, **how)
        hidden = model.talker.stack.hidden
        Load(runner, hidden).warm_voices()
        load, _ = run_calls(runner, hidden, CALLS, 4.0)
        first = [talk.first_s * 1e3 for talk in load.all if talk.begun_s is not None]
        busy = [seconds for seconds in load.steps_s if seconds > 0.0015]  # the others rest: all are ahead
        drain(load)
        host, device = runner._out._buffers.take(), runner.sound._pcm
        # Until the host has it; and how long the host is held up by asking for it.
        copied = timed_ms(lambda host=host, device=device: host.copy_(device, non_blocking=True))
        begin = time.perf_counter()
        host.copy_(device, non_blocking=True)
        asked = (time.perf_counter() - begin) * 1e3
        torch.cuda.synchronize()
        results[name] = (
            f"{percentile(first, 50):.1f} / {percentile(first, 95):.1f}",
            f"{np.mean(busy) * 1e3:.2f}",
            f"{asked:.2f} of {copied:.2f}",
        )
        mib = device.nbytes / 2**20
        del runner, load, model
        gc.collect()
        torch.cuda.empty_cache()
    for name, off in (("pinned memory", "ordinary"), ("streams of their own", "one stream")):
        row(name, "first sound, 64 calls, ms p50 / p95", results[off][0], results["on"][0])
        row(name, "mean ms of a step that had work, 64 calls", results[off][1], results["on"][1])
    row("pinned memory", f"ms that the host waits of a copy of {mib:.0f} MiB", results["ordinary"][2], results["on"][2])


def ablation(size: str) -> None:
    print(f"\n{size}, bfloat16 where nothing else is said; a frame is 80 ms\n")
    print("| optimization | what is measured | off | on |\n| --- | --- | ---: | ---: |")
    frames = Frames(build_model(size, "none"))
    ms = "ms a frame, 1 / 64 calls"
    launched, graphed = frames.ours_ms(False), frames.ours_ms(True)
    plain = timed_ms(frames.plain(1)), timed_ms(frames.plain(CALLS))
    row("CUDA graphs", f"{ms}, plain PyTorch", two(*plain), two(*(_graphed(frames.plain(n)) for n in (1, CALLS))))
    row("CUDA graphs", f"{ms}, our kernels", two(*launched), two(*graphed))
    supported = graphs.pdl.supported
    graphs.pdl.supported = lambda device=None: False  # type: ignore[assignment]
    row("(dependent launch)", f"{ms}, our kernels, graphs", two(*frames.ours_ms(True)), two(*graphed))
    graphs.pdl.supported = supported  # type: ignore[assignment]
    for quantize in ("int8", "fp8"):
        other = Frames(build_model(size, quantize))
        row(quantize, f"{ms}, our kernels, graphs", two(*graphed), two(*other.ours_ms(True)))
        before, after = (bytes_a_frame(m) / 1e9 for m in (frames.model, other.model))
        row(quantize, "GB of weights a frame", f"{before:.2f}", f"{after:.2f}")
        del other
    torch.cuda.empty_cache()
    with_calls(size)
    pipelining(size)
    # Compiling is last: what came after would run with its changed settings.
    for name, part in (("resampling to 8 kHz", resampling), ("torch.compile", lambda: compiling(frames))):
        try:
            part()
        except ImportError as error:  # these two need more than torch and Triton
            row(name, f"not measured: {error}", "", "")


def _graphed(work: Callable[[], None]) -> float:
    return measure(Capture(torch.cuda.Stream(), True)("plain", work)) * 1e3
