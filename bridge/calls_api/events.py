"""The operation that takes the events of a recogniser elsewhere, by POST."""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import Discriminator, Field, RootModel, Tag

from bridge.calls_api.lookup import live_conversation, read_body
from bridge.calls_api.speech import Interrupted
from bridge.conversation.talk import Talk
from bridge.hearing.events import InboundEvent
from bridge.line.playout import Interruption
from engine.web.operations import Operation

MAX_LIST: Final = 100


_Events = Annotated[
    Annotated[InboundEvent, Tag("event")] | Annotated[list[InboundEvent], Field(max_length=MAX_LIST), Tag("events")],
    Discriminator(lambda given: "events" if isinstance(given, list) else "event"),
]


class EventsRequest(RootModel[_Events]):
    """One event or a list of them, as OpenAI's Realtime API names them."""

    def tell(self, conversation: Talk) -> Interruption:
        """Tells the conversation the events; returns the last interruption that they caused."""
        last = Interruption(interrupted=False)
        for event in self.root if isinstance(self.root, list) else [self.root]:
            done = conversation.event(event)
            last = done if done.interrupted else last
        return last


async def post_events(request: web.Request) -> web.Response:
    live_conversation(request)
    events = await read_body(request, EventsRequest)
    return Interrupted.of(events.tell(live_conversation(request))).response(202)


OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/calls/{id}/events",
        post_events,
        "Tell what a recogniser has heard",
        {202: ("what it did to the agent's speech", (Interrupted,))},
        details=(
            "The same events as over `WS /v1/calls/{id}/events`. Delivered twice they are acted on once; what is older "
            "than the utterance by its `audio_start_ms` (milliseconds since the answer) is ignored."
        ),
        body=EventsRequest,
        errors=(400, 404, 409, 413, 415),
    ),
]
