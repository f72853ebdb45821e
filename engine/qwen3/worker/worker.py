"""The sentences of the model's process: who waits, who is in the batch, what is said."""

from __future__ import annotations

import secrets
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, NoReturn

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.batch.end_guard import EndGuard
from engine.qwen3.batch.runner import End, Utterance
from engine.qwen3.messages import (
    Audio,
    Beat,
    Cancel,
    Command,
    Event,
    Failed,
    Forget,
    Learn,
    More,
    Prime,
    Ready,
    Refused,
    Speak,
)
from engine.qwen3.model.sampling import Sampling
from engine.qwen3.worker.build import Assembly, memory
from engine.qwen3.worker.known_voices import KnownVoices
from engine.qwen3.worker.output import Output
from engine.speech import Priority, SpeechError

log = structlog.get_logger(__name__)

BEAT_S: Final = 1.0
# While sentences wait for a voice or for their text, and none for the GPU.
WAITING_POLL_S: Final = 0.002
# Nothing has come for so long: the next voice is made ready, which holds up whoever comes meanwhile by one step.
QUIET_S: Final = 0.05
ADMITTING_S: Final = 0.004
"""Putting sentences into the batch may hold up its next frame so long; those that are left come after it."""
PRIMING: Final = -2
"""The number of what speaks to nobody."""
FAULT_STATUS: Final = 70
"""Exit status after a fault that only a new process gets over."""

Send = Callable[[Iterable[Event]], None]


@dataclass(order=True, slots=True)
class _Waiting:
    """A sentence that is not in the batch yet."""

    priority: int
    needed_at_s: float
    order: int
    speak: Speak = field(compare=False)
    ids: list[int] | None = field(default=None, compare=False)
    """The text's tokens, once they have been looked at."""
    utterance: Utterance | None = field(default=None, compare=False)
    """Made once, though its place may be asked for between many frames."""


@dataclass(eq=False, slots=True)
class _Speaking:
    """A sentence in the batch."""

    utterance: Utterance
    output: Output
    speak: Speak
    given: int
    """Tokens of the text that the runner has."""
    grown: bool = False
    """The text has become longer than that, or whole."""


class Worker:
    """Takes commands in, drives the runner, hands events out. Everything but cloning happens in one thread."""

    def __init__(self, assembly: Assembly, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._assembly = assembly
        self._send = send
        self._clock = clock
        self._waiting: list[_Waiting] = []
        """In the order in which they are to be taken."""
        self._speaking: dict[int, _Speaking] = {}
        self._orders = count()
        self._voices = KnownVoices(assembly.checkpoint)
        self._priming: deque[Prime] = deque()
        self._primed: Utterance | None = None
        """In the batch, until its prefix is kept."""
        self._ends: dict[str, int] = {end.value: 0 for end in End}
        self._beat_at = 0.0
        checkpoint = self._assembly.checkpoint
        send([Ready(checkpoint.kind, checkpoint.instructable, self._facts(), tuple(self._assembly.warnings))])

    @property
    def patience_s(self) -> float:
        """How long to wait for a command before the next `turn`."""
        if any(not each.utterance.starved or each.grown for each in self._speaking.values()):
            return 0.0
        if self._primed is not None:
            return 0.0
        if any(self._can_begin(each) for each in self._waiting):
            return 0.0
        if self._speaking or self._waiting or self._voices.busy:
            return WAITING_POLL_S
        return QUIET_S if self._priming else BEAT_S

    def handle(self, command: Command) -> None:
        """Takes in one command; what it causes happens in `turn`."""
        match command:
            case Speak():
                needed_at_s = self._clock() + command.needed_in_s
                insort(self._waiting, _Waiting(command.priority, needed_at_s, next(self._orders), command))
            case More(number, text, whole):
                self._more(number, text, whole)
            case Cancel(number):
                speaking = self._speaking.pop(number, None)
                if speaking is not None:
                    self._assembly.runner.remove(speaking.utterance)
                self._waiting = [each for each in self._waiting if each.speak.number != number]
            case Prime():
                self._priming.append(command)
            case Learn():
                self._voices.learn(command)
            case Forget(key):
                self._voices.forget(key)

    def turn(self) -> None:
        """Admits who waits, makes one frame, hands out what is due. Raises SystemExit after a fault of the model."""
        events: list[Event] = []
        try:
            with torch.inference_mode():
                events += self._voices.arrived()
                self._extend(events)
                self._admit(events)
                self._prime()
                for made in self._assembly.runner.step():
                    speaking = self._speaking.get(made.utterance.number)
                    if speaking is None:
                        if made.utterance is self._primed and made.end is not None:
                            self._primed = None
                        continue
                    number, cut_short = made.utterance.number, made.end not in (None, End.SPOKEN)
                    if made.end is End.INVALID_CODE:
                        log.error("the model drew a code that may not be drawn: its sentence is given up")
                        events.append(Failed(number, "the model drew a code that is not speech"))
                        self._ends[made.end.value] += 1
                        del self._speaking[number]
                        continue
                    pieces = list(speaking.output.push(made.pcm))
                    if made.end is None:
                        events += [Audio(number, piece.tobytes()) for piece in pieces]
                        continue
                    pieces += speaking.output.flush(cut_short)
                    events += [Audio(number, piece.tobytes()) for piece in pieces]
                    events.append(Audio(number, b"", made.end.value))
                    self._ends[made.end.value] += 1
                    del self._speaking[number]
        except Exception as error:
            self._send(events)
            self._fault(error)
        self._send(events)
        self.beat()

    def beat(self) -> None:
        """Tells about once a second that the process lives."""
        now = self._clock()
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._send([Beat(self._facts(), tuple(self._assembly.warnings))])

    def close(self) -> None:
        """Waits for the thread that takes voices."""
        self._voices.close()

    def _more(self, number: int, text: str, whole: bool) -> None:
        if number in self._speaking:
            speaking = self._speaking[number]
            speaking.speak = replace(speaking.speak, text=speaking.speak.text + text, whole=whole)
            speaking.grown = True
        for waiting in self._waiting:
            if waiting.speak.number == number:
                waiting.speak = replace(waiting.speak, text=waiting.speak.text + text, whole=whole)
                waiting.ids = waiting.utterance = None

    def _extend(self, events: list[Event]) -> None:
        """Gives the runner what has come of texts that were not whole."""
        checkpoint = self._assembly.checkpoint
        for number, speaking in [item for item in self._speaking.items() if item[1].grown]:
            speaking.grown = False
            utterance, whole = speaking.utterance, speaking.speak.whole
            # All of it anew: a word has other tokens in front of it than alone.
            ids = checkpoint.tokenizer.text(speaking.speak.text)
            parts = [checkpoint.prompts.embed(ids[speaking.given :])] if len(ids) > speaking.given else []
            parts += [checkpoint.prompts.tts_eos[None]] if whole else []
            length = utterance.text_length + sum(map(len, parts))
            if refused := self._assembly.slots.too_long(length):
                self._assembly.runner.remove(utterance)
                del self._speaking[number]
                events.append(Failed(number, refused))
            elif parts:
                if whole and utterance.guard is not None:
                    utterance.guard.text_frames = length
                self._assembly.runner.extend(utterance, torch.cat(parts), final=whole)
                speaking.given = len(ids)

    def _admit(self, events: list[Event]) -> None:
        begun_s = self._clock()
        # Whose voice is being taken, or whose text is too short yet, holds up nobody behind it.
        while (waiting := next((each for each in self._waiting if self._can_begin(each)), None)) is not None:
            speak = waiting.speak
            try:
                waiting.utterance = waiting.utterance or self._utterance(waiting)
                refused = self._assembly.slots.check(waiting.utterance.prompt)
                if refused:
                    raise SpeechError(refused)
                if not self._assembly.runner.admit(waiting.utterance):
                    self._refuse(events)
                    return
            except SpeechError as error:
                events.append(Failed(speak.number, str(error)))
            else:
                given = len(self._ids(waiting))
                self._speaking[speak.number] = _Speaking(waiting.utterance, Output(speak.speed), speak, given)
            self._waiting.remove(waiting)
            if self._clock() - begun_s > ADMITTING_S:
                return

    def _refuse(self, events: list[Event]) -> None:
        """There is no place now: those that can wait no longer are told."""
        now = self._clock()
        late = [each for each in self._waiting if now > each.needed_at_s + each.speak.patience_s]
        for waiting in late:
            if self._can_begin(waiting):
                self._waiting.remove(waiting)
                events.append(Refused(waiting.speak.number))

    def _prime(self) -> None:
        """Puts one more prompt into the batch, if there is nothing else to do; takes it out once its prefix is kept."""
        if self._primed is None and not (self._speaking or self._waiting or self._voices.busy):
            self._primed = self._next_to_prime()
        if self._primed is not None and self._assembly.slots.prefixes.get(self._primed.prompt.key) is not None:
            self._assembly.runner.remove(self._primed)
            self._primed = None

    def _next_to_prime(self) -> Utterance | None:
        if not self._priming:
            return None
        prime = self._priming.popleft()
        speak = Speak(PRIMING, "A", prime.voice, prime.language, prime.instructions, priority=Priority.BULK)
        try:
            utterance = self._utterance(_Waiting(0, 0.0, 0, speak))
        except SpeechError:  # forgotten meanwhile
            return None
        assembly = self._assembly
        if assembly.slots.prefixes.spare_bytes < assembly.slots.prefixes.largest_bytes:
            self._priming.clear()  # another one might throw the first out
            return None
        if assembly.slots.check(utterance.prompt) or not assembly.runner.admit(utterance):
            return None
        return utterance

    def _can_begin(self, waiting: _Waiting) -> bool:
        speak = waiting.speak
        if self._voices.is_coming(speak.voice):
            return False
        taught = self._voices.taught(speak.voice)
        return speak.whole or taught is None or self._assembly.checkpoint.prompts.enough(self._ids(waiting), taught)

    def _ids(self, waiting: _Waiting) -> list[int]:
        if waiting.ids is None:
            waiting.ids = self._assembly.checkpoint.tokenizer.text(waiting.speak.text)
        return waiting.ids

    def _utterance(self, waiting: _Waiting) -> Utterance:
        checkpoint, speak, ids = self._assembly.checkpoint, waiting.speak, self._ids(waiting)
        if speak.language is not None and speak.language not in checkpoint.ids.languages:
            raise SpeechError(f"this model does not speak {speak.language}")
        instruct = checkpoint.tokenizer.instruction(speak.instructions) if speak.instructions else ()
        speaker = self._voices.speaker(speak.voice)
        prompt = checkpoint.prompts.build(ids, speaker, speak.language, instruct, final=speak.whole)
        utterance = Utterance(speak.number, prompt, self._sampling(speak), len(ids), priority=speak.priority)
        if not speak.whole:
            utterance.final = False
            # The token that closes the text is not the budget's; `Runner.extend` will count it.
            utterance.text_tokens -= 1
            # From the first frame on, though only a whole text can be over.
            utterance.guard = EndGuard(None)
        return utterance

    def _sampling(self, speak: Speak) -> Sampling:
        base = self._assembly.checkpoint.sampling
        temperature, top_p = speak.temperature, speak.top_p
        return replace(
            base,
            temperature=base.temperature if temperature is None else temperature,
            sub_temperature=base.sub_temperature if temperature is None else temperature,
            top_p=base.top_p if top_p is None else top_p,
            sub_top_p=base.sub_top_p if top_p is None else top_p,
            seed=secrets.randbits(63) if speak.seed is None else speak.seed,
        )

    def _fault(self, error: Exception) -> NoReturn:
        """Ends every sentence and then the process: after a fault of the GPU nothing within it can be relied on."""
        message = f"the model failed: {first_line(error)}"
        log.error(message, exc_info=error)
        self._send([Failed(number, message) for number in [*self._speaking, *(w.speak.number for w in self._waiting)]])
        raise SystemExit(FAULT_STATUS) from error

    def _facts(self) -> dict[str, Any]:
        return {
            **self._assembly.facts,
            **self._assembly.runner.facts,
            "active": self._assembly.runner.active,
            "waiting": len(self._waiting),
            "ends": dict(self._ends),
            **memory(self._assembly.checkpoint.device),
        }
