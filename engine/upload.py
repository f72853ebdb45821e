"""Decodes uploads of strangers in a child process, which may take so much memory and time and no more.

A file of 80 KB can decode to a gigabyte, and FFmpeg has had holes. The child has no keys, and none of the calls; its
answer is taken as numbers and text alone, for whoever has got into the decoder writes it.
"""

from __future__ import annotations

import asyncio
import resource
import struct
import sys
from typing import BinaryIO, Final

import numpy as np

from engine.child import ChildLost, ChildProcess, connect, framed, read
from engine.recording import MAX_RATE_HZ, MIN_RATE_HZ, InvalidRecording, read_recording
from engine.speech import VoiceReference

WORKER: Final = ("-m", "engine.upload")
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
HEADER: Final = struct.Struct("<BI")
"""An answer's beginning: what it is, and the samples a second. Samples follow, or the reason of a refusal."""
DECODED: Final = 0
REFUSED: Final = 1
SAMPLE_BYTES: Final = 2
MAX_REASON_CHARS: Final = 300
MEMORY_BYTES: Final = 2**30
CPU_S: Final = 10
TIMEOUT_S: Final = 30.0
"""The time for all of it, on a machine that has other things to do."""
GRACE_S: Final = 1.0
"""The time to end by itself after its answer: a signal at that moment makes asyncio warn of an unknown process."""
NICENESS: Final = 15
"""Below the engine's processes: nobody hears that an upload takes longer."""


async def read_upload(data: bytes, *, min_s: float, max_s: float, text: str | None = None) -> VoiceReference:
    """Decodes a recording, as `read_recording` does, in a process of its own. Raises InvalidRecording or OSError."""
    child = await ChildProcess.spawn(*WORKER, environment=ENVIRONMENT)
    try:
        child.send((data, min_s, max_s))
        async with asyncio.timeout(TIMEOUT_S):
            answer = await child.receive_bytes(HEADER.size + round((max_s + 1) * MAX_RATE_HZ) * SAMPLE_BYTES)
        return _unpack(answer, text)
    except (ChildLost, TimeoutError):
        raise InvalidRecording("the file takes too much memory or time to decode") from None
    except (ValueError, struct.error):
        raise InvalidRecording("the file cannot be decoded") from None
    finally:
        await child.close(GRACE_S)


def _pack(reference: VoiceReference) -> bytes:
    return HEADER.pack(DECODED, reference.sample_rate_hz) + reference.pcm.astype("<i2").tobytes()


def _unpack(answer: bytes, text: str | None) -> VoiceReference:
    """Returns the recording of an answer. Raises InvalidRecording with its reason, and ValueError if it is neither."""
    outcome, rate_hz = HEADER.unpack_from(answer)
    if outcome == REFUSED:
        raise InvalidRecording(answer[HEADER.size :].decode(errors="replace")[:MAX_REASON_CHARS])
    if outcome != DECODED or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ValueError("no answer of the decoder")
    return VoiceReference(np.frombuffer(answer, "<i2", offset=HEADER.size), rate_hz, text)


def bound(memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_S) -> None:
    """Bounds this process: an allocation beyond raises MemoryError, and the kernel ends it after `cpu_s`."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the address space cannot be bounded
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Decodes the one recording that is sent."""
    bound()
    job = read(jobs)
    if job is None:
        return
    data, min_s, max_s = job
    try:
        answer = _pack(read_recording(data, min_s=min_s, max_s=max_s))
    except InvalidRecording as error:
        answer = HEADER.pack(REFUSED, 0) + str(error).encode()
    except MemoryError:
        answer = HEADER.pack(REFUSED, 0) + b"the file takes too much memory to decode"
    answers.write(framed(answer))
    answers.flush()


if __name__ == "__main__":
    serve(*connect(NICENESS))
