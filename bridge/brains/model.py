"""One language model behind an OpenAI-compatible chat API: how it is asked, and what it will not be asked again."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from bridge.brains.bounded_http import BadAnswer
from bridge.brains.messages import Message, alternating, whole, without_system, without_tools
from bridge.brains.pace import Pace
from bridge.brains.speech_filter import SpeechFilter
from bridge.brains.tool_calls import check_piece

log = structlog.get_logger(__name__)

DELTAS_A_TURN: Final = 16
"""How many deltas are read before the event loop has its turn: a model may send thousands at once."""
LOGGED_CHARS: Final = 200
_TRY_AGAIN: Final = frozenset({408, 409, 429})
"""Statuses below 500 after which the same request may succeed."""
_REFUSALS: Final = {
    "tools": re.compile(r"\btools?\b|tool[_ ]|function[_ ]call", re.IGNORECASE),
    "system": re.compile(
        r"system (?:role|message|prompt)|role[^.]{0,20}system|roles (?:must alternate|are supported)", re.IGNORECASE
    ),
}
"""What a server names that refuses a request for the tools or the system prompt in it."""


class ModelError(Exception):
    """The model has no answer. The text is meant for an administrator."""

    def __init__(self, reason: str, *, try_again: bool = False, is_down: bool = False) -> None:
        super().__init__(reason)
        self.try_again = try_again
        """Tells whether the same request may succeed at once."""
        self.is_down = is_down
        """Tells whether other requests will probably fail too: the service is out of order, or far too slow."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is asked."""

    model: str
    timeout_ms: int = 8_000
    """The longest wait for the first words or tool, and from those to the next; reasoning is neither. A sentence
    that is written more slowly than `pace.SLOWEST_CHARS_PER_S` has no longer either."""
    temperature: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str = ""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the request, which not every server knows."""
    send_tools: bool | None = None
    """None: until the server refuses them."""
    send_system: bool | None = None
    """Whether the system prompt is a message of its own, or else stands in the caller's first. None: until refused."""


class Model:
    """One model, as all calls of the process ask it."""

    def __init__(self, client: AsyncOpenAI, options: ModelOptions) -> None:
        self.options = options
        self._client = client
        never = {"tools": options.send_tools is False, "system": options.send_system is False}
        self._leaves_out = {part for part, is_left_out in never.items() if is_left_out}
        """What it is not sent, because the settings say so or the server has refused it."""
        always = {"tools": options.send_tools is True, "system": options.send_system is True}
        self._may_leave_out = {part for part, is_sent in always.items() if not is_sent}

    @property
    def takes_tools(self) -> bool:
        """Tells whether it is sent tools, as far as is known."""
        return "tools" not in self._leaves_out

    @property
    def takes_system(self) -> bool:
        """Tells whether it is sent a system prompt as a message of its own, as far as is known."""
        return "system" not in self._leaves_out

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.close()

    async def answer(
        self, messages: list[Message], tools: list[dict[str, Any]], until_s: float
    ) -> AsyncGenerator[str | ChoiceDeltaToolCall]:
        """Yields an answer's words for the ear and the pieces of its tool calls. Raises ModelError.

        The first of them must have come by `until_s` of the loop's time.
        """
        clock, timeout_s = asyncio.get_running_loop().time, self.options.timeout_ms / 1000
        speech, silent, pace = SpeechFilter(), True, Pace(timeout_s)
        stream: Any = None
        try:
            async with asyncio.timeout_at(until_s):
                stream = await self._open(messages, tools)
            chunks = aiter(stream)
            for count in itertools.count(1):
                if count % DELTAS_A_TURN == 0:
                    await asyncio.sleep(0)
                async with asyncio.timeout_at(until_s):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                delta = chunk.choices[0].delta if chunk.choices else None
                if delta is None:
                    continue
                words = speech.push(whole(delta.content))
                words = words.lstrip() if silent else words
                if words:
                    silent = False
                    yield words
                for part in delta.tool_calls or ():
                    check_piece(part)
                    yield part
                if delta.tool_calls:
                    until_s = clock() + timeout_s
                elif words and not words.isspace():
                    until_s = pace.wrote(clock(), words)
            if rest := speech.finish():
                yield rest
        except TimeoutError:
            reason = f"the language model said nothing for {self.options.timeout_ms} ms"
            raise ModelError(reason, is_down=True) from None
        except Exception as error:  # the client raises its own errors, its transport's and those of decoding rubbish
            log.debug("the language model failed", error=str(error)[:LOGGED_CHARS])
            reason = f"the language model failed: {_reason(error)}"
            may_pass = _may_pass(error)
            raise ModelError(reason, try_again=may_pass, is_down=may_pass) from None
        finally:
            if stream is not None:
                await stream.close()
        if silent and speech.wrote_tool_call:
            log.warning(
                "the language model wrote a tool call as text",
                model=self.options.model,
                advice="its server needs a parser for this model's tool calls, or LLM_SEND_TOOLS=false",
            )

    async def _open(self, messages: list[Message], tools: list[dict[str, Any]]) -> Any:
        """Sends the request, again without what the server refuses; what has helped is left out from then on."""
        left_out = set(self._leaves_out)
        while True:
            try:
                stream = await self._client.chat.completions.create(**self._request(messages, tools, left_out))
            except APIStatusError as error:
                refused = (_refused(error) & self._may_leave_out) - left_out
                if not refused:
                    raise
                left_out |= refused
            else:
                # Where tools have been used, what was refused may be their messages, and not the tools for good.
                used_tools = any(message["role"] == "tool" for message in messages)
                lasting = left_out - {"tools"} if used_tools else left_out
                for part in lasting - self._leaves_out:
                    log.warning(
                        "the language model's server refuses a part of the request, which is left out from now on",
                        model=self.options.model,
                        part=part,
                        advice=f"LLM_SEND_{part.upper()}=false leaves it out from the start",
                    )
                self._leaves_out |= lasting
                return stream

    def _request(self, messages: list[Message], tools: list[dict[str, Any]], left_out: set[str]) -> dict[str, Any]:
        options = self.options
        messages = alternating(without_tools(messages) if "tools" in left_out else messages)
        request = {
            "model": options.model,
            "messages": without_system(messages) if "system" in left_out else messages,
            "stream": True,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "max_completion_tokens": options.max_completion_tokens,
            "reasoning_effort": options.reasoning_effort or None,
            "extra_body": options.extra_body or None,
            "tools": tools if tools and "tools" not in left_out else None,
        }
        return {name: value for name, value in request.items() if value is not None}


def _refused(error: APIStatusError) -> set[str]:
    """Returns which parts of the request the server names in its refusal.

    A 400 is usual. llama.cpp answers 500 for what its chat template will not take, OpenRouter 404, others 422 or 501.
    """
    if error.status_code not in (400, 404, 422, 500, 501):
        return set()
    told = f"{error.message} {error.body}"
    return {part for part, names in _REFUSALS.items() if names.search(told)}


def _may_pass(error: Exception) -> bool:
    if isinstance(error, APIStatusError):
        return error.status_code >= 500 or error.status_code in _TRY_AGAIN
    return True


def _reason(error: Exception) -> str:
    """Returns what went wrong, for the log, in no words of the service: it may repeat the key or the conversation."""
    if isinstance(error, BadAnswer):
        return str(error)
    parts = [type(error).__name__]
    if isinstance(error, APIStatusError):
        parts.append(f"HTTP {error.status_code}")
    if isinstance(error, APIError) and re.fullmatch(r"[a-z_]{1,40}", str(error.code)) and error.code:
        parts.append(str(error.code))
    if isinstance(error, APIConnectionError) and error.__cause__ is not None:
        parts.append(type(error.__cause__).__name__)
    return ", ".join(parts)
