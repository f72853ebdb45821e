"""Audio on its way to the recogniser: in order, nothing twice, nothing lost that was not answered."""

from __future__ import annotations

from bridge.hearing.asr.backlog import UNANSWERED_MS, WAITING_MS, Backlog

CHUNK_MS = 20


def piece(index: int) -> bytes:
    return index.to_bytes(2, "little")


def take_all(backlog: Backlog) -> list[int]:
    taken = []
    while (chunk := backlog.take()) is not None:
        taken.append(int.from_bytes(chunk, "little"))
    return taken


def put(backlog: Backlog, pieces: range) -> None:
    for index in pieces:
        backlog.put(piece(index))


def test_what_was_not_answered_goes_out_again_and_first() -> None:
    backlog = Backlog(CHUNK_MS)
    put(backlog, range(10))
    assert take_all(backlog) == list(range(10))
    put(backlog, range(10, 12))
    assert not backlog.rewind()
    assert backlog.position_ms == 0
    assert take_all(backlog) == list(range(12))
    assert backlog.position_ms == 240
    assert backlog.dropped_ms == 0


def test_a_transcript_answers_what_was_said_before_its_end() -> None:
    backlog = Backlog(CHUNK_MS)
    put(backlog, range(5))
    take_all(backlog)
    backlog.speech_ended()
    put(backlog, range(5, 8))  # the next sentence has begun
    take_all(backlog)
    backlog.answered()
    backlog.speech_ended()
    put(backlog, range(8, 9))
    take_all(backlog)
    assert backlog.rewind(), "the second sentence is over and unanswered"
    assert backlog.position_ms == 100
    assert take_all(backlog) == [5, 6, 7, 8]
    backlog.answered()  # of a service that does not tell where speech ends
    assert not backlog.rewind()
    assert take_all(backlog) == []


def test_what_is_kept_is_bounded() -> None:
    backlog = Backlog(CHUNK_MS)
    pieces = 2 * UNANSWERED_MS // CHUNK_MS
    for index in range(pieces):
        put(backlog, range(index, index + 1))
        backlog.speech_ended()
        take_all(backlog)
    backlog.rewind()
    assert take_all(backlog) == list(range(pieces // 2, pieces))
    assert backlog.dropped_ms == 0, "it was sent once"
    put(backlog, range(WAITING_MS // CHUNK_MS + 3))
    assert backlog.dropped_ms == 60
    assert take_all(backlog)[0] == 3
