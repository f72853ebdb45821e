"""Transfer and hang-up by the model, on a real Asterisk: the goodbye is heard whole, then the dialplan goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenes.scene import calling, next_destination, until_tone
from tests.support.asterisk.asterisk import Asterisk
from tests.support.asterisk.talkspurt import running
from tests.support.llm_server import Answer, LlmServer, ToolCall
from tests.support.recognition import recognise, word_error_rate

GOODBYE = "I am putting you through to the sales department. Have a pleasant day."


@pytest.mark.parametrize(
    ("tool", "destination"),
    [(ToolCall("transfer", {"destination": "sales"}), "ext-queues,400,1"), (ToolCall("hangup"), "hangup")],
    ids=["transfer", "hangup"],
)
async def test_the_goodbye_is_heard_whole(asterisk: Asterisk, tmp_path: Path, tool: ToolCall, destination: str) -> None:
    def respond(messages: list[dict[str, Any]]) -> Answer:
        return Answer(GOODBYE, [tool], token_s=0.02)

    async with LlmServer(respond=respond) as model:
        settings = {"LLM_BASE_URL": model.url, "LLM_MODEL": "m", "TRANSFER_ALLOW": "sales=ext-queues,400,1"}
        with running(tmp_path, **settings) as server:
            async with calling(asterisk, server) as caller:
                start = len(caller.phone.packets)
                await caller.words("sales please")
                ended = await until_tone(caller, start, 30.0)
                heard = await recognise(caller.phone.heard(caller.phone.packets[start:ended]).pcm, 8_000)
            assert word_error_rate([GOODBYE], [heard]) <= 0.1, heard
            assert await next_destination(server, caller.id) == destination
