"""The process in which hibari makes speech: jobs on standard input, PCM on standard output, one job at a time.

A job is a line of JSON (`Job`). Its answer is any number of PCM messages and one END, UNSPEAKABLE or FAILED; READY
comes first of all. A message is `HEADER` and its payload: int16 PCM, or UTF-8 text for the others. The process lives
until its standard input ends, so it cannot outlive the one that started it.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.audio import soft_limit
from engine.speech import Pcm

HEADER = struct.Struct("<BI")  # kind, length of the payload in bytes

SAMPLE_RATE_HZ = 24000
# hibari speaks at -26 LUFS; a telephone expects about -20.
GAIN = 2.0
# Below the calls' clock and the network: a late frame is heard, a sentence made some milliseconds later is not.
NICENESS = 10
# Frames (12.5 ms) that become audio at once. The network predicts a whole sentence, but its sound need not wait.
BLOCK_FRAMES = 16
# Where a sentence begins and ends to be heard, before the gain. What hibari calls silence lies below -70 dBFS, the
# softest consonants above -55.
SILENCE = 10 ** (-60 / 20)
EDGE_SAMPLES = 240  # looked at together; also what is kept before the first sound
TAIL_SAMPLES = 720  # kept after the last sound, faded out
CHUNK_SAMPLES = 2400
MIN_CHUNK_SAMPLES = 480


class Kind(IntEnum):
    READY = 0
    PCM = 1
    END = 2
    UNSPEAKABLE = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Job:
    text: str
    speed: float = 1.0
    seed: int = 0

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


class Synthesizer:
    """hibari, its sound made block by block and trimmed."""

    def __init__(self) -> None:
        from hibari import Hibari

        self._hibari = Hibari(threads=1)

    def speak(self, job: Job) -> Iterator[Pcm]:
        """Chunks of 20 to 200 ms; none when there are no English sounds in the text."""
        rng = np.random.default_rng(job.seed)
        return _chunks(_trimmed(self._sound(job, rng)))

    def _sound(self, job: Job, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        for phonemes in self._hibari.phonemize(job.text):
            ids = self._hibari.ids(phonemes)
            if len(ids) < 3:  # nothing but the padding
                continue
            feed = {"ids": np.array([ids], np.int64), "speed": np.array([job.speed], np.float32)}
            yield from _vocode([output[0] for output in self._hibari.sess.run(None, feed)], rng)


def _vocode(outputs: list[NDArray[np.float32]], rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """hibari's `dsp.synth` in blocks of frames: log magnitudes and phases, shape (bins, frames), and F0 to audio."""
    from hibari import dsp

    harmonic, theta, noise, free, phi, f0_hz = outputs
    pulses = np.pad(dsp.pulses(f0_hz), dsp.N_FFT // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(pulses, dsp.N_FFT)[:: dsp.HOP]
    overlaps = dsp.N_FFT // dsp.HOP
    scale = dsp.WIN * np.float32(dsp.HOP / np.sum(dsp.WIN**2))
    tail = np.zeros((overlaps - 1, dsp.HOP), np.float32)
    for start in range(0, len(f0_hz), BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        spectrum = dsp.rfft(windows[block][: len(f0_hz[block])] * dsp.WIN_SRC, 1).T
        spectrum *= _polar(harmonic[:, block], np.float32(np.pi) * np.tanh(theta[:, block]))
        z = rng.standard_normal((*spectrum.shape, 2), np.float32).view(np.complex64)[..., 0]
        spectrum += dsp.ex(noise[:, block]) * z
        spectrum += _polar(free[:, block], phi[:, block])
        frames = (dsp.irfft(spectrum.T, dsp.N_FFT, 1) * scale).reshape(-1, overlaps, dsp.HOP)
        sound = np.zeros((len(frames) + overlaps - 1, dsp.HOP), np.float32)
        sound[: overlaps - 1] = tail
        for hop in range(overlaps):
            sound[hop : hop + len(frames)] += frames[:, hop]
        tail = sound[len(frames) :].copy()
        yield sound[: len(frames)].reshape(-1)


def _polar(log_magnitude: NDArray[np.float32], phase: NDArray[np.float32]) -> NDArray[np.complex64]:
    from hibari import dsp

    magnitude = dsp.ex(log_magnitude)
    number = np.empty(phase.shape, np.complex64)
    np.multiply(np.cos(phase), magnitude, out=number.real)
    np.multiply(np.sin(phase), magnitude, out=number.imag)
    return number


def _trimmed(sound: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Without the silence before the first sound and after the last, but with the pauses between."""
    held = np.zeros(0, np.float32)  # silence that may be the last, or what of the first comes with the first sound
    begun = False
    for block in sound:
        held = np.concatenate((held, block))
        edges = held[: held.size // EDGE_SAMPLES * EDGE_SAMPLES].reshape(-1, EDGE_SAMPLES)
        loud = np.flatnonzero(np.sqrt(np.mean(edges**2, 1)) > SILENCE)
        if loud.size:
            start = 0 if begun else max(0, int(loud[0]) - 1) * EDGE_SAMPLES
            end = (int(loud[-1]) + 1) * EDGE_SAMPLES
            yield held[start:end]
            held, begun = held[end:], True
    if begun:
        tail = held[:TAIL_SAMPLES]
        yield tail * np.linspace(1, 0, tail.size, dtype=np.float32)


def _chunks(sound: Iterator[NDArray[np.float32]]) -> Iterator[Pcm]:
    """At telephone level, in pieces of CHUNK_SAMPLES; the last one neither tiny nor much longer."""
    held = np.zeros(0, np.int16)
    for block in sound:
        held = np.concatenate((held, np.rint(soft_limit(block * GAIN) * 32767).astype(np.int16)))
        while held.size >= CHUNK_SAMPLES + MIN_CHUNK_SAMPLES:
            yield held[:CHUNK_SAMPLES]
            held = held[CHUNK_SAMPLES:]
    if held.size:
        yield np.pad(held, (0, max(0, MIN_CHUNK_SAMPLES - held.size)))


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Work until `jobs` ends."""

    def send(kind: Kind, payload: bytes = b"") -> None:
        answers.write(HEADER.pack(kind, len(payload)) + payload)
        answers.flush()

    try:
        synthesizer = Synthesizer()
        for _ in synthesizer.speak(Job("Warm up.")):
            pass
    except Exception as error:
        return send(Kind.FAILED, f"hibari does not start: {error!r}".encode())
    send(Kind.READY)
    for line in jobs:
        try:
            spoken = False
            for pcm in synthesizer.speak(Job(**json.loads(line))):
                send(Kind.PCM, pcm.tobytes())
                spoken = True
            send(Kind.END if spoken else Kind.UNSPEAKABLE)
        except BrokenPipeError:
            return None
        except Exception as error:
            send(Kind.FAILED, f"hibari failed: {error!r}".encode())
    return None


def main() -> None:
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # meant for the process that owns this one, which ends it in its time
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets between the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
