"""The worker: keeps the model process's sentences, from the command to speak to the last sound that is sent."""

from __future__ import annotations

import secrets
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NoReturn

import structlog
import torch

from engine.errors import first_line
from engine.qwen3.batch.runner import Made
from engine.qwen3.batch.sentence import End, Sentence
from engine.qwen3.messages import (
    Audio,
    Beat,
    Cancel,
    Command,
    Event,
    Failed,
    Forget,
    Learn,
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
# How often to look while sentences wait for a voice, and none for the GPU.
WAITING_POLL_S: Final = 0.002
# When nothing has come for so long, the next voice is made ready; a sentence that comes meanwhile waits for one step.
QUIET_S: Final = 0.05
ADMITTING_S: Final = 0.004
"""Admitting sentences may hold up the batch's next frame for so long; those that are left come after it."""
PRIMING: Final = -2
"""The number of the sentence that only makes a voice ready; nobody hears it."""
FAULT_STATUS: Final = 70
"""The exit status after a fault that only a new process gets over."""

Send = Callable[[Iterable[Event]], None]


class Worker:
    """Takes commands in, drives the runner, hands events out. Everything but cloning happens in one thread."""

    def __init__(self, assembly: Assembly, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._assembly = assembly
        self._send = send
        self._clock = clock
        self._waiting: list[Sentence] = []
        """The sentences that are not in the batch yet, in the order in which they are to be taken."""
        self._speaking: dict[int, Sentence] = {}
        """The sentences in the batch, by their numbers."""
        self._outputs: dict[int, Output] = {}
        """Where the sound of each sentence in the batch goes."""
        self._voices = KnownVoices(assembly.checkpoint)
        self._priming: deque[Prime] = deque()
        self._primed: Sentence | None = None
        """The sentence that makes a voice ready, in the batch until its prefix is kept."""
        self._ends: dict[str, int] = {end.value: 0 for end in End}
        self._beat_at = 0.0
        checkpoint = self._assembly.checkpoint
        send([Ready(checkpoint.kind, checkpoint.instructable, self._facts(), tuple(self._assembly.warnings))])

    @property
    def patience_s(self) -> float:
        """The seconds to wait for a command before the next `turn`."""
        if self._speaking or self._primed is not None:
            return 0.0
        if any(self._can_begin(each) for each in self._waiting):
            return 0.0
        if self._waiting or self._voices.busy:
            return WAITING_POLL_S
        return QUIET_S if self._priming else BEAT_S

    def handle(self, command: Command) -> None:
        """Takes in one command; `turn` carries it out."""
        match command:
            case Speak():
                sentence = Sentence(command, self._clock() + command.needed_in_s)
                insort(self._waiting, sentence, key=lambda each: (each.priority, each.needed_at_s))
            case Cancel(number):
                if number in self._speaking:
                    self._assembly.runner.remove(self._speaking[number])
                    self._forget(number)
                self._waiting = [each for each in self._waiting if each.number != number]
            case Prime():
                self._priming.append(command)
            case Learn():
                self._voices.learn(command)
            case Forget(key):
                self._voices.forget(key)

    def turn(self) -> None:
        """Admits sentences, makes one frame, sends what is due. Raises SystemExit after a fault of the model."""
        events: list[Event] = []
        try:
            with torch.inference_mode():
                events += self._voices.arrived()
                self._admit(events)
                self._prime()
                for made in self._assembly.runner.step():
                    events += self._told(made)
        except Exception as error:
            self._send(events)
            self._fault(error)
        self._send(events)
        self.beat()

    def beat(self) -> None:
        """Sends a Beat about once a second, as a sign that the process lives."""
        now = self._clock()
        if now >= self._beat_at:
            self._beat_at = now + BEAT_S
            self._send([Beat(self._facts(), tuple(self._assembly.warnings))])

    def close(self) -> None:
        """Waits for the thread that takes voices."""
        self._voices.close()

    def _told(self, made: Made) -> Iterator[Event]:
        """Yields the events for what the runner has made of one sentence."""
        sentence, number = made.sentence, made.sentence.number
        if sentence is self._primed and made.end is not None:
            self._primed = None
        if self._speaking.get(number) is not sentence:
            return
        if made.end is End.INVALID_CODE:
            log.error("the model drew a code that may not be drawn: its sentence is given up")
            yield Failed(number, "the model drew a code that is not speech")
        else:
            output = self._outputs[number]
            pcm = output.push(made.pcm, made.levels).tobytes()
            if made.end is not None:
                pcm += output.flush(cut_short=made.end is not End.SPOKEN).tobytes()
            if pcm or made.end is not None:
                yield Audio(number, pcm, None if made.end is None else made.end.value)
        if made.end is not None:
            self._ends[made.end.value] += 1
            self._forget(number)

    def _forget(self, number: int) -> None:
        del self._speaking[number], self._outputs[number]

    def _admit(self, events: list[Event]) -> None:
        begun_s = self._clock()
        # A sentence whose voice is being taken holds up none behind it.
        while (sentence := next((each for each in self._waiting if self._can_begin(each)), None)) is not None:
            try:
                # A place may be asked for many times; the prompt is built once.
                if not sentence.built:
                    self._build(sentence)
                if not self._assembly.runner.admit(sentence):
                    self._refuse(events)
                    return
            except SpeechError as error:
                events.append(Failed(sentence.number, str(error)))
            else:
                self._speaking[sentence.number] = sentence
                self._outputs[sentence.number] = Output(sentence.request.speed, sentence.request.narrowband)
            self._waiting.remove(sentence)
            if self._clock() - begun_s > ADMITTING_S:
                return

    def _refuse(self, events: list[Event]) -> None:
        """Refuses the sentences that can wait no longer, now that there is no place."""
        now = self._clock()
        late = [each for each in self._waiting if now > each.needed_at_s + each.request.patience_s]
        for sentence in late:
            if self._can_begin(sentence):
                self._waiting.remove(sentence)
                events.append(Refused(sentence.number))

    def _prime(self) -> None:
        """Puts one more voice's prompt into the batch while it is idle, and takes it out once its prefix is kept."""
        if self._primed is None and not (self._speaking or self._waiting or self._voices.busy):
            self._primed = self._next_to_prime()
        if self._primed is not None and self._assembly.slots.prefixes.get(self._primed.prompt.key) is not None:
            self._assembly.runner.remove(self._primed)
            self._primed = None

    def _next_to_prime(self) -> Sentence | None:
        if not self._priming:
            return None
        prime = self._priming.popleft()
        speak = Speak(PRIMING, "A", prime.voice, prime.language, prime.instructions, priority=Priority.BULK)
        sentence, assembly = Sentence(speak), self._assembly
        if assembly.slots.prefixes.spare_bytes < assembly.slots.prefixes.largest_bytes:
            self._priming.clear()  # another one might throw the first out
            return None
        try:
            self._build(sentence)
        except SpeechError:  # forgotten meanwhile
            return None
        return sentence if assembly.runner.admit(sentence) else None

    def _can_begin(self, sentence: Sentence) -> bool:
        return not self._voices.is_coming(sentence.request.voice)

    def _build(self, sentence: Sentence) -> None:
        """Builds a sentence's prompt. Raises SpeechError where it cannot be spoken here."""
        checkpoint, speak = self._assembly.checkpoint, sentence.request
        ids = checkpoint.tokenizer.text(speak.text)
        if speak.language is not None and speak.language not in checkpoint.ids.languages:
            raise SpeechError(f"this model does not speak {speak.language}")
        instruct = checkpoint.tokenizer.instruction(speak.instructions) if speak.instructions else ()
        prompt = checkpoint.prompts.build(ids, self._voices.speaker(speak.voice), speak.language, instruct)
        if refused := self._assembly.slots.check(prompt):
            raise SpeechError(refused)
        sentence.build(prompt, self._sampling(speak), len(ids))

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
        self._send([Failed(number, message) for number in [*self._speaking, *(each.number for each in self._waiting)]])
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
