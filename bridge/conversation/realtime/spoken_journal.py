"""Puts into the journal what a speech-to-speech service has said and the caller has heard, with the turn's stages."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from bridge.conversation.journal import Journal
from bridge.conversation.metrics import ConversationMetrics
from bridge.conversation.realtime.spoken_items import SpokenItem
from bridge.conversation.trace import Mark, TurnTrace
from bridge.conversation.unheard_text import rest_of

log = structlog.get_logger(__name__)


class SpokenJournal:
    """Notes the items of one call's service."""

    def __init__(
        self,
        call_id: str,
        journal: Journal,
        metrics: ConversationMetrics,
        now_s: Callable[[], float],
        agent_name: Callable[[], str],
    ) -> None:
        """`agent_name` returns the name of the agent that has the call now."""
        self._call_id = call_id
        self._journal = journal
        self._metrics = metrics
        self._now_s = now_s
        self._agent_name = agent_name
        self.trace = TurnTrace()
        """The stages of the turn that is being made; set anew when the caller has spoken."""

    def sounded(self) -> None:
        """Notes that sound has come from the service."""
        now_s = self._now_s()
        self.trace.mark(Mark.FIRST_AUDIO, now_s)
        self.trace.at_s[Mark.LAST_AUDIO] = now_s

    def started(self, item: SpokenItem, audio_ms: int) -> None:
        """Notes that an item's first frame leaves."""
        item.started_ms = audio_ms
        self.trace.mark(Mark.FIRST_FRAME, self._now_s())
        self._metrics.observe(self.trace, self._agent_name())
        self._journal.tell("response.started", id=item.utterance.id)

    def said(self, item: SpokenItem) -> None:
        """Notes an item that was heard to its end, and whose words have come."""
        text = item.text.strip()
        self._keep(item, text, interrupted=False)
        self._journal.tell("response.done", text=text)

    def cut(self, item: SpokenItem, text: str, heard_ms: int, reason: str) -> None:
        """Notes an item of which only this was heard."""
        self._keep(item, text, interrupted=True)
        self._journal.tell("response.interrupted", text=text, audio_end_ms=heard_ms, reason=reason)

    def _keep(self, item: SpokenItem, text: str, *, interrupted: bool) -> None:
        trace, self.trace = self.trace, TurnTrace()
        trace.end(self._now_s(), self._now_s())
        stages = trace.stages_ms()
        log.info("turn", call=self._call_id, interrupted=interrupted, **stages)
        if text:
            unheard = rest_of(item.text, text) if interrupted else ""
            self._metrics.heard(self._agent_name(), text, unheard)
            self._journal.agent(text, item.started_ms, interrupted=interrupted, trace=stages, unheard=unheard)
        self._journal.turn(trace, interrupted=interrupted)
