"""What the Qwen3-TTS engine takes on this GPU: ms a frame, first sound, calls, start-up, memory; peers beside it.

    python -m benchmarks.tts_gpu frames sound calls cancel memory ablation start peers [--size 0.6B] [--quantize none]

Weights are drawn at random in the true sizes: speed does not depend on their values. What is not measured: real text
and voices (no checkpoint is needed), the pipes between processes, and the telephone side.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from engine.qwen3 import codec as eager_codec
from engine.qwen3 import graph_runner, graphs
from engine.qwen3.choices import Choices
from engine.qwen3.fast_slots import FastSlots
from engine.qwen3.frame import FrameModel, decode_frame
from engine.qwen3.graph_runner import GraphRunner
from engine.qwen3.graphs import Capture, FrameGraphs, measure
from engine.qwen3.kernels.codec import FastCodec
from engine.qwen3.memory import Streams
from engine.qwen3.prompt import Prompt
from engine.qwen3.quantize import convert, to_fp8, to_int8
from engine.qwen3.random_codec import random_codec
from engine.qwen3.random_weights import PREDICTOR_SIZE, TALKER_SIZES, random_weights
from engine.qwen3.runner import EagerRunner, Utterance
from engine.qwen3.scheduler import FRAME_S
from engine.qwen3.slots import Sampling
from engine.qwen3.state import DecodeState

DEVICE = torch.device("cuda")
EOS = 2150
VOICES = 18  # nine voices in two languages
PROMPT_POSITIONS = 10
RTX_4060_TB_S = 0.272


def build_model(size: str, quantize: str) -> FrameModel:
    talker, predictor = random_weights(TALKER_SIZES[size], PREDICTOR_SIZE, DEVICE, torch.bfloat16)
    model = FrameModel.build(talker, predictor, torch.randn(talker.stack.hidden, device=DEVICE).bfloat16() * 0.1, EOS)
    model.allowed[EOS] = False  # each sentence is as long as the benchmark wants it
    convert_to = {"none": None, "int8": to_int8, "fp8": to_fp8}[quantize]
    return model if convert_to is None else convert(model, convert_to)


def bytes_a_frame(model: FrameModel) -> int:
    """Weights that one frame reads at batch 1: the talker once, the predictor's layers 15 times, its heads once."""
    talker = sum(m.nbytes for y in model.talker.stack.layers for m in (y.qkv, y.o, y.gate_up, y.down))
    predictor = sum(m.nbytes for y in model.predictor.stack.layers for m in (y.qkv, y.o, y.gate_up, y.down))
    heads = model.talker.head.nbytes + sum(head.nbytes for head in model.predictor.heads)
    return talker + 15 * predictor + heads


def copy_bandwidth_tb_s() -> float:
    source = torch.randint(0, 127, (2**31,), dtype=torch.int8, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / measure(lambda: target.copy_(source)) / 1e12  # type: ignore[arg-type, return-value]


@dataclass
class Talk:
    """One sentence as its caller hears it."""

    asked_s: float
    frames: int
    first_s: float | None = None
    heard: int = 0
    late_s: float = 0.0


@dataclass
class Load:
    """Calls that come at random and stay; each speaks sentences one after the other without a pause."""

    runner: GraphRunner | EagerRunner
    hidden: int
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    talks: dict[int, Talk] = field(default_factory=dict)
    done: list[Talk] = field(default_factory=list)
    numbers: int = 0
    steps_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        generator = torch.Generator(DEVICE).manual_seed(5)
        shape = (VOICES, PROMPT_POSITIONS, self.hidden)
        self._prefix = list(torch.randn(shape, device=DEVICE, generator=generator).bfloat16())
        self._text = torch.randn(48, self.hidden, device=DEVICE).bfloat16()

    def say(self, frames: int, asked_s: float | None = None) -> Utterance | None:
        """Text handed over: the prompt is built as the engine builds it, from embeddings on the device."""
        asked = time.perf_counter() if asked_s is None else asked_s
        voice = self.numbers % VOICES
        prompt = Prompt(self._prefix[voice], PROMPT_POSITIONS - 1, voice, self._text[:32], None)
        utterance = Utterance(self.numbers, prompt, Sampling(seed=self.numbers), 100)
        if not self.runner.admit(utterance):
            return None
        utterance.budget = frames
        self.talks[utterance.number] = Talk(asked, frames)
        self.numbers += 1
        return utterance

    def step(self) -> int:
        """One step; returns how many sentences ended in it."""
        begin, ended = time.perf_counter(), 0
        for made in self.runner.step():
            now, talk = time.perf_counter(), self.talks[made.utterance.number]
            if talk.first_s is None:
                talk.first_s = now - talk.asked_s
                talk_begun[made.utterance.number] = now
            elif made.pcm.size:
                talk.late_s = max(talk.late_s, now - talk_begun[made.utterance.number] - talk.heard * FRAME_S)
            talk.heard += made.pcm.size // 1920
            if made.end is not None:
                self.done.append(self.talks.pop(made.utterance.number))
                ended += 1
        self.steps_s.append(time.perf_counter() - begin)
        return ended


talk_begun: dict[int, float] = {}


def run_calls(runner: GraphRunner, hidden: int, calls: int, seconds: float) -> tuple[Load, int]:
    """Calls come at random within two seconds, then each goes on to its next sentence (2 to 6 s) as one ends."""
    load = Load(runner, hidden)
    arrivals = sorted(load.generator.uniform(0, 2.0, calls).tolist())
    begin = time.perf_counter()
    refused = 0
    while (now := time.perf_counter() - begin) < seconds:
        while arrivals and arrivals[0] <= now:
            refused += load.say(int(load.generator.integers(25, 75)), begin + arrivals.pop(0)) is None
        for _ in range(load.step()):
            refused += load.say(int(load.generator.integers(25, 75))) is None
    return load, refused


def drain(load: Load) -> None:
    for utterance in [call.utterance for call in list(load.runner._calls.values())]:  # type: ignore[union-attr]
        load.runner.remove(utterance)
    while load.runner.step():
        pass


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(values, share)) if len(values) else float("nan")


def build_runner(
    size: str, quantize: str, slots: int, positions: int = 192, **how: object
) -> tuple[GraphRunner, FrameModel]:
    """`how`: separate (streams), graphs, pin, choices."""
    model = build_model(size, quantize)
    streams = Streams.make(DEVICE, bool(how.pop("separate", True)))
    fast = FastSlots(model, random_codec(DEVICE, torch.float32), slots, positions, 64, 2**28, streams)
    choices = how.pop("choices", None) or Choices("benchmark", Path(tempfile.mkdtemp()))
    return GraphRunner(fast, choices, **how), model  # type: ignore[arg-type]


def frames(size: str, quantize: str, largest: int) -> None:
    model = build_model(size, quantize)
    state = DecodeState.allocate(model.talker, model.predictor, largest, 320, 64)
    for layer in state.talker_kv.kv:
        layer.normal_()
    state.x.normal_()
    state.seed.copy_(torch.arange(largest + 1))
    made = FrameGraphs(
        model, state, Capture(torch.cuda.Stream(), True), Choices("x", Path(tempfile.mkdtemp())), largest
    )
    made.build()
    per_frame, bandwidth = bytes_a_frame(model), copy_bandwidth_tb_s()
    print(f"\n{size} {quantize}: {per_frame / 1e9:.2f} GB of weights a frame; copy {bandwidth:.2f} TB/s")
    print("batch   ms a frame   x realtime each   in total   weights read at   made by")
    for rows in made.sizes:
        ms, variant = made.seconds[rows] * 1e3, made.variants[rows]
        print(
            f"{rows:5d} {ms:12.3f} {80 / ms:17.1f} {rows * 80 / ms:10.0f}"
            f" {per_frame / ms / 1e9:12.2f} TB/s   {variant.kind} {variant.tile_bytes or ''}"
        )
    share = per_frame / made.seconds[1] / 1e12 / bandwidth
    estimate = per_frame / (RTX_4060_TB_S * 1e12 * min(0.85, max(share, 0.7))) * 1e3
    print(f"RTX 4060, an ESTIMATE from bytes at 70 to 85 % of 0.272 TB/s: {estimate:.1f} ms, {80 / estimate:.1f} x")


def sound() -> None:
    wide = random_codec(DEVICE, torch.float32)
    state = eager_codec.CodecState.allocate(wide, 4)
    generator = torch.Generator(DEVICE).manual_seed(3)
    codes = torch.randint(0, 2048, (2, 48, 16), generator=generator, device=DEVICE)
    at = torch.tensor([2, 0], device=DEVICE)
    reference = torch.cat([eager_codec.decode(wide, state, at, c) for c in codes.split(8, dim=1)], dim=1)
    for dtype in (torch.float16, torch.bfloat16):
        fast = FastCodec(wide, 4, 2, dtype=dtype)
        parts = []
        for c in codes.split(8, dim=1):
            part = torch.full((2, 8 * 1920), float("nan"), device=DEVICE)
            fast.decode(at, c.contiguous(), part)
            parts.append(part)
        error = (torch.cat(parts, dim=1) - reference).square().mean()
        print(f"codec in {dtype}: {10 * torch.log10(reference.square().mean() / error).item():.1f} dB over its error")
    del fast
    fast = FastCodec(wide, 512, 256, dtype=torch.float16)
    history = torch.randint(0, 2048, (513, 32, 16), device=DEVICE)
    made = graphs.SoundGraphs(fast, history, Capture(torch.cuda.Stream(), True), 512)
    made.build()
    print("calls x frames   ms   us a call and frame")
    for (rows, count), seconds in sorted(made.seconds.items()):
        print(f"{rows:5d} x {count:d} {seconds * 1e3:12.3f} {seconds / rows / count * 1e6:12.1f}")


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
    voices = Load(runner, hidden)
    for _ in range(VOICES):
        voices.say(2)
        while voices.talks:
            voices.step()
    first = percentile([t.first_s * 1e3 for t in voices.done[1:] if t.first_s], 50)
    print(f"first sound of the first sentence in a voice, whose prefix is not kept yet: {first:.1f} ms")
    print("calls   first sound ms p50   p95   sentences   late   worst late ms   refused   steps a s   load")
    for count in counts:
        if count == 1:
            load, refused = Load(runner, hidden), 0
            for _ in range(100):
                load.say(12)
                while load.talks:
                    load.step()
        else:
            load, refused = run_calls(runner, hidden, count, seconds)
        talks = [*load.done, *load.talks.values()]
        first = [t.first_s * 1e3 for t in talks if t.first_s is not None]
        late = [t for t in talks if t.late_s > 0]
        worst = max((t.late_s for t in talks), default=0) * 1e3
        print(
            f"{count:5d} {percentile(first, 50):15.1f} {percentile(first, 95):9.1f} {len(first):11d} {len(late):6d}"
            f" {worst:13.1f} {refused:9d} {len(load.steps_s) / sum(load.steps_s):11.0f} {runner.scheduler.load:6.2f}"
        )
        drain(load)


def memory(size: str) -> None:
    """What 16 calls take with int8 weights, sentences of up to 60 s, beside the framework's own few hundred MB."""
    runner, _ = build_runner(size, "int8", 16, 768)
    gc.collect()
    torch.cuda.empty_cache()
    slots = runner._slots
    parts = {"keys and values": slots.state.talker_kv.kv.nbytes, "other state": slots.state.nbytes
             - slots.state.talker_kv.kv.nbytes, "codec's state and buffers": slots.fast_codec.nbytes}  # fmt: skip
    print(f"{size} int8, 16 calls: {torch.cuda.memory_allocated() / 2**30:.2f} GiB in tensors,",
          f"{torch.cuda.memory_reserved() / 2**30:.2f} GiB reserved;",
          ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in parts.items()))  # fmt: skip


def cancel(size: str) -> None:
    runner, model = build_runner(size, "none", 64)
    load = Load(runner, model.talker.stack.hidden)
    for _ in range(63):
        load.say(75)
    spans = []
    for _ in range(50):
        utterance = load.say(75)
        assert utterance is not None
        for _ in range(4):
            load.step()
        begin = time.perf_counter()
        runner.remove(utterance)
        free = runner._slots.free
        load.talks.pop(utterance.number, None)
        spans.append((time.perf_counter() - begin) * 1e3)
        assert free >= 1
        for _ in range(64 - runner.active - 1):
            load.say(75)
    print(
        f"cancel, 64 calls: the slot is free after {percentile(spans, 50):.3f} ms (p95 {percentile(spans, 95):.3f});"
        f" no step begun later has the call in it"
    )


def ablation(size: str) -> None:
    print("\nbatch     1        64     (ms a frame; sound of 64 x 4 in ms)")
    model = build_model(size, "none")
    state = DecodeState.allocate(model.talker, model.predictor, 64, 320, 64)
    state.position.fill_(200)
    wide = random_codec(DEVICE, torch.float32)

    def timed(work: Callable[[], object], repeat: int = 5) -> float:
        work()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(repeat):
            work()
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / repeat * 1e3

    def eager(rows: int) -> Callable[[], None]:
        codes = torch.empty(rows, 16, dtype=torch.int64, device=DEVICE)
        at = torch.arange(rows, device=DEVICE)
        return lambda: decode_frame(model, state, at, 256, codes)

    codec_state = eager_codec.CodecState.allocate(wide, 64)
    codes4 = torch.randint(0, 2048, (64, 4, 16), device=DEVICE)
    at64 = torch.arange(64, device=DEVICE)
    line = "{:44s} {:8.2f} {:8.2f} {:10.2f}"
    print(
        line.format(
            "plain PyTorch, launched one by one",
            timed(eager(1)),
            timed(eager(64)),
            timed(lambda: eager_codec.decode(wide, codec_state, at64, codes4)),
        )
    )
    graphed = [Capture(torch.cuda.Stream(), True)("plain", eager(rows)) for rows in (1, 64)]
    print(line.format("… under CUDA graphs", *[measure(g) * 1e3 for g in graphed], float("nan")))
    fast = FastCodec(wide, 64, 64, dtype=torch.float16)
    pcm = torch.empty(64, 4 * 1920, device=DEVICE)
    for name, graph, dependent in (
        ("our kernels, launched one by one", False, False),
        ("our kernels under CUDA graphs", True, False),
        ("… and dependent launch", True, True),
    ):
        allowed = graphs.pdl.supported
        graphs.pdl.supported = lambda device=None, on=dependent: on  # type: ignore[assignment]
        made = FrameGraphs(
            model, state, capture := Capture(torch.cuda.Stream(), graph), Choices("x", Path(tempfile.mkdtemp())), 64
        )
        made.build()
        graphs.pdl.supported = allowed  # type: ignore[assignment]
        decode = capture("sound", lambda: fast.decode(at64, codes4, pcm))
        state.position.fill_(200)
        print(line.format(name, timed(made._replays[1]), timed(made._replays[64]), timed(decode)))
    for quantize in ("int8", "fp8"):
        other = build_model(size, quantize)
        made = FrameGraphs(other, state, Capture(torch.cuda.Stream(), True), Choices("x", Path(tempfile.mkdtemp())), 64)
        made.build()
        state.position.fill_(200)
        print(
            line.format(f"… with {quantize} weights", timed(made._replays[1]), timed(made._replays[64]), float("nan"))
        )
        del other, made
    torch.cuda.empty_cache()
    print("64 calls, 4 s each:            first sound ms p50   p95   ms a step")
    for name, how in (("all on", {}), ("ordinary memory", {"pin": False}), ("one stream", {"separate": False})):
        runner, _ = build_runner(size, "none", 64, **how)  # type: ignore[arg-type]
        load, _ = run_calls(runner, model.talker.stack.hidden, 64, 4.0)
        first = [t.first_s * 1e3 for t in [*load.done, *load.talks.values()] if t.first_s is not None]
        print(
            f"{name:30s} {percentile(first, 50):12.1f} {percentile(first, 95):9.1f} {np.mean(load.steps_s) * 1e3:9.2f}"
        )
        del runner, load


def start(size: str, slots: int) -> None:
    """Each in a fresh process: no compiled kernels and no choices, then both on disk."""
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "triton"), "XDG_CACHE_HOME": str(folder)}
    for name in ("cold", "warm"):
        command = [sys.executable, "-m", "benchmarks.tts_gpu", "start-once", "--size", size, "--slots", str(slots)]
        out = subprocess.run(command, env=environment, capture_output=True, text=True)
        print(f"start-up {name}: {out.stdout.strip() or out.stderr[-400:]}")


def start_once(size: str, slots: int) -> None:
    """From a loaded model to the first call's sound."""
    model = build_model(size, "none")
    weights = random_codec(DEVICE, torch.float32)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    fast = FastSlots(model, weights, slots, 192, 64, 2**28, Streams.make(DEVICE))
    runner = GraphRunner(fast, Choices("start"))
    ready = time.perf_counter() - begin
    load = Load(runner, model.talker.stack.hidden)
    load.say(4)
    while load.talks:
        load.step()
    first = load.done[0].first_s or 0.0
    print(f"{ready:.1f} s for {slots} slots, {runner.graphs} graphs; the very first sound {first * 1e3:.0f} ms")


def peers(size: str) -> None:
    """Upstream's generate and faster-qwen3-tts, where installed, in a process of their own on the same GPU."""
    command = [sys.executable, "-m", "benchmarks.tts_peers", size]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout.strip() or f"peers not measured: {done.stderr.strip().splitlines()[-1:]}")


@contextmanager
def freed() -> Iterator[None]:
    yield
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+")
    parser.add_argument("--size", default="0.6B", choices=sorted(TALKER_SIZES))
    parser.add_argument("--quantize", default="none", choices=("none", "int8", "fp8"))
    parser.add_argument("--largest", type=int, default=1024)
    parser.add_argument("--slots", type=int, default=1024)
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 16, 64, 256, 512, 1000])
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    if args.parts != ["start-once"]:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, graphs of {graph_runner.__name__}")
    parts: dict[str, Callable[[], None]] = {
        "frames": lambda: frames(args.size, args.quantize, args.largest),
        "sound": sound,
        "calls": lambda: calls(args.size, args.quantize, args.calls, args.slots, args.seconds),
        "cancel": lambda: cancel(args.size),
        "memory": lambda: memory(args.size),
        "ablation": lambda: ablation(args.size),
        "start": lambda: start(args.size, args.slots),
        "start-once": lambda: start_once(args.size, args.slots),
        "peers": lambda: peers(args.size),
    }
    with torch.inference_mode():
        for part in args.parts:
            with freed():
                parts[part]()


if __name__ == "__main__":
    main()
