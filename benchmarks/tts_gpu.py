"""Measures the Qwen3-TTS engine on this GPU: ms a frame, first sound, calls, start-up, memory; peers beside it.

    python -m benchmarks.tts_gpu PART … [--size 0.6B]   frames kernels sound codec calls paced soak small cancel icl
                                                        memory profile ablation start peers

Weights are drawn at random in the true sizes: speed does not depend on their values. What is not measured: real text
and voices (no checkpoint is needed), the pipes between processes, and the telephone side.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.gpu.ablation import ablation
from benchmarks.gpu.calls import calls, cancel, icl
from benchmarks.gpu.codec import codec
from benchmarks.gpu.frames import frames, sound
from benchmarks.gpu.kernels import kernels
from benchmarks.gpu.overlap import profile
from benchmarks.gpu.paced import JOINING_S, LEADS_MS, paced
from benchmarks.gpu.small import small, small_once
from benchmarks.gpu.soak import soak
from benchmarks.gpu.start import memory, memory_once, start, start_once
from benchmarks.machine import gpu_facts
from benchmarks.table import markdown
from tests.support.qwen3.random_weights import TALKER_SIZES


def peers(size: str) -> None:
    """Measures upstream's generate and faster-qwen3-tts, where installed, in a process of their own on the same GPU."""
    print(peers_told([sys.executable, "-m", "benchmarks.tts_peers", size]))


def peers_told(command: Sequence[str]) -> str:
    """Returns what the command printed, and where it failed the reason, whatever it printed before."""
    done = subprocess.run(command, capture_output=True, text=True)
    told = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"status {done.returncode}"]
        told.append(f"a peer was not measured: {reason[0]}")
    return "\n".join(told)


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
    parser.add_argument("--largest", type=int, default=1024, help="batch, of `frames`")
    parser.add_argument("--widest", type=int, default=2048, help="channels of the products that `codec` tries")
    parser.add_argument("--slots", type=int, default=1024, help="of `calls` and `start`")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 16, 64, 256, 512, 1000])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row of `calls` and of `icl`")
    parser.add_argument("--leads", type=int, nargs="+", default=list(LEADS_MS), help="SPEECH_LEAD_MS of `paced`")
    parser.add_argument("--alone", action="store_true", help="`paced` without a neighbour")
    parser.add_argument("--joining", type=float, default=JOINING_S, help="seconds in which `paced`'s calls come")
    parser.add_argument("--trace", type=Path, help="where `profile` writes its Chrome trace")
    parser.add_argument("--plot", type=Path, help="where `soak` draws its picture")
    args = parser.parse_args()
    if not args.parts[0].endswith("-once"):
        print(markdown([("machine", ""), *gpu_facts()]), "\n")
    parts: dict[str, Callable[[], None]] = {
        "frames": lambda: frames(args.size, args.quantize, args.largest),
        "kernels": lambda: kernels(args.size, args.quantize),
        "sound": sound,
        "codec": lambda: codec(args.widest),
        "calls": lambda: calls(args.size, args.quantize, args.calls, args.slots, args.seconds),
        "paced": lambda: paced(
            args.size, args.quantize, args.calls, args.seconds, args.leads, args.alone, args.joining
        ),
        "soak": lambda: soak(args.size, args.quantize, max(args.calls), args.seconds, args.joining, args.plot),
        "small": lambda: small(args.size, args.calls, args.seconds),
        "small-once": lambda: small_once(args.size, args.quantize, args.calls, args.seconds),
        "cancel": lambda: cancel(args.size),
        "icl": lambda: icl(args.size, args.seconds),
        "memory": lambda: memory(args.size),
        "memory-once": lambda: memory_once(args.size),
        "profile": lambda: profile(args.size, args.trace),
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
