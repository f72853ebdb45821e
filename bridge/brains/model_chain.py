"""The language models that are asked in turn until one answers: the first, the first again, then a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import structlog
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from bridge.brains.brain import BrainError, BreakOff
from bridge.brains.messages import Message
from bridge.brains.model import Model, ModelError
from engine.text import whole_sentences

log = structlog.get_logger(__name__)

TRIES: Final = 2
"""How often one model is asked, if it fails at once or answers nothing."""
PAUSE_S: Final = 0.2
"""The wait before a model that has failed is asked again."""
REST_S: Final = 30.0
"""How long a model that has failed is not asked while there is another: each turn would wait for it in vain."""


class ModelChain:
    """The models of the process, in the order in which they are asked."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.models = models
        self._rested_s = dict.fromkeys(models, 0.0)
        """When a model that has failed may be asked first again."""

    async def answer(
        self, messages: list[Message], tools: list[dict[str, Any]], *, may_be_empty: bool = False
    ) -> AsyncGenerator[str | ChoiceDeltaToolCall | BreakOff]:
        """Yields the first answer that can be had, as `Model.answer` does. Raises BrainError.

        An answer that breaks off ends with its last whole sentence, which the caller hears; what was begun after that
        is taken back. If no sentence was whole, or a tool was being called, the question is asked again.
        """
        reasons: list[str] = []
        for model in self._in_order():
            until_s = self._clock() + model.options.timeout_ms / 1000
            for attempt in range(TRIES):
                said, calls = "", False
                try:
                    async with aclosing(model.answer(messages, tools, until_s)) as parts:
                        async for part in parts:
                            if isinstance(part, str):
                                said += part
                            else:
                                calls = True
                            yield part
                    if said or calls or may_be_empty:
                        return
                    error = ModelError("the language model answered nothing", try_again=True)
                except ModelError as failure:
                    error = failure
                    if said or calls:
                        yield BreakOff()
                    if not calls and whole_sentences(said):
                        log.warning(
                            "the language model's answer broke off", model=model.options.model, reason=str(error)
                        )
                        return
                reasons.append(str(error))
                if not error.try_again or attempt + 1 == TRIES:
                    if error.is_down:
                        self._rested_s[model] = self._clock() + REST_S
                    break
                log.info("the language model is asked again", model=model.options.model, reason=str(error))
                await asyncio.sleep(PAUSE_S)
        raise BrainError("; then ".join(dict.fromkeys(reasons)))

    async def close(self) -> None:
        """Closes the models' connections."""
        for model in self.models:
            await model.close()

    def _in_order(self) -> list[Model]:
        """Returns the models, those last that have failed lately."""
        now_s = self._clock()
        return sorted(self.models, key=lambda model: self._rested_s[model] > now_s)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()
