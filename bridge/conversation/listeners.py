"""Makes what listens to a call: the recogniser, and the local detector beside it."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from bridge.conversation.answering_machine import AMD
from bridge.conversation.call_rules import end_rules
from bridge.conversation.conversation import Conversation
from bridge.conversation.resources import Resources
from bridge.hearing.asr.client import AsrClient
from bridge.hearing.asr.embedded import EmbeddedAsr
from bridge.hearing.asr.protocol import AsrOptions
from bridge.hearing.asr.protocols import PROTOCOLS
from bridge.hearing.events import Heard
from bridge.hearing.judged_ear import JudgedEar
from bridge.hearing.listening import LocalEar, Recognizer
from bridge.hearing.speech_gate import GateRules


def make_listeners(
    conversation: Conversation, resources: Resources, http: aiohttp.ClientSession
) -> tuple[Recognizer | None, LocalEar | None]:
    """Returns what the settings of the call's agent ask for. The recogniser's connections are made over `http`."""
    settings, listening = conversation.agent.settings, conversation.listening
    recognizer, detector = resources.recognizer(settings), resources.detector(settings)

    rules = GateRules(
        pause_ms=settings.early_ms,
        side_talk_db=settings.side_talk_db,
        tells_hold=settings.hold_detection,
        tells_beeps=AMD in conversation.variables,
    )
    ends, smart_turn = end_rules(settings, conversation.variables), resources.smart_turn(settings)
    if recognizer is not None:
        embedded = EmbeddedAsr(
            recognizer,
            listening.heard,
            agent_speaks=listening.agent_is_audible,
            may_echo=listening.agent_may_echo,
            rules=rules,
            end_of_turn=ends,
            smart_turn=smart_turn,
            pools=lambda code: resources.recognizer(settings.model_copy(update={"asr_language": code})),
            call_id=str(conversation.call.id),
        )
        return embedded, None
    if not settings.asr_url:
        return None, None
    options = AsrOptions(
        language=settings.asr_language or None,
        model=settings.asr_model,
        api_key=settings.asr_api_key.get_secret_value(),
        sample_rate_hz=settings.asr_sample_rate,
    )
    protocol = PROTOCOLS[settings.asr_protocol]
    ear: LocalEar | None = None
    hear: Callable[[Heard], object] = listening.heard
    if detector is not None and protocol.speech_events:
        ear = detector.ear(
            listening.heard_locally,
            agent_speaks=listening.agent_is_audible,
            may_echo=listening.agent_may_echo,
            rules=rules,
        )
    elif detector is not None:
        ear = judged = JudgedEar(
            detector,
            listening.heard_locally,
            listening.agent_is_audible,
            listening.agent_may_echo,
            rules,
            ends,
            smart_turn,
            flush=lambda: client.flush(),
        )

        def hear(event: Heard) -> None:
            if judged.heard(event):
                listening.heard(event)

    client = AsrClient(protocol, settings.asr_url, options, http, hear, call_id=str(conversation.call.id))
    return client, ear
