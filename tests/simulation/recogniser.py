"""The recogniser of a run: it tells what the plan has the callers say.

It speaks OpenAI's Realtime protocol or, where it is asked for them, Deepgram's turns (Flux), which tell early that the
caller may be done.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from itertools import count
from random import Random
from typing import Any, Final, cast

import numpy as np

from tests.simulation.caller import Caller
from tests.simulation.network import Address
from tests.simulation.plan import Saying
from tests.simulation.virtual_loop import VirtualLoop

SAYING_BITS: Final = 3
"""The bits of each sample that say what is being said."""
ADDRESS: Final[Address] = ("10.0.0.3", 8000)
_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class SimulatedRecogniser:
    """Listens while it is up."""

    def __init__(self, loop: VirtualLoop, seed: int, callers: list[Caller]) -> None:
        self.loop = loop
        self.callers = {str(caller.id): caller for caller in callers}
        self.chance = Random(f"{seed}/recogniser")
        self.garbles = False
        """It sends what nobody can read."""
        self.is_deaf = False
        """It takes the sound, and tells nothing."""
        self.listens = False
        """It goes by the sound, whose lowest bits say which of the plan's sayings it is; else by the plan alone."""
        self.items = count(1)
        self.host = loop.network.host("recogniser", ADDRESS)
        self.listen()

    def listen(self) -> None:
        """Takes connections, at the start and once it has been started again."""
        self.host.accept = lambda: Session(self)


class Session(asyncio.Protocol):
    """One WebSocket."""

    def __init__(self, service: SimulatedRecogniser) -> None:
        self._service = service
        self._data = b""
        self._open = False
        self._timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connected_s = self._service.loop.time()
        self._hears = 0
        """The saying that goes on."""

    def connection_lost(self, error: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()

    @property
    def is_open(self) -> bool:
        """Tells whether it can still be sent on."""
        return not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open and b"\r\n\r\n" in self._data:
            head, self._data = self._data.split(b"\r\n\r\n", 1)
            self._shake_hands(head)
        if self._open:
            self._read_frames()

    def _shake_hands(self, head: bytes) -> None:
        lines = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        headers = {name.lower(): value for name, value in lines}
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + _KEY).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._open = True
        tell = self._tell_turn if head.startswith(b"GET /v2/listen") else self.tell
        self._caller = caller = self._service.callers[headers[b"x-call-id"].decode()]
        now_s, loop = self._service.loop.time(), self._service.loop
        for saying in caller.plan.sayings:
            at_s = caller.watch.accepted_s + saying.at_s
            if (
                not saying.digit and at_s >= now_s and not self._service.listens
            ):  # what was said while it was down is lost
                self._timers.append(loop.call_at(at_s, tell, saying))

    def _read_frames(self) -> None:
        """Skips the sound, answers pings and the close."""
        data, at = self._data, 0
        while len(data) - at >= 6:
            length, head = data[at + 1] & 0x7F, 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            if len(data) - at < head + 4 + length:
                break
            kind, body = data[at] & 0x0F, at + head + 4
            if kind in (_PING, _CLOSE):
                payload = _unmasked(data[body - 4 : body], data[body : body + length])
                self._send(_PONG if kind == _PING else _CLOSE, payload)
                if kind == _CLOSE:
                    self._transport.close()
            elif kind == _TEXT and self._service.listens:
                self._listen(_unmasked(data[body - 4 : body], data[body : body + length]))
            at = body + length
        self._data = data[at:]

    def _listen(self, message: bytes) -> None:
        """Takes a message with sound, and tells what is said in it."""
        asked = json.loads(message)
        if asked.get("type") != "input_audio_buffer.append":
            return
        samples = np.frombuffer(base64.b64decode(asked["audio"]), "<i2")
        hears = int(np.bincount(samples & SAYING_BITS, minlength=2).argmax())
        if hears == self._hears:
            return
        if self._hears:
            saying, item = self._caller.plan.sayings[self._hears - 1], f"item_{next(self._service.items)}"
            self.send_event(type="input_audio_buffer.speech_stopped", item_id=item)
            self._later(saying.after_s, type=f"{TRANSCRIPTION}.completed", item_id=item, transcript=saying.words)
        if hears:
            self.send_event(type="input_audio_buffer.speech_started", item_id="")
        self._hears = hears

    def tell(self, saying: Saying) -> None:
        """Tells one thing that the caller says, from its start to its words."""
        item = f"item_{next(self._service.items)}"
        for _ in range(1 + saying.begins_twice):
            self.send_event(type="input_audio_buffer.speech_started", item_id=item)
        words = saying.words.split()
        for place, word in enumerate(words):
            after_s = saying.lasts_s * (place + 1) / (len(words) + 1)
            self._later(after_s, type=f"{TRANSCRIPTION}.delta", item_id=item, delta=f"{word} ")
        if saying.is_lost:
            return
        over_s = saying.lasts_s + saying.after_s
        self._later(saying.lasts_s, type="input_audio_buffer.speech_stopped", item_id=item)
        self._later(over_s, type=f"{TRANSCRIPTION}.completed", item_id=item, transcript=saying.words)

    def _tell_turn(self, saying: Saying) -> None:
        """Tells the same as one of Flux's turns. Whoever begins twice has made a pause that was not the end."""
        words, lasts_s = saying.words.split(), saying.lasts_s
        self._turn(0.0, "StartOfTurn", words[:1])
        for place in range(len(words)):
            self._turn(lasts_s * (place + 1) / (len(words) + 1), "Update", words[: place + 1])
        if saying.begins_twice:
            self._turn(lasts_s / 2, "EagerEndOfTurn", words[: len(words) // 2 + 1])
            self._turn(lasts_s / 2 + 0.1, "TurnResumed", words)
        self._turn(lasts_s, "EagerEndOfTurn", words)
        if not saying.is_lost:
            self._turn(lasts_s + saying.after_s, "EndOfTurn", words)

    def _turn(self, after_s: float, event: str, words: list[str]) -> None:
        end_s = self._service.loop.time() - self._connected_s + after_s
        fields = {"event": event, "transcript": " ".join(words), "audio_window_end": round(end_s, 3)}
        self._later(after_s, type="TurnInfo", **fields)

    def _later(self, after_s: float, **fields: Any) -> None:
        self._timers.append(self._service.loop.call_later(after_s, lambda: self.send_event(**fields)))

    def send_event(self, **fields: Any) -> None:
        """Sends one message."""
        if self._service.is_deaf:
            return
        text = json.dumps(fields).encode()
        if self._service.garbles:
            chance = self._service.chance
            text = chance.choice((text[: len(text) // 2], b"[]", b'{"type": 5}', b'{"type": "error"}', b"\x00"))
        self._send(_TEXT, text)

    def _send(self, kind: int, payload: bytes) -> None:
        length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
        self._transport.write(bytes([0x80 | kind]) + length + payload)


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    """Returns what a client has masked."""
    key = np.resize(np.frombuffer(mask, np.uint8), len(payload))
    return bytes(np.frombuffer(payload, np.uint8) ^ key)
