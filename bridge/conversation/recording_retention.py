"""Removes the oldest recordings of a folder: those that are too old, and those that are too much for the disk."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
ROOM: Final = 0.1
"""How much of the limit is made free at once, so that a folder that is full is not read again after every call."""
RECORDING_NAME: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-[0-9]+)?)\.(?:wav|jsonl?)")
"""What recordings are called. Whatever else lies in the folder is somebody else's, and stays."""


@dataclass(slots=True)
class _Recording:
    """The files of one call: its sound, its transcript, its journal, or some of them."""

    paths: list[Path] = field(default_factory=list)
    size_bytes: int = 0
    ended_s: float = 0.0


class RecordingRetention:
    """Keeps one folder within its limits. Its methods read and remove files: call them where recordings are written."""

    def __init__(
        self, folder: Path, *, max_days: float = 0, max_bytes: int = 0, now_s: Callable[[], float] = time.time
    ) -> None:
        """A limit of 0 is none. `now_s` returns the time of day, in seconds since 1970."""
        self._folder, self._now_s = folder, now_s
        self._max_age_s, self._max_bytes = max_days * DAY_S, max_bytes
        self._total_bytes = 0

    def written(self, size_bytes: int) -> None:
        """Counts what was written, and sweeps where it is too much."""
        self._total_bytes += size_bytes
        if self._max_bytes and self._total_bytes > self._max_bytes:
            self.sweep()

    def sweep(self) -> None:
        """Removes what is over the limits, oldest first. What is still being written stays. Raises nothing."""
        if not self._max_age_s and not self._max_bytes:
            return
        try:
            recordings = self._recordings()
        except OSError as error:
            log.error("recordings cannot be listed", path=str(self._folder), error=str(error))
            return
        total_bytes = sum(recording.size_bytes for recording in recordings)
        oldest_s = self._now_s() - self._max_age_s if self._max_age_s else 0.0
        surplus_bytes = 0.0
        if self._max_bytes and total_bytes > self._max_bytes:
            surplus_bytes = total_bytes - (1 - ROOM) * self._max_bytes
        removed = removed_bytes = 0
        for recording in _oldest_first(recordings):
            if recording.ended_s >= oldest_s and removed_bytes >= surplus_bytes:
                break
            if not any(_is_being_written(path) for path in recording.paths) and _remove(recording):
                removed += 1
                removed_bytes += recording.size_bytes
        self._total_bytes = total_bytes - removed_bytes
        if removed:
            log.info("recordings removed", count=removed, mb=round(removed_bytes / 1e6, 1))

    def _recordings(self) -> list[_Recording]:
        found: defaultdict[str, _Recording] = defaultdict(_Recording)
        with os.scandir(self._folder) as entries:
            for entry in entries:
                match = RECORDING_NAME.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    recording = found[match[1]]
                    recording.paths.append(Path(entry.path))
                    recording.size_bytes += status.st_size
                    recording.ended_s = max(recording.ended_s, status.st_mtime)
        return list(found.values())


def _oldest_first(recordings: Iterable[_Recording]) -> Iterator[_Recording]:
    """Sorts an hour's recordings at a time: to sort 100,000 at once would hold Python's lock and every call's clock."""
    hours: defaultdict[float, list[_Recording]] = defaultdict(list)
    for recording in recordings:
        hours[recording.ended_s // HOUR_S].append(recording)
    for hour in sorted(hours):
        yield from sorted(hours[hour], key=lambda recording: recording.ended_s)


def _is_being_written(path: Path) -> bool:
    """Tells whether a server holds the file's lock, this one or another; one that was killed holds none."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove(recording: _Recording) -> bool:
    try:
        for path in recording.paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.error("recording not removed", path=str(recording.paths[0]), error=str(error))
        return False
    return True
