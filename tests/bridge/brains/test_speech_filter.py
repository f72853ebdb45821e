"""What models write beside their answers is not spoken, however it is cut into pieces; all else is, and at once."""

from __future__ import annotations

import pytest

from bridge.brains.speech_filter import SpeechFilter


def filtered(pieces: list[str]) -> str:
    speech = SpeechFilter()
    return "".join([*map(speech.push, pieces), speech.finish()])


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<think>The caller wants a table.</think>For how many?", "For how many?"),
        ("<THINK>\n\n</THINK>\n\nHello.", "\n\nHello."),
        ("<thinking>a < b</thinking>Yes.", "Yes."),
        ("Let me see.<think>Hm", "Let me see."),
        ("So be it.</think> Yes.", "So be it. Yes."),
        ("[THINK]Hm.[/THINK]Yes.", "Yes."),
        ('I book it.<tool_call>{"name": "book"}</tool_call> Done.', "I book it. Done."),
        ('One moment. [TOOL_CALLS][{"name": "book", "arguments": {}}]', "One moment. "),
        ('<function=book>{"day": 1}</function>Yes.', "Yes."),
        ('<|python_tag|>{"name": "book"}<|eom_id|>', ""),
        ('<|tool_call|>[{"name": "book"}]', ""),
        ("<｜tool▁calls▁begin｜>book<｜tool▁calls▁end｜>Yes.", "Yes."),
        ("<|channel>thought\nHm.<channel|>Yes.<|tool_call>call:book{}<tool_call|>", "Yes."),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
            "Yes.",
        ),
        ("<|channel|>commentary to=functions.book <|constrain|>json<|message|>{}<|call|>", ""),
        ("<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes.", "Yes."),
        ("<|start|>assistant<|message|>Yes.<|end|>", "Yes."),
        ("<|channel|>analysis<|message|>Hm", ""),
        ("Goodbye.<|im_end|>", "Goodbye."),
        ("Goodbye.</s>", "Goodbye."),
        ("<s>Hello.</s>", "Hello."),
        ("<s>Hello.</s><s>Goodbye.</s>", "Hello. Goodbye."),
        ("Goodbye.<end_of_turn>", "Goodbye."),
        ("Well <thi", "Well "),
    ],
)
def test_what_is_not_for_the_ear_is_left_out_wherever_it_is_split(text: str, spoken: str) -> None:
    assert filtered([text]) == spoken
    assert filtered(list(text)) == spoken
    for at in range(1, len(text)):
        assert filtered([text[:at], text[at:]]) == spoken


HARMLESS = (
    "5 < 6 and 6 > 5.", "I <3 you.", "a<b, c<=d", "[1] and [2], [thinly] sliced", "<three> <b>bold</b>", "if x <",
    "<t>", "< think >", "<| a |> b", "||<|>|", "İ < I < i", "The tag <thinker> is none.", "1 << 2", "[", "<",
)  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_bracket_comes_out_unchanged(text: str) -> None:
    for size in (1, 2, 3, len(text)):
        assert filtered([text[at : at + size] for at in range(0, len(text), size)]) == text


@pytest.mark.parametrize("piece", ["Hello", " 5 < 6", "a<x", "<i>", "x [1]", "< "])
def test_a_piece_is_passed_on_at_once(piece: str) -> None:
    assert SpeechFilter().push(piece) == piece


def test_only_what_may_be_a_tag_waits_for_the_next_piece() -> None:
    speech = SpeechFilter()
    assert speech.push("It is 5 <") == "It is 5 "
    assert speech.push(" 6.") == "< 6."


def test_a_thought_without_end_is_not_kept() -> None:
    speech = SpeechFilter()
    speech.push("<think>")
    for _ in range(1_000):
        assert speech.push("and so on " * 100) == ""
    assert len(speech._held) < 100
    assert speech.push("</think>Yes.") == "Yes."


@pytest.mark.parametrize(
    ("text", "wrote"),
    [
        ("<tool_call>{}</tool_call>", True),
        ("[TOOL_CALLS]", True),
        ("<|channel|>commentary to=functions.book<|message|>{}<|call|>", True),
        ("<think>Call a tool?</think>Yes.", False),
    ],
)
def test_a_tool_call_that_was_written_as_text_is_noticed(text: str, wrote: bool) -> None:
    speech = SpeechFilter()
    speech.push(text)
    assert speech.wrote_tool_call is wrote
