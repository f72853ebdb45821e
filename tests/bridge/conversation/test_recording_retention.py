"""Recordings are kept for so many days and so many megabytes; the oldest go first, and none that is being written."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from bridge.conversation import recording_writer, resources
from bridge.conversation.recording import CallRecording
from bridge.conversation.recording_retention import DAY_S, RecordingRetention
from bridge.conversation.recording_writer import RecordingWriter
from tests.support.loop_clock import LoopClock
from tests.support.whole_app import whole_app

NOW_S = 1_800_000_000.0
MEGABYTE = 10**6


def keep(folder: Path, number: int, *, days_ago: float, size: int = MEGABYTE, suffixes: str = ".wav .json") -> str:
    """Puts a recording of some size into a folder, as a call that ended so many days ago left it."""
    name = str(UUID(int=number))
    for suffix in suffixes.split():
        path = folder / f"{name}{suffix}"
        path.write_bytes(bytes(size if suffix == ".wav" else 0))
        os.utime(path, (NOW_S - days_ago * DAY_S,) * 2)
    return name


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def retention(folder: Path, days: float = 0, megabytes: float = 0) -> RecordingRetention:
    return RecordingRetention(folder, max_days=days, max_bytes=int(megabytes * MEGABYTE), now_s=lambda: NOW_S)


def test_what_is_older_than_the_days_goes_with_its_transcript_and_its_journal(tmp_path: Path) -> None:
    keep(tmp_path, 1, days_ago=30.1)
    keep(tmp_path, 2, days_ago=31, suffixes=".json")
    young = keep(tmp_path, 3, days_ago=29.9, suffixes=".wav .json .jsonl")
    keep(tmp_path, 1, days_ago=30.1, suffixes=".jsonl")
    with capture_logs() as lines:
        retention(tmp_path, days=30).sweep()
    assert kept(tmp_path) == {f"{young}.wav", f"{young}.json", f"{young}.jsonl"}
    assert [(line["event"], line["count"]) for line in lines] == [("recordings removed", 2)]


def test_above_the_megabytes_the_oldest_go_until_there_is_some_room(tmp_path: Path) -> None:
    names = [keep(tmp_path, number, days_ago=20 - number) for number in range(12)]
    retention(tmp_path, megabytes=10).sweep()
    assert kept(tmp_path) == {f"{name}{suffix}" for name in names[3:] for suffix in (".wav", ".json")}


def test_within_the_limits_nothing_goes(tmp_path: Path) -> None:
    for number in range(10):
        keep(tmp_path, number, days_ago=number)
    before = kept(tmp_path)
    retention(tmp_path, days=10, megabytes=10).sweep()
    assert kept(tmp_path) == before


@pytest.mark.parametrize(("days", "megabytes"), [(0, 0), (0, 3), (6_000, 0)])
def test_a_limit_of_0_is_none(tmp_path: Path, days: float, megabytes: float) -> None:
    keep(tmp_path, 1, days_ago=0.5)
    keep(tmp_path, 2, days_ago=5_000)
    retention(tmp_path, days, megabytes).sweep()
    assert len(kept(tmp_path)) == 4


def test_files_that_are_no_recordings_are_left_alone(tmp_path: Path) -> None:
    names = {"notes.wav", "00000000-0000-0000-0000-000000000001.mp3", "backup", "20260101-120000-201.wav"}
    for name in names - {"backup"}:
        (tmp_path / name).write_bytes(bytes(MEGABYTE))
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / "backup").mkdir()
    elsewhere = tmp_path / "backup" / f"{UUID(int=5)}.wav"
    elsewhere.touch()
    (tmp_path / f"{UUID(int=4)}.wav").symlink_to(elsewhere)
    retention(tmp_path, days=1, megabytes=1).sweep()
    assert kept(tmp_path) == names | {f"{UUID(int=4)}.wav"}
    assert elsewhere.exists()


def test_a_recording_in_progress_stays_however_old_and_large_until_it_is_closed(tmp_path: Path) -> None:
    writer = RecordingWriter()
    recording = CallRecording(tmp_path, str(uuid4()), writer)
    for _ in range(3):
        recording.caller(bytes(16_000), 8_000)
        recording.agent(bytes(16_000), 8_000)
    ended = keep(tmp_path, 2, days_ago=3)
    writer.submit(0, lambda: os.utime(recording.wav_path, (0, 0)))
    writer.submit(0, retention(tmp_path, days=1, megabytes=0.001).sweep)
    writer.submit(0, lambda: recording.wav_path.stat())
    recording.close({})
    writer.close()
    assert recording.wav_path.stat().st_size == 3 * 32_000 + 44
    assert f"{ended}.wav" not in kept(tmp_path)
    retention(tmp_path, megabytes=0.001).sweep()
    assert not kept(tmp_path)


def test_what_is_written_counts_and_the_folder_is_read_only_once_it_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    listing = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reads.append(path) or listing(path))
    limited = retention(tmp_path, megabytes=10)
    limited.sweep()
    for number in range(25):
        keep(tmp_path, number, days_ago=1 - number / 100)
        limited.written(MEGABYTE)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10 * MEGABYTE
    assert 5 < len(reads) <= 10


def test_what_cannot_be_listed_or_removed_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as lines:
        retention(tmp_path / "none", days=1).sweep()
    assert [line["event"] for line in lines] == ["recordings cannot be listed"]
    keep(tmp_path, 1, days_ago=2)
    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as lines:
        retention(tmp_path, days=1).sweep()
    assert [line["event"] for line in lines] == ["recording not removed"]


def refuse(path: Path, missing_ok: bool = False) -> None:
    raise PermissionError(13, "Permission denied", str(path))


async def test_a_server_removes_old_recordings_at_the_start_and_every_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, swept, sweep = asyncio.get_running_loop(), asyncio.Event(), RecordingRetention.sweep

    def tell(retention: RecordingRetention) -> None:
        sweep(retention)
        loop.call_soon_threadsafe(swept.set)

    monkeypatch.setattr(RecordingRetention, "sweep", tell)
    keep(tmp_path, 1, days_ago=3_000)
    with LoopClock() as clock:
        async with whole_app(record_dir=tmp_path, record_max_days=1):
            await swept.wait()
            assert not kept(tmp_path)
            keep(tmp_path, 2, days_ago=3_000)
            swept.clear()
            clock.advance(resources.HOUR_S)
            await swept.wait()
            assert not kept(tmp_path)


async def test_a_recording_of_a_call_counts_against_the_megabytes(tmp_path: Path) -> None:
    keep(tmp_path, 1, days_ago=3, size=MEGABYTE - 1_000)
    async with whole_app(greeting="Hello.", record_dir=tmp_path, record_max_mb=1) as bench:
        peer = await bench.call()
        for _ in range(20):
            await peer.hear(voiced=True)
        await bench.ended(peer)
    assert kept(tmp_path) == {f"{peer.id}.wav", f"{peer.id}.json", f"{peer.id}.jsonl"}


async def test_a_disk_that_is_nearly_full_ends_the_recording_and_not_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.conversation.recording.WRITE_S", 0.1)
    async with whole_app(greeting="Hello. " * 20, record_dir=tmp_path) as bench:
        peer = await bench.call()
        for _ in range(20):
            await peer.hear(voiced=True)
        monkeypatch.setattr(recording_writer, "MIN_FREE_BYTES", 10**18)
        with capture_logs() as lines:
            while not any(line["event"] == "recording failed" for line in lines):
                peer.send_audio(frames=10)
                await peer.hear(voiced=True)
            size = (tmp_path / f"{peer.id}.wav").stat().st_size
            for _ in range(20):
                await peer.hear(voiced=True)
        assert bench.call_of(peer).ended_at is None
        await bench.ended(peer)
    assert len([line for line in lines if line["event"] == "recording failed"]) == 1
    wav = (tmp_path / f"{peer.id}.wav").read_bytes()
    assert np.frombuffer(wav[40:44], "<u4")[0] + 44 == len(wav) >= size
