"""A call file is whole, says what Asterisk needs, and what was given with the call is known when it connects."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge.outbound import outbound_calls
from bridge.outbound.call_file import CallFile
from bridge.outbound.outbound_calls import GRACE_S, OutboundCalls, TooManyPlaced, Unanswered, Why
from bridge.outbound.settings import OutboundSettings

CALL_ID = UUID("12345678-1234-1234-1234-123456789abc")


def calls(now_s: list[float]) -> OutboundCalls:
    return OutboundCalls(OutboundSettings(outbound_allow="2??"), lambda: now_s[0])


def test_a_call_file() -> None:
    settings = OutboundSettings(outbound_allow="2??", outbound_caller_id='"Front desk" <5550100>')
    file = OutboundCalls(settings).prepare(CALL_ID, "201", ring_s=20, retries=2, retry_after_s=60)
    assert file.text == (
        "Channel: Local/201@from-internal\n"
        'CallerID: "Front desk" <5550100>\n'
        "WaitTime: 20\n"
        "MaxRetries: 2\n"
        "RetryTime: 60\n"
        "Context: talkspurt\n"
        "Extension: s\n"
        "Priority: 1\n"
        "Setvar: __TS_OUTBOUND=12345678-1234-1234-1234-123456789abc\n"
    )


@pytest.mark.parametrize("text", ["Local/2\nSetvar: X=1", "Local/é", "L" * 250])
def test_a_text_that_would_be_read_as_another_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a line of a call file is at most 250 printable characters"):
        CallFile(CALL_ID, text, "talkspurt,s,1").text  # noqa: B018


def test_asterisk_finds_the_whole_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "outgoing"
    spool.mkdir()
    file = calls([0.0]).prepare(CALL_ID, "201")
    file.place(spool)
    assert [path.name for path in spool.iterdir()] == [f"talkspurt-{CALL_ID}.call"]
    assert next(spool.iterdir()).read_text() == file.text
    assert [path for path in tmp_path.iterdir() if path != spool] == []
    with pytest.raises(FileNotFoundError):
        file.place(tmp_path / "gone")
    assert [path for path in tmp_path.iterdir() if path != spool] == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second disk here")
def test_a_folder_on_a_disk_of_its_own_gets_the_file_too(tmp_path: Path) -> None:
    """As it is where Asterisk's spool is mounted: there, a file cannot be moved in from the folder above."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as mounted:
        file = CallFile(CALL_ID, "Local/201@from-internal", "talkspurt,s,1")
        (tmp_path / "outgoing").symlink_to(mounted)
        file.place(tmp_path / "outgoing")
        assert [path.name for path in Path(mounted).iterdir()] == [f"talkspurt-{CALL_ID}.call"]


def test_what_was_given_is_known_until_the_last_try_is_over() -> None:
    now_s = [0.0]
    outbound = calls(now_s)
    file = outbound.prepare(CALL_ID, "201", ring_s=30, retries=1, retry_after_s=300)
    outbound.placed(file, {"lead": "42"})
    assert outbound.variables(CALL_ID) == {"lead": "42"}
    now_s[0] = 360.0 + GRACE_S - 1
    assert outbound.variables(CALL_ID) == {"lead": "42"}
    assert outbound.variables(uuid4()) == {}
    now_s[0] += 1
    assert outbound.variables(CALL_ID) == {}


def test_a_call_whose_file_is_gone_and_that_nobody_answered_is_told_once() -> None:
    now_s = [0.0]
    outbound = calls(now_s)
    file = outbound.prepare(CALL_ID, "201", ring_s=30, retries=1, retry_after_s=300)
    outbound.placed(file, {"lead": "42"})
    assert outbound.any_awaited
    now_s[0] = 200.0
    assert outbound.unanswered([file.name]) == [], "Asterisk is to try again"
    now_s[0] = 300.0
    assert outbound.unanswered([]) == [], "who answered just now may hear something else first"
    now_s[0] += GRACE_S
    assert outbound.unanswered([]) == [Unanswered(CALL_ID, {"lead": "42"}, Why.NOT_ANSWERED)]
    assert outbound.unanswered([]) == []
    assert not outbound.any_awaited


def test_a_call_that_has_connected_is_answered() -> None:
    now_s = [0.0]
    outbound = calls(now_s)
    outbound.placed(outbound.prepare(CALL_ID, "201"), {})
    outbound.variables(CALL_ID)
    assert not outbound.any_awaited
    now_s[0] = 1_000.0
    assert outbound.unanswered([]) == []


def test_a_file_that_asterisk_does_not_read_is_told_when_its_time_is_over() -> None:
    now_s = [0.0]
    outbound = calls(now_s)
    file = outbound.prepare(CALL_ID, "201", ring_s=30)
    outbound.placed(file, {})
    now_s[0] = 30.0 + GRACE_S - 1
    assert outbound.unanswered([file.name]) == []
    now_s[0] += 1
    assert [call.why for call in outbound.unanswered([file.name])] == [Why.NOT_DIALLED]


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound_calls, "MAX_PLACED", 2)
    now_s = [0.0]
    outbound = calls(now_s)
    for _ in range(2):
        outbound.placed(outbound.prepare(uuid4(), "201"), {})
    with pytest.raises(TooManyPlaced):
        outbound.prepare(uuid4(), "201")
    now_s[0] = 1_000.0
    outbound.prepare(uuid4(), "201")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outbound_allow", "two"),
        ("outbound_channel", "Local/201@from-internal"),
        ("outbound_channel", "Local/{to}\nSetvar: X=1"),
        ("outbound_destination", "talkspurt"),
        ("outbound_caller_id", "a\nb"),
        ("outbound_caller_id", "é"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        OutboundSettings.model_validate({name: value})
