"""A call whose bridge was lost goes on at another one with what was said so far."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bridge.cluster.call_keeper import MAX_CHARS, _short
from bridge.cluster.shared_calls import connect
from bridge.conversation.memory import CUT_OFF, Memory
from tests.bridge.cluster.conftest import Start
from tests.bridge.cluster.test_any_bridge import asked_next, known
from tests.support.fakes import Asterisk
from tests.support.llm_server import LlmServer
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually
from tests.support.whole_app import Bench

COMPLETED = "conversation.item.input_audio_transcription.completed"
PATIENCE_S = 30.0
SCRIPT = """
start: welcome
steps:
  welcome: {say: Hello., answers: [{match: [order], goto: number}]}
  number: {say: "Which number?"}
"""


@pytest.fixture
async def model() -> AsyncIterator[LlmServer]:
    async with LlmServer("I have noted forty-two.", "We were at number forty-two.") as server:
        yield server


async def said(bench: Bench, peer: Asterisk, text: str) -> None:
    status, _ = await bench.post(f"/v1/calls/{peer.id}/events", {"type": COMPLETED, "transcript": text})
    assert status == 202


async def spoken(bench: Bench, text: str) -> None:
    async def is_spoken() -> bool:
        return any(text == sentence for sentence, _ in bench.engine.spoken)

    await eventually(is_spoken, PATIENCE_S)


async def written(redis: RedisServer, peer: Asterisk, text: str) -> None:
    """Waits until the others could know of these words."""
    shared = connect(redis.url, "", 0)

    async def is_written() -> bool:
        return text in str(await shared.memory(peer.id))

    await eventually(is_written, PATIENCE_S)
    await shared.close()


async def go_on(bench: Bench, earlier: Asterisk) -> Asterisk:
    """What the dialplan does for a call that was cut off."""
    call_id = str(uuid4())
    body = {"id": call_id, "continues": str(earlier.id), CUT_OFF: "1"}
    status, answer = await bench.post("/v1/calls", body)
    assert status == 201, answer
    return await bench.call_named(call_id)


async def test_a_model_says_that_the_call_was_cut_off_and_knows_what_was_said(
    bridge: Start, redis: RedisServer, model: LlmServer
) -> None:
    settings: dict[str, Any] = {"llm_base_url": model.url, "llm_model": "m", "greeting": "", "filler": ""}
    first, second = await bridge(**settings), await bridge(**settings, cut_off="Cut off. You said: {said}")
    peer = await first.call(name="Ada")
    await said(first, peer, "My number is 42.")
    await spoken(first, "I have noted forty-two.")
    await written(redis, peer, "My number is 42.")
    other = await go_on(second, peer)
    await spoken(second, "We were at number forty-two.")
    assert [sentence for sentence, _ in second.engine.spoken] == [
        "Cut off.",
        "You said: My number is forty two.",
        "We were at number forty-two.",
    ]
    told = model.requests[-1]["messages"]
    assert any(message["role"] == "user" and "My number is 42." in message["content"] for message in told)
    assert "the line was cut off" in told[-1]["content"]
    variables = second.app.calls.find(other.id).variables
    assert variables["name"] == "Ada", "what was announced of the first call counts for the second"
    await peer.close()
    await other.close()


async def test_a_script_says_so_and_goes_on_in_its_step(bridge: Start, redis: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    first, second = [await bridge(script=tmp_path / "script.yaml") for _ in range(2)]
    peer = await first.call()
    await said(first, peer, "An order, please.")
    await spoken(first, "Which number?")
    await written(redis, peer, "An order, please.")
    other = await go_on(second, peer)
    await spoken(second, "Which number?")
    assert [sentence for sentence, _ in second.engine.spoken] == ["Sorry, we were cut off.", "Which number?"]
    await peer.close()
    await other.close()


async def test_an_agent_says_it_in_words_of_its_own(bridge: Start, redis: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "agents.yaml").write_text("desk: {default: true, cut_off: Wir wurden getrennt.}")
    first, second = [await bridge(agents=tmp_path / "agents.yaml") for _ in range(2)]
    peer = await first.call()
    await known(second, str(peer.id))
    other = await go_on(second, peer)
    await spoken(second, "Wir wurden getrennt.")
    assert [sentence for sentence, _ in second.engine.spoken] == ["Wir wurden getrennt."]
    await peer.close()
    await other.close()


async def test_a_call_of_which_nothing_is_known_is_not_begun_anew(bridge: Start) -> None:
    first = await bridge()
    body = {"id": str(uuid4()), "continues": str(uuid4()), CUT_OFF: "1"}
    status, _ = await first.post("/v1/calls", body)
    assert status == 404


async def test_where_no_words_may_be_kept_none_are_written(bridge: Start, redis: RedisServer) -> None:
    kept, not_kept = await bridge(), await bridge(privacy="strict")
    shared = connect(redis.url, "", 0)
    for bench, is_kept in ((kept, True), (not_kept, False)):
        peer = await bench.call(name="Ada")
        await bench.app.membership.keeper.flush()
        assert (await shared.memory(peer.id) is not None) is is_kept
        await peer.close()
    await shared.close()


async def test_the_dialplan_is_told_that_a_bridge_was_lost(bridge: Start, redis: RedisServer) -> None:
    first, second = await bridge(), await bridge()
    peer = await first.call()
    await known(second, str(peer.id))
    membership = first.app.membership
    assert membership is not None

    async def lost(*_: object) -> None:
        """Writes nothing more, as a process that was killed."""

    membership.shared.write = lost  # type: ignore[method-assign]
    await first.app.stop()
    assert await asked_next(second, str(peer.id)) == (200, "cut-off")
    status, _ = await second.post(f"/v1/calls/{peer.id}/interrupt")
    assert status == 503


@pytest.mark.parametrize("asked", ["its own bridge", "another one"])
async def test_a_call_whose_connection_was_closed_though_its_bridge_lives_was_cut_off(
    bridge: Start, redis: RedisServer, asked: str
) -> None:
    """As HAProxy does to a bridge that answered late. A caller who hangs up has no dialplan that asks."""
    first, second = await bridge(fallback_destination="ext-queues,400,1"), await bridge()
    peer = await first.call()
    await known(second, str(peer.id))
    await first.ended(peer)
    where = first if asked == "its own bridge" else second
    assert await asked_next(where, str(peer.id)) == (200, "cut-off")


async def test_a_call_that_was_transferred_before_its_connection_was_closed_goes_there(bridge: Start) -> None:
    first = await bridge(transfer_allow="sales=ext-queues,400,1")
    peer = await first.call()
    status, _ = await first.post(f"/v1/calls/{peer.id}/hangup", {"next": "sales"})
    assert status == 202
    await first.ended(peer)
    assert await asked_next(first, str(peer.id)) == (200, "ext-queues,400,1")


def test_the_latest_words_are_kept_and_no_result_without_its_tool() -> None:
    messages = [
        {"role": "user", "content": "x" * MAX_CHARS},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is forty-two."},
    ]
    kept = _short(Memory("desk", "", {}, {"messages": messages}, [{"who": "user", "text": "x"}]))
    assert (kept.brain["messages"], kept.transcript) == (messages[2:], [])


def test_what_became_of_an_earlier_transfer_is_forgotten_by_the_call_after() -> None:
    memory = Memory("desk", "", {"transfer_failed": "the line is busy", "name": "Ada", CUT_OFF: "1"}, {})
    assert memory.continued({}) == {"name": "Ada", "agent": "desk"}
