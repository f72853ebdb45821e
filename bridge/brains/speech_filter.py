"""Takes out of a model's streamed text what is not meant for the ear: thoughts, tool calls and special tokens. No I/O.

A server that has no parser for its model passes these on as text. Tags may be split anywhere, and may never be closed.
"""

from __future__ import annotations

import re
from typing import Final

_NEVER: Final = ""
"""In place of a closing tag: what was opened lasts to the end of the answer."""
_HEADER_ENDS: Final = "<|message|>"
"""The end of the header of a gpt-oss message, which names its channel: `final` alone is for the ear."""

_CLOSER: Final = {
    **{
        f"<{name}>": f"</{name}>"
        for name in (
            *("think", "thinking", "thought", "reasoning", "reflection", "scratchpad"),
            *("tool_call", "tool_calls", "tool_code", "tool_response", "function_call", "function_calls"),
        )
    },
    "<function=": "</function>",  # Llama
    "<|python_tag|>": _NEVER,
    "[tool_calls]": _NEVER,  # Mistral
    "[think]": "[/think]",
    "<|tool_call|>": "<|/tool_call|>",  # Phi; Granite never closes it
    "<|channel>": "<channel|>",  # Gemma 4
    "<|tool_call>": "<tool_call|>",
    "<|tool_response>": "<tool_response|>",
    "<|tool_calls_section_begin|>": "<|tool_calls_section_end|>",  # Kimi
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",  # DeepSeek
    "<|start|>": _HEADER_ENDS,
    "<|channel|>": _HEADER_ENDS,
}
"""Each tag that opens something hidden, in small letters, and the one that closes it."""

_STRAY: Final = (
    *(closer for closer in _CLOSER.values() if closer),
    *("<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
)
"""Tags that hide nothing and are not spoken either."""

_SPECIAL: Final = r"<\|[\w/-]{1,40}\|>"
"""A special token, such as `<|im_end|>`."""


def _any_of(*texts: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)) or "(?!)", re.IGNORECASE)


_OPENS: Final = _any_of(*_CLOSER)
_DROPPED: Final = re.compile(f"{_any_of(*_STRAY).pattern}|{_SPECIAL}", re.IGNORECASE)
_FIRST: Final = re.compile("[" + "".join(sorted({re.escape(tag[0]) for tag in (*_CLOSER, *_STRAY)})) + "]")
_BEGINNINGS: Final = frozenset(tag[:length] for tag in (*_CLOSER, *_STRAY) for length in range(1, len(tag)))
_SPECIAL_BEGINS: Final = re.compile(r"<\|[\w/-]{0,40}\|?")
_MESSAGE_ENDS: Final = re.compile(r"<\|(?:end|call|return)\|>|(?=<\|(?:start|channel)\|>)", re.IGNORECASE)
_LONGEST: Final = max(map(len, (*_CLOSER, *_STRAY)))
_MAX_HEADER_CHARS: Final = 200


class SpeechFilter:
    """Filters one answer: `push` each piece and take what it returns, then `finish`."""

    def __init__(self) -> None:
        self.wrote_tool_call = False
        """Tells whether the model has written a tool call as text, which its server should have read."""
        self._shown = False
        """Something has been shown."""
        self._held = ""
        """Text of which it is not known yet what it is."""
        self._until: re.Pattern[str] | None = None
        """What ends the hidden text; None outside of it."""
        self._header = ""
        """What was read of the header of a gpt-oss message, its first tag included; empty outside of one."""

    def push(self, text: str) -> str:
        """Returns what can be spoken by now. Only what may be the beginning of a tag is held back."""
        self._held += text
        spoken, before = [], None
        while before != (before := (len(self._held), self._until)):
            spoken.append(self._show() if self._until is None else self._hide())
            self._shown |= bool(spoken[-1])
        return "".join(spoken)

    def finish(self) -> str:
        """Returns what was held back and turned out to be no tag."""
        rest, self._held = self._held, ""
        return rest if self._until is None and len(rest) == 1 else ""

    def _show(self) -> str:
        """Takes and returns the text up to the next tag, and takes that too; leaves what may become one."""
        at = 0
        while (first := _FIRST.search(self._held, at)) is not None:
            at = first.start()
            shown = self._held[:at]
            if opened := _OPENS.match(self._held, at):
                self._open(opened[0].casefold())
                self._held = self._held[opened.end() :]
                return shown
            if dropped := _DROPPED.match(self._held, at):
                self._held = self._held[dropped.end() :]
                # The first is a token, the next are SSML: a sentence begins.
                return f"{shown} " if dropped[0].casefold() == "<s>" and (shown or self._shown) else shown
            rest = self._held[at:]
            if rest.casefold() in _BEGINNINGS or _SPECIAL_BEGINS.fullmatch(rest):
                self._held = rest
                return shown
            at += 1
        shown, self._held = self._held, ""
        return shown

    def _open(self, tag: str) -> None:
        self.wrote_tool_call |= "tool" in tag or "function" in tag or "python" in tag
        self._until = _any_of(*filter(None, [_CLOSER[tag]]))
        self._header = tag if _CLOSER[tag] == _HEADER_ENDS else ""

    def _hide(self) -> str:
        """Drops hidden text, up to its end if that has come; what may be the beginning of the end is left."""
        assert self._until is not None, "there is something hidden"
        end = self._until.search(self._held)
        hidden = self._held[: end.start() if end else -_LONGEST]
        self._held = self._held[end.end() if end else len(hidden) :]
        if self._header:
            self._header = (self._header + hidden)[:_MAX_HEADER_CHARS]
        if end:
            _, has_channel, channel = self._header.casefold().rpartition("<|channel|>")
            self.wrote_tool_call |= "to=" in channel
            is_for_the_ear = not has_channel or channel.strip().startswith("final")
            self._until, self._header = None if is_for_the_ear else _MESSAGE_ENDS, ""
        return ""
