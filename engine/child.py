"""A Python program in a child process: its parent starts it, sends it messages, receives its answers and ends it.

Messages are pickled, each behind its length, on the child's standard input and output. The child calls `connect` first
and `send_logs` next; what it logs then stands in its parent's log. It ends when its standard input does, so it cannot
outlive its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import re
import signal
import struct
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import structlog

LENGTH: Final = struct.Struct("<I")
ROOT: Final = str(Path(__file__).parents[1])
# What a child gets of its parent's environment: where things are and how libraries behave. Settings and keys are not in
# it: a library that is taken over by what it reads has nothing to tell.
INHERITED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TERM|TE?MPDIR|TMP|TEMP|CC|CXX|CPATH|LIBRARY_PATH|C_INCLUDE_PATH"
    r"|(?i:https?_proxy|no_proxy)|REQUESTS_CA_BUNDLE|SSL_CERT_(FILE|DIR)"
    r"|(LANG|LC_|LD_|DYLD_|XDG_|PYTHON|MALLOC_|OMP_|MKL_|OPENBLAS_|KMP_|ORT_|NUMBA_|COVERAGE_|VIRTUAL_ENV"
    r"|CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|TORCH|PYTORCH|TRITON|HF_|HUGGINGFACE_|TRANSFORMERS_|USE_)\w*"
)
SECRET: Final = re.compile(r"\w*(KEY|TOKEN|SECRET|PASSWORD)")


@dataclass(frozen=True, slots=True)
class Log:
    """A log entry on its way to the parent's log."""

    level: int
    name: str
    event: str
    values: Mapping[str, Any]


def framed(payload: bytes) -> bytes:
    """Returns bytes as they travel, behind their length."""
    return LENGTH.pack(len(payload)) + payload


def pack(message: Any) -> bytes:
    """Returns the message as it is written to the pipe: its length, then its pickle."""
    return framed(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def inherited() -> dict[str, str]:
    """Returns the part of this process's environment that a child gets: no settings of ours, and no keys."""
    return {
        name: value for name, value in os.environ.items() if INHERITED.fullmatch(name) and not SECRET.fullmatch(name)
    }


class ChildLost(Exception):
    """The process has ended, with this exit status; a negative one is the signal that ended it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"ended unexpectedly, with status {status}")
        self.status = status


class ChildProcess:
    """The parent's side of a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._length: int | None = None
        self._clock = asyncio.get_running_loop().time
        self._heard_at_s = self._clock()

    @classmethod
    async def spawn(cls, *command: str, environment: Mapping[str, str] | None = None) -> Self:
        """Starts Python with `command`, in an environment of what is `inherited` and `environment`. Raises OSError."""
        path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**inherited(), **(environment or {}), "PYTHONPATH": path},
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def gone(self) -> bool:
        return self._process.returncode is not None

    @property
    def silent_s(self) -> float:
        """Seconds since its last message."""
        return self._clock() - self._heard_at_s

    def touch(self) -> None:
        """Counts its silence from now on, for a child that had no reason to send anything before."""
        self._heard_at_s = self._clock()

    def send(self, message: Any) -> None:
        """Queues a message for the child. Never blocks; where the process is gone, only `receive` raises."""
        with contextlib.suppress(ConnectionError, RuntimeError):
            self._stdin.write(pack(message))

    async def receive(self) -> Any:
        """Returns the next message; cancelling loses none. Raises ChildLost. Log entries go to this process's log."""
        while True:
            message = self.unpacked(await self.receive_bytes())
            if not isinstance(message, Log):
                return message
            structlog.get_logger(message.name).log(message.level, message.event, **message.values)

    async def receive_bytes(self, most: int | None = None) -> bytes:
        """Returns the next message unread, for a child that is not trusted: to unpickle is to run what it sends.

        Cancelling loses none. Raises ChildLost, and ValueError for a message of more than `most` bytes.
        """
        try:
            if self._length is None:
                (self._length,) = LENGTH.unpack(await self._stdout.readexactly(LENGTH.size))
            if most is not None and self._length > most:
                raise ValueError(f"the child sends {self._length} bytes; {most} are taken")
            payload = await self._stdout.readexactly(self._length)
        except (asyncio.IncompleteReadError, OSError):
            raise ChildLost(await self.wait()) from None
        self._length = None
        self.touch()
        return payload

    def unpacked(self, payload: bytes) -> Any:
        """Returns the message that travelled as `payload`."""
        return pickle.loads(payload)

    def kill(self) -> None:
        """Kills the process at once, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> int:
        """Waits until the process is gone; returns its exit status."""
        return await self._process.wait()

    async def close(self, grace_s: float = 0.0) -> None:
        """Closes its input, kills the process where it has not ended within `grace_s`, and waits until it is gone."""
        self._stdin.close()
        if grace_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.wait()
        self.kill()
        await self.wait()


def connect(niceness: int = 0) -> tuple[BinaryIO, BinaryIO]:
    """Makes this process a child; returns the file that its messages come from, for `read`, and the one for answers."""
    # They may be sent to all processes of the server; the parent decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    # A parent with the calls' clock in it comes before all others; what it starts does not.
    os.setpriority(os.PRIO_PROCESS, 0, max(0, os.getpriority(os.PRIO_PROCESS, 0)) + niceness)
    # Python closes its own standard input at the end, and aborts where a thread still reads it.
    told = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets between the answers
    return told, answers


def read(told: BinaryIO) -> Any | None:
    """Returns the next message; None at the end."""
    head = told.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    payload = told.read(length)
    return pickle.loads(payload) if len(payload) == length else None


def send_logs(send: Callable[[Log], None], chatty: Collection[str] = ()) -> None:
    """Sends everything that is logged in this process to the parent, but only errors of the libraries in `chatty`."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    logging.basicConfig(level=logging.INFO, handlers=[_LogSender(send, chatty)], format="%(message)s", force=True)


class _LogSender(logging.Handler):
    def __init__(self, send: Callable[[Log], None], chatty: Collection[str]) -> None:
        super().__init__()
        self._send, self._chatty = send, chatty

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and record.name.split(".")[0] in self._chatty:
            return
        # As structlog hands it on; or, of a library, a text and what goes into it.
        values = dict(record.msg) if isinstance(record.msg, dict) else {"event": self.format(record)}
        self._send(Log(record.levelno, record.name, values.pop("event"), values))
