"""Deepgram's live transcription: `/v1/listen` (Nova) and `/v2/listen` (Flux, which decides itself when a turn ends)."""

from __future__ import annotations

import json
from typing import Any, Final

from bridge.hearing.asr.protocol import AsrOptions, AsrProtocol, Message, Read, ServiceError, decode
from bridge.hearing.events import (
    MAX_TEXT_CHARS,
    BadEvent,
    Heard,
    Partial,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)

MAX_S: Final = 1e6
"""The longest time that is believed; no call is as long."""


class Deepgram(AsrProtocol):
    """It sends binary audio and reads Results, SpeechStarted and UtteranceEnd, or from Flux TurnInfo."""

    path = "/v1/listen"
    speech_events = True
    default_rate_hz = 16_000

    def __init__(self, options: AsrOptions, offset_ms: int = 0) -> None:
        super().__init__(options, offset_ms)
        self._is_flux = options.model.startswith("flux")
        self._finished = ""
        """The beginning of the utterance, which will not change any more, up to MAX_TEXT_CHARS."""
        self._started_ms = 0
        """Where the utterance, or the sound that may become one, began."""
        self._open = False
        """The utterance has not ended yet."""

    def query(self) -> dict[str, str]:
        query = {
            "encoding": "linear16",
            "sample_rate": str(self.sample_rate_hz),
            "channels": "1",
            "interim_results": "true",
            "vad_events": "true",
            "endpointing": "300",
            "utterance_end_ms": "1000",
            "punctuate": "true",
        }
        if self._is_flux:
            query = {"encoding": "linear16", "sample_rate": str(self.sample_rate_hz)}
        if self.options.model:
            query["model"] = self.options.model
        if self.options.language and not self._is_flux:
            query["language"] = self.options.language
        return query

    def url(self, base: str) -> str:
        url = super().url(base)
        return url.replace("/v1/listen", "/v2/listen") if self._is_flux else url

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.options.api_key}"} if self.options.api_key else {}

    def audio(self, pcm: bytes) -> list[Message]:
        return [pcm]

    def flush(self) -> list[Message]:
        if self._is_flux:
            return []  # Flux ends turns itself and knows no such message
        return [json.dumps({"type": "Finalize"})]

    def closing(self) -> list[Message]:
        return [json.dumps({"type": "CloseStream"})]

    def read(self, message: Message) -> Read | None:
        event = decode(message)
        match event.get("type"):
            case "SpeechStarted":
                start_ms = self._ms(event.get("timestamp"))
                self._open, self._started_ms = True, start_ms or 0
                return [SpeechStarted(start_ms)], []
            case "Results":
                return self._results(event), []
            case "UtteranceEnd":
                end_ms = self._ms(event.get("last_word_end"))
                is_old = end_ms is not None and end_ms < self._started_ms  # the caller has begun anew since
                return ([] if not self._open or (is_old and not self._finished) else self._end(end_ms)), []
            case "TurnInfo":
                return self._turn(event), []
            case "Error" | "error":
                raise ServiceError(str(event.get("description") or event.get("message") or event))
            case str():
                return None
        raise BadEvent("type: text expected")

    def _results(self, event: dict[str, Any]) -> list[Heard]:
        try:
            text = str(event["channel"]["alternatives"][0]["transcript"]).strip()
        except (KeyError, IndexError, TypeError):
            raise BadEvent("channel.alternatives.0.transcript is missing") from None
        self._open = self._open or bool(text)
        if not event.get("is_final"):
            return [Partial(self._with(text))] if text else []
        if text:
            self._finished = self._with(text)
        start_ms, duration_ms = self._ms(event.get("start")), _ms(event.get("duration"))
        end_ms = None if start_ms is None or duration_ms is None else start_ms + duration_ms
        # Nothing else tells the end of a sound in which there were no words.
        was_noise = self._open and (end_ms is None or end_ms >= self._started_ms)
        if event.get("speech_final") or (event.get("from_finalize") and (self._finished or was_noise)):
            return self._end(end_ms)
        return [Partial(self._finished)] if text else []

    def _with(self, text: str) -> str:
        return f"{self._finished} {text}".lstrip()[:MAX_TEXT_CHARS]

    def _end(self, audio_end_ms: int | None) -> list[Heard]:
        text, self._finished = self._finished, ""
        self._open = False
        return [SpeechStopped(audio_end_ms), Transcript(text)]

    def _turn(self, event: dict[str, Any]) -> list[Heard]:
        text = str(event.get("transcript", "")).strip()
        match event.get("event"):
            case "StartOfTurn":
                # Not audio_window_start: a turn's window begins where the last turn ended, however long ago.
                started: Heard = SpeechStarted(self._first_word_ms(event))
                return [started, Partial(text)] if text else [started]
            case "EndOfTurn":
                return [SpeechStopped(self._ms(event.get("audio_window_end"))), Transcript(text)]
            case "EagerEndOfTurn":
                paused: Heard = SpeechPaused(self._ms(event.get("audio_window_end")))
                return [Partial(text), paused] if text else [paused]
            case "TurnResumed":
                return [SpeechResumed(), Partial(text)] if text else [SpeechResumed()]
            case _:
                return [Partial(text)] if text else []

    def _first_word_ms(self, event: dict[str, Any]) -> int | None:
        words = event.get("words")
        first = words[0] if isinstance(words, list) and words and isinstance(words[0], dict) else {}
        return self._ms(first.get("start", event.get("audio_window_end")))

    def _ms(self, at_s: Any) -> int | None:
        at_ms = _ms(at_s)
        return None if at_ms is None else at_ms + self.offset_ms


def _ms(seconds: Any) -> int | None:
    return round(seconds * 1000) if isinstance(seconds, int | float) and 0 <= seconds < MAX_S else None
