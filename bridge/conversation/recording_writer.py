"""Writes recordings in a thread of its own, and bounds what may wait for a slow disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from bridge.conversation.recording_retention import RecordingRetention

MAX_AUDIO_BYTES: Final = 32 * 2**20
"""How much audio of all calls may wait for the disk: 500 calls at 8 kHz make as much in two seconds."""
MAX_WAITING_BYTES: Final = 48 * 2**20
"""How much may wait with transcripts, which are still taken where audio is not."""
SUFFIXES: Final = (".wav", ".json", ".jsonl")
"""What the files of a call's recording end with: its sound, its transcript, its journal."""
MAX_NAMESAKES: Final = 1_000
"""How many recordings may be of calls with one UUID."""
MIN_FREE_BYTES: Final = 500 * 10**6
"""How much of a disk is left to others: a PBX whose disk is full takes no calls either."""


class RecordingWriter:
    """One thread that all recordings share. Only the event loop's thread may call `submit` and `close`."""

    def __init__(self, retention: RecordingRetention | None = None) -> None:
        """`retention` is told what was written."""
        self._retention = retention
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording")
        self._lock = Lock()
        self._waiting_bytes = 0

    def submit(self, size_bytes: int, work: Callable[[], None], limit_bytes: int = MAX_AUDIO_BYTES) -> bool:
        """Has the thread do `work`, which holds so many bytes. Returns False and drops it if too much waits."""
        with self._lock:
            if self._waiting_bytes + size_bytes > limit_bytes:
                return False
            self._waiting_bytes += size_bytes
        self._thread.submit(self._do, size_bytes, work)
        return True

    def close(self) -> None:
        """Waits until everything has been written."""
        self._thread.shutdown()

    def _do(self, size_bytes: int, work: Callable[[], None]) -> None:
        try:
            work()
            if self._retention is not None:
                self._retention.written(size_bytes)
        finally:
            with self._lock:
                self._waiting_bytes -= size_bytes


def make_folder(folder: Path) -> None:
    """Makes a folder that is open to its owner alone, or leaves the one that is there. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def create(path: Path) -> BinaryIO:
    """Opens a new file that its owner alone may read. Raises FileExistsError where there is one, or OSError."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def append_to(path: Path) -> BinaryIO:
    """Opens a file to write at its end. Raises FileNotFoundError where there is none, or OSError."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags & ~os.O_CREAT))


def create_first(folder: Path, name: str, suffix: str) -> tuple[BinaryIO, Path]:
    """Opens a call's first file, `name` with this suffix where nothing of that name lies, or `name-2` and so on.

    It is locked until it is closed, which keeps `RecordingRetention` from removing it.
    """
    make_folder(folder)
    for count in range(1, MAX_NAMESAKES + 1):
        path = folder / (f"{name}{suffix}" if count == 1 else f"{name}-{count}{suffix}")
        if not any(path.with_suffix(other).exists() for other in SUFFIXES):
            try:
                file = create(path)
            except FileExistsError:
                continue
            with contextlib.suppress(OSError):  # some file systems have no locks; nothing is removed from those
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file, path
    raise FileExistsError(f"there are {MAX_NAMESAKES} recordings of calls {name}")


def check_free_space(folder: Path) -> None:
    """Raises OSError where the disk of a folder is nearly full."""
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
