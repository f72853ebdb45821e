"""The list of calls: who is taken, who is refused and why, and who is still known afterwards."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from bridge.conversation import calls as calls_module
from bridge.conversation import journal
from bridge.conversation.calls import ENDED_KEPT, Calls
from bridge.conversation.conversation import Conversation
from bridge.conversation.registration import RESERVED_S, Registrations
from bridge.conversation.services import Services
from bridge.conversation.settings import ConversationSettings
from bridge.line.call import Call
from bridge.line.connection import CallRefused
from engine.speech import Style
from tests.support.fakes import FakeEngine, NoWire


class Rig:
    """A list of calls, and calls to be kept in it."""

    def __init__(self, services: Services) -> None:
        self.registrations = Registrations(60.0)
        self.overloaded = False
        self.refused: list[str] = []
        self.calls = Calls(
            3, self.registrations, refused=self.refused.append, is_overloaded=lambda calls: self.overloaded
        )
        self._services = services

    def take(self, call_id: UUID | None = None) -> Conversation:
        call_id = call_id or uuid4()
        variables = self.calls.admit(call_id)
        conversation = self._services.begin(Call(call_id, NoWire(), FakeEngine(), Style()), variables)
        self.calls.add(conversation)
        return conversation


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    services = Services(ConversationSettings(), CollectorRegistry())
    await services.start()
    rig = Rig(services)
    yield rig
    for conversation in rig.calls.active():
        conversation.call.end("test over")
    assert len(rig.calls) == 0
    await services.close()


async def test_a_call_that_ended_is_known_for_a_while_and_one_in_progress_however_long_it_is(rig: Rig) -> None:
    live, long = rig.take(), rig.take()
    short = [uuid4() for _ in range(ENDED_KEPT + 10)]
    for call_id in short:
        rig.take(call_id).call.end("hung up")
    long.call.end("hung up")
    assert rig.calls.active() == [live]
    for conversation in (live, long):
        assert rig.calls.find(conversation.call.id) is conversation
    known = [rig.calls.find(call_id) is not None for call_id in short]
    assert known == [False] * 11 + [True] * (ENDED_KEPT - 1), "the longest ended go first"


async def test_of_a_call_that_is_no_longer_known_nothing_is_kept(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "ENDED_KEPT", 5)
    gone = []
    for _ in range(20):
        talk = rig.take()
        talk.call.end("hung up")
        gone += [weakref.ref(talk), weakref.ref(talk.journal.lines)]
        del talk
    async with asyncio.timeout(30):
        while sum(each() is not None for each in gone) > 10:  # the tasks that were cancelled end first
            await asyncio.sleep(0.01)
            gc.collect()
    assert [each() is None for each in gone] == [True] * 30 + [False] * 10


async def test_transcripts_of_ended_calls_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "MAX_ENDED_CHARS", 10 * journal.MAX_CHARS)
    ended = [rig.take()]
    for _ in range(30):
        talk = rig.take()
        for _ in range(50):
            talk.journal.user("x" * 10_000, 0, 1)
        assert talk.journal.chars == sum(len(entry.text) for entry in talk.journal.entries) == journal.MAX_CHARS
        talk.call.end("hung up")
        ended.append(talk)
    known = [talk for talk in ended if rig.calls.find(talk.call.id) is not None]
    assert known == [ended[0], *ended[-10:]], "the one in progress, and the last to end"


async def test_a_transcript_of_many_turns_keeps_the_last(rig: Rig) -> None:
    talk = rig.take()
    for index in range(journal.MAX_ENTRIES + 10):
        talk.journal.user(str(index), 0, 1)
    assert [entry.text for entry in talk.journal.entries][:: journal.MAX_ENTRIES - 1] == ["10", str(index)]


async def test_a_call_too_many_is_refused(rig: Rig) -> None:
    first, *_ = [rig.take() for _ in range(3)]
    with pytest.raises(CallRefused, match="MAX_CALLS=3"):
        rig.take()
    first.call.end("hung up")
    rig.take()


async def test_while_frames_are_late_only_calls_that_were_announced_are_taken(rig: Rig) -> None:
    rig.take()
    announced = uuid4()
    rig.registrations.add(announced, {})
    rig.overloaded = True
    with pytest.raises(CallRefused, match="frames are late with 1 calls"):
        rig.take()
    with pytest.raises(CallRefused, match="frames are late"):
        rig.calls.check_room(uuid4())
    assert rig.refused == ["overloaded"] * 2
    rig.take(announced)
    rig.overloaded = False
    rig.take()


async def test_a_uuid_in_use_is_refused(rig: Rig) -> None:
    first = rig.take()
    with pytest.raises(CallRefused, match="in progress"):
        rig.take(first.call.id)
    assert rig.calls.active() == [first]


async def test_the_uuid_of_a_call_that_ended_is_refused_however_many_came_after_it(rig: Rig) -> None:
    first = rig.take()
    first.call.end("hung up")
    for _ in range(ENDED_KEPT + 10):
        rig.take().call.end("hung up")
    with pytest.raises(CallRefused, match="has ended"):
        rig.take(first.call.id)


async def test_nobody_is_taken_once_the_server_goes(rig: Rig) -> None:
    first = rig.take()
    rig.calls.open = False
    with pytest.raises(CallRefused, match="shutting down"):
        rig.take()
    assert rig.calls.active() == [first]


async def test_what_was_announced_is_known_of_the_call_and_may_be_asked_for() -> None:
    calls, call_id = Calls(3, Registrations(60.0), require_registration=True), uuid4()
    with pytest.raises(CallRefused, match="REQUIRE_REGISTRATION=true"):
        calls.admit(call_id)
    calls.registrations.add(call_id, {"from": "12345"})
    assert calls.admit(call_id) == {"from": "12345"}
    with pytest.raises(CallRefused, match="REQUIRE_REGISTRATION=true"):
        calls.admit(call_id)


async def test_a_call_that_was_announced_has_its_place(rig: Rig) -> None:
    announced, late = [uuid4(), uuid4(), uuid4()], uuid4()
    for call_id in announced:
        rig.calls.check_room(call_id)
        rig.registrations.add(call_id, {})
    with pytest.raises(CallRefused, match="MAX_CALLS=3 calls are in progress or about to begin"):
        rig.calls.check_room(late)
    with pytest.raises(CallRefused, match="about to begin"):
        rig.take(late)
    for call_id in announced:
        rig.take(call_id)
    assert len(rig.calls) == 3


async def test_a_place_that_was_given_is_kept_for_moments_however_many_calls_other_processes_have() -> None:
    now_s = [0.0]
    calls, first, second = Calls(2, Registrations(60.0, lambda: now_s[0])), uuid4(), uuid4()
    calls.elsewhere = 1
    calls.check_room(first)
    calls.registrations.add(first, {})
    with pytest.raises(CallRefused):
        calls.check_room(second)
    calls.elsewhere = 2
    calls.check_room(first)
    now_s[0] = RESERVED_S
    with pytest.raises(CallRefused):
        calls.check_room(first)


async def test_an_announcement_that_is_not_used_holds_its_place_for_moments_only() -> None:
    now_s = [0.0]
    calls = Calls(1, Registrations(60.0, lambda: now_s[0]))
    calls.registrations.add(uuid4(), {})
    with pytest.raises(CallRefused):
        calls.check_room(uuid4())
    now_s[0] = RESERVED_S
    calls.check_room(uuid4())
    assert len(calls.registrations) == 1
