"""The gate behind the echo canceller: it hushes what may be left of an echo, and lets the caller through."""

from __future__ import annotations

from bridge.hearing.echo_gate import EchoGate

ECHO = 1e-3
"""The power of an echo: -30 dBFS."""


def test_a_caller_as_loud_as_the_echo_is_heard_half_a_second_after_it_was_found() -> None:
    gate = EchoGate()
    gate.restart()
    assert not gate.passes(ECHO, ECHO), "the filter has learnt nothing"
    for _ in range(25):
        assert not gate.passes(ECHO / 50, ECHO)
    assert gate.passes(ECHO, ECHO)


def test_what_the_filter_has_left_for_long_is_hushed() -> None:
    gate = EchoGate()
    for number in range(500):
        assert not gate.passes(ECHO / (5 + 10 * (number % 3)), ECHO)
