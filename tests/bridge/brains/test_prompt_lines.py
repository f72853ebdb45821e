"""Prompts become more urgent, and end in the fallback."""

from __future__ import annotations

from bridge.brains.brain import Fallback, Say
from bridge.brains.prompt_lines import PromptLines


def test_each_line_once_then_the_fallback() -> None:
    prompts = PromptLines("One? | Two? | Three? |")
    assert [prompts.next() for _ in range(4)] == [[Say("One?")], [Say("Two?")], [Say("Three?")], [Fallback()]]


def test_whoever_answers_hears_the_first_line_again() -> None:
    prompts = PromptLines("One?|Two?")
    prompts.next()
    prompts.answered()
    assert prompts.next() == [Say("One?")]


def test_a_single_line_is_said_twice() -> None:
    prompts = PromptLines("There?")
    assert [prompts.next() for _ in range(3)] == [[Say("There?")], [Say("There?")], [Fallback()]]


def test_no_line_says_nothing_before_the_fallback() -> None:
    prompts = PromptLines("")
    assert [prompts.next() for _ in range(3)] == [[], [], [Fallback()]]
