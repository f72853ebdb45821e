"""What is not for the ear in a model's words: any cut of the text hides the same."""

from __future__ import annotations

from typing import Final

from fuzz.harness import fuzz, instrumented
from fuzz.pieces import chosen, pieces

with instrumented(__name__, "bridge.brains.speech_filter"):
    from bridge.brains.speech_filter import SpeechFilter

SEEDS: Final = (
    b"\x01Hello <think>I wonder</think>world.",
    b"\x02<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
    "\x00<｜tool▁calls▁begin｜>x<｜tool▁calls▁end｜>[TOOL_CALLS][{}]".encode(),
    b"\x01<tool_call>{}</tool_call>1 < 2 <|im_end|> <s>",
)


def check(data: bytes) -> None:
    how, rest = chosen(data)
    text = rest.decode(errors="replace")
    whole, cut = SpeechFilter(), SpeechFilter()
    spoken = whole.push(text) + whole.finish()
    assert "".join(cut.push(piece) for piece in pieces(text, how)) + cut.finish() == spoken
    assert cut.wrote_tool_call == whole.wrote_tool_call
    letters = iter(text.replace("<s>", "<s> ").replace("<S>", "<S> "))  # what begins a sentence stands apart
    assert all(letter in letters for letter in spoken), "nothing is added, and the order is kept"


if __name__ == "__main__":
    fuzz(check, SEEDS)
