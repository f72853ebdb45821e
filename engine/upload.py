"""Decodes uploads of strangers in a child process, which may take so much memory and time and no more.

A file of 80 KB can decode to a gigabyte, and FFmpeg has had holes. The child has no keys, and none of the calls.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from typing import BinaryIO, Final

from engine.child import ChildLost, ChildProcess, connect, pack, read
from engine.recording import InvalidRecording, read_recording
from engine.speech import VoiceReference

WORKER: Final = ("-m", "engine.upload")
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
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
        child.send((data, min_s, max_s, text))
        async with asyncio.timeout(TIMEOUT_S):
            answer = await child.receive()
    except (ChildLost, TimeoutError):
        raise InvalidRecording("the file takes too much memory or time to decode") from None
    finally:
        await child.close(GRACE_S)
    if isinstance(answer, InvalidRecording):
        raise answer
    assert isinstance(answer, VoiceReference)
    return answer


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
    data, min_s, max_s, text = job
    answer: VoiceReference | InvalidRecording
    try:
        answer = read_recording(data, min_s=min_s, max_s=max_s, text=text)
    except InvalidRecording as error:
        answer = error
    except MemoryError:
        answer = InvalidRecording("the file takes too much memory to decode")
    answers.write(pack(answer))
    answers.flush()


if __name__ == "__main__":
    serve(*connect(NICENESS))
