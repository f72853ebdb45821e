"""The local detector's ear of a call whose recogniser is a service that does not tell when speech starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from bridge.hearing.events import Heard, Partial, SpeechPaused, Transcript, Voiced
from bridge.hearing.smart_turn import RATE_HZ, SECONDS, SmartTurn
from bridge.hearing.speech_gate import GateRules
from bridge.hearing.vad import Detector
from bridge.turns.end_of_turn import EndOfTurn
from engine.audio import RateConverter

log = structlog.get_logger(__name__)

PAUSE_MS: Final = 128
"""How much silence is judged, unless the gate's rules say less or more."""
_KEPT_BYTES: Final = SECONDS * RATE_HZ * 2


class JudgedEar:
    """Has each pause judged by the service's words and the caller's sound, and ends the turn after what they say.

    Words that come during the pause are judged too, as long as it goes on: a service tells them a little late. What
    somebody beside the caller says is kept from the conversation.
    """

    def __init__(
        self,
        detector: Detector,
        on_event: Callable[[Voiced], None],
        agent_speaks: Callable[[], bool],
        may_echo: Callable[[], bool],
        rules: GateRules,
        end_of_turn: EndOfTurn,
        smart_turn: SmartTurn | None,
        *,
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        """`flush` asks the service for the final transcript of what it has heard."""
        longest_ms = end_of_turn.longest_ms(has_model=smart_turn is not None)
        rules = replace(rules, stop_ms=longest_ms, pause_ms=rules.pause_ms or PAUSE_MS)
        self._ear = detector.ear(self._voice, agent_speaks=agent_speaks, may_echo=may_echo, rules=rules)
        self._on_event = on_event
        self._end_of_turn = end_of_turn
        self._smart_turn = smart_turn
        self._converter = RateConverter(RATE_HZ)
        self._audio = bytearray()
        """The latest audio, in which the model is to find out whether the caller has ended."""
        self._words = ""
        """What the service has recognised since its latest final transcript."""
        self._paused_ms: int | None = None
        """Where the present pause began; None while there is none."""
        self._ended: float | None = None
        """How likely the caller has ended, by the sound before the present pause; None until that is known."""
        self._judging: asyncio.Task[None] | None = None
        self._flush = flush
        self._beside = False
        """True from when somebody beside the caller begins to speak until the service has given their last words."""
        self._flushed = False

    def push(self, pcm: bytes, rate_hz: int) -> None:
        """Takes the caller's audio, 16-bit little-endian mono, gaps filled, from the answer on."""
        if self._smart_turn is not None:
            self._audio += self._converter.push(pcm, rate_hz).tobytes()
            if len(self._audio) > 2 * _KEPT_BYTES:  # in strides, so that the memory is seldom moved
                del self._audio[:-_KEPT_BYTES]
        self._ear.push(pcm, rate_hz)
        if self._ear.beside:
            self._beside, self._flushed = True, False
        elif self._beside and not self._flushed:
            self._flushed = True
            self._flush()

    def close(self) -> None:
        """Tells nothing more."""
        self._ear.close()
        if self._judging is not None:
            self._judging.cancel()

    def heard(self, event: Heard) -> bool:
        """Takes what the service has recognised; returns whether the caller has said it."""
        if self._beside:
            self._beside = self._ear.beside or not isinstance(event, Transcript)
            return False
        match event:
            case Partial(text):
                self._words = text
                if self._judging is None:
                    self._decide()
            case Transcript():
                self._words = ""
        return True

    def _voice(self, event: Voiced) -> None:
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None
        self._paused_ms = self._ended = None
        self._beside = False
        if isinstance(event, SpeechPaused):
            self._paused_ms = event.audio_end_ms
            self._judging = asyncio.get_running_loop().create_task(self._judge())
        self._on_event(event)

    async def _judge(self) -> None:
        if self._smart_turn is not None:
            try:
                self._ended = await self._smart_turn.probability(bytes(self._audio[-_KEPT_BYTES:]))
            except Exception:  # the silence is still there
                log.exception("the end of a turn could not be judged")
        self._judging = None
        self._decide()

    def _decide(self) -> None:
        if self._paused_ms is not None:
            self._ear.end_after(self._end_of_turn.wait_ms(self._words, self._ended), self._paused_ms)
