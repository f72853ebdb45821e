"""A brain behind any OpenAI-compatible chat API: streamed, with tools, and a history of what was heard."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import structlog
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI

from bridge.brains.brain import Brain, BrainError, Piece, Say, fill, fill_prompt
from bridge.brains.history import History, Message
from bridge.brains.llm_client import BadAnswer
from bridge.brains.prompts import Prompts
from bridge.brains.tools import Toolbox, ToolResult

log = structlog.get_logger(__name__)

MAX_TOOL_ROUNDS: Final = 8
"""How many rounds of tools one turn may have; a model that wants more is going in circles."""
MAX_TOOL_CALLS: Final = 32
"""How many tools one answer may call."""
MAX_CALL_CHARS: Final = 64_000
"""How long the names and arguments of one answer's tool calls may be together."""
MAX_ANSWER_CHARS: Final = 20_000
"""How much is said in one turn, some twenty minutes of speech; what a model adds to it is not read."""
DELTAS_A_TURN: Final = 16
"""How many deltas are read before the event loop has its turn: a model may send thousands at once."""
LOGGED_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """How the model is asked."""

    model: str
    system_prompt: str = ""
    greeting: str = ""
    no_input_prompt: str = ""
    """What a silent caller is told; several lines, parted by `|`, are said one after the other."""
    unclear_prompt: str = ""
    """The same for a caller of whose words nothing was understood."""
    timeout_ms: int = 8_000
    """The longest wait for the first words or tool, and from those to the next; reasoning is neither."""
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: str = ""

    def add(self, part: Any) -> None:
        """Adds the next piece of this call."""
        self.id = self.id or _whole(part.id)
        if part.function is not None:
            self.name += _whole(part.function.name)
            self.arguments += _whole(part.function.arguments)


class _ToolCalls:
    """The calls of one answer, put together from their pieces, in the order in which they began."""

    def __init__(self) -> None:
        self.all: list[_ToolCall] = []
        self._open: dict[int, _ToolCall] = {}
        self._chars = 0

    def add(self, part: Any) -> None:
        """Adds the next piece of a call. Raises BrainError for too many calls, or calls too long.

        Some servers send all calls under one index, so a new id with a name begins another call. A new id alone does
        not: other servers give every piece a new id, and the name only with the first.
        """
        call = self._open.get(part.index)
        names = part.function is not None and part.function.name
        begins = call is None or (names and part.id and call.id and part.id != call.id)
        texts = (begins and part.id, names, part.function and part.function.arguments)
        self._chars += sum(len(text) for text in texts if text)
        if self._chars > MAX_CALL_CHARS:
            raise BrainError(f"the language model's tool calls are longer than {MAX_CALL_CHARS} characters")
        if call is None or begins:
            if len(self.all) == MAX_TOOL_CALLS:
                raise BrainError(f"the language model wanted more than {MAX_TOOL_CALLS} tools in one answer")
            call = self._open[part.index] = _ToolCall()
            self.all.append(call)
        call.add(part)


@dataclass(slots=True)
class _Used:
    """A tool call that has been answered."""

    call: _ToolCall
    spoken: str
    """What the model said before the call, in the same answer."""
    result: ToolResult

    def messages(self, *, spoken: bool = True) -> list[Message]:
        function = {"name": self.call.name, "arguments": _sendable(self.call.arguments)}
        asked = {"id": self.call.id, "type": "function", "function": function}
        content = self.spoken if spoken and self.spoken else None
        return [
            {"role": "assistant", "content": content, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": self.call.id, "content": self.result.content},
        ]


def _whole(text: str | None) -> str:
    """Returns `text` with `?` for lone surrogates, which may stand in JSON, but not in a request."""
    return (text or "").encode(errors="replace").decode()


def _sendable(arguments: str) -> str:
    """Returns `arguments`, or `{}` if they are no JSON: servers parse them again and would refuse the next request."""
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return "{}"
    return arguments


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


class LlmBrain(Brain):
    """One call's conversation with the model."""

    can_prepare = True
    digit_gap_ms = 1_500

    def __init__(
        self, client: AsyncOpenAI, options: LlmOptions, toolbox: Toolbox, variables: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._options = options
        self._toolbox = toolbox
        self._variables = dict(variables or {})
        self.history = History(fill_prompt(options.system_prompt, self._variables))
        self._used: list[_Used] = []
        """The tools of this turn that have answered. Each turn has a new list, so that a cancelled turn that is still
        ending cannot add to the next."""
        self._certain = asyncio.Event()
        """Set once it is certain that the caller has said what is being answered. Each turn has its own."""
        self._before = self.history
        """What is remembered again if the answer was begun too early."""
        self._no_input = Prompts(options.no_input_prompt)
        self._unclear = Prompts(options.unclear_prompt)

    async def greet(self) -> AsyncGenerator[Piece]:
        if self._options.greeting:
            yield Say(fill(self._options.greeting, self._variables))

    def answer(self, said: str) -> AsyncGenerator[Piece]:
        self._no_input.answered()
        self._unclear.answered()
        self._certain = asyncio.Event()
        self._certain.set()
        self.history.said(_whole(said))  # noted now, because the turn may be cut before its first step
        return self._answer()

    def prepare(self, said: str) -> AsyncGenerator[Piece]:
        self._before = deepcopy(self.history)
        pieces = self.answer(said)
        self._certain = asyncio.Event()
        return pieces

    def confirm(self) -> None:
        self._certain.set()

    def take_back(self) -> None:
        self.history = self._before

    async def _answer(self) -> AsyncGenerator[Piece]:
        certain = self._certain
        used: list[_Used] = []
        self._used = used
        chars = 0
        for _ in range(MAX_TOOL_ROUNDS):
            calls = _ToolCalls()
            spoken = ""
            messages = [*self.history.messages(), *(message for use in used for message in use.messages())]
            async with aclosing(self._deltas(messages)) as deltas:
                async for delta in deltas:
                    words = _whole(delta.content) if spoken else _whole(delta.content).lstrip()
                    if words:
                        spoken += words
                        chars += len(words)
                        yield words[: len(words) + MAX_ANSWER_CHARS - chars]
                    if chars >= MAX_ANSWER_CHARS:
                        log.warning("the language model's answer has no end: it is cut", chars=chars)
                        return
                    for part in delta.tool_calls or ():
                        calls.add(part)
            if not calls.all:
                if not spoken and not any(use.spoken for use in used):
                    raise BrainError("the language model answered nothing")
                return
            if spoken:
                yield "\n"  # what comes after the tools is another sentence
            await certain.wait()  # a tool may have effects
            for call in calls.all:
                result = await self._toolbox.call(call.name, call.arguments)
                log.info("tool called", tool=call.name[:LOGGED_CHARS], chars=len(result.content))
                log.debug("tool answered", tool=call.name[:LOGGED_CHARS], result=result.content[:LOGGED_CHARS])
                used.append(_Used(call, spoken, result))
                spoken = ""
            for use in used:
                if use.result.action is not None:
                    yield use.result.action
                    return  # nothing the model could add would be heard
        raise BrainError(f"the language model wanted more than {MAX_TOOL_ROUNDS} rounds of tools")

    def pressed(self, digits: str) -> AsyncGenerator[Piece]:
        return self.answer(f"[pressed the keys {' '.join(digits)}]")

    async def silence(self) -> AsyncGenerator[Piece]:
        for piece in self._no_input.next():
            yield piece

    async def misheard(self) -> AsyncGenerator[Piece]:
        for piece in self._unclear.next():
            yield piece

    def heard(self, text: str, *, interrupted: bool) -> None:
        """Keeps every tool that has answered, whatever was heard: what it did has happened and must not be done twice.

        When the turn was cut, a tool still at work, the tools to come, and a transfer or hang-up are dropped.
        """
        used, self._used = self._used, []
        kept = [use for use in used if not (interrupted and use.result.action is not None)]
        self.history.heard(text, [message for use in kept for message in use.messages(spoken=False)])

    async def _deltas(self, messages: list[Message]) -> AsyncGenerator[Any]:
        """Yields the deltas of one answer. Raises BrainError for whatever goes wrong with the service."""
        clock, timeout_s = asyncio.get_running_loop().time, self._options.timeout_ms / 1000
        until_s = clock() + timeout_s
        stream: Any = None
        try:
            async with asyncio.timeout_at(until_s):
                stream = await self._client.chat.completions.create(**self._request(messages))
            chunks = aiter(stream)
            for count in itertools.count(1):
                if count % DELTAS_A_TURN == 0:
                    await asyncio.sleep(0)
                async with asyncio.timeout_at(until_s):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                delta = chunk.choices[0].delta if chunk.choices else None
                if delta is None:
                    continue
                yield delta
                if delta.tool_calls or (delta.content and not delta.content.isspace()):
                    until_s = clock() + timeout_s
        except TimeoutError:
            raise BrainError(f"the language model said nothing for {self._options.timeout_ms} ms") from None
        except Exception as error:  # the client raises its own errors, its transport's and those of decoding rubbish
            log.debug("the language model failed", error=str(error)[:LOGGED_CHARS])
            raise BrainError(f"the language model failed: {_reason(error)}") from None
        finally:
            if stream is not None:
                await stream.close()

    def _request(self, messages: list[Message]) -> dict[str, Any]:
        options = self._options
        request: dict[str, Any] = {"model": options.model, "messages": messages, "stream": True}
        if options.temperature is not None:
            request["temperature"] = options.temperature
        if options.max_tokens is not None:
            request["max_tokens"] = options.max_tokens
        return {**request, "tools": self._toolbox.specifications()}
