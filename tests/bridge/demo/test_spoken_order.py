"""The demo's whole spoken conversation: embedded voice, embedded recogniser, script and barge-in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bridge.demo import spoken_order as demo

pytest.importorskip("faster_whisper")


async def test_the_order_is_taken(tmp_path: Path) -> None:
    order = await demo.hold_order(asyncio.Barrier(1))
    wav, transcript = demo.write(order, tmp_path)
    entries = json.loads(transcript.read_text())["transcript"]
    agent = [(entry["text"], entry["interrupted"]) for entry in entries if entry["who"] == "agent"]
    assert agent[0] == ("Hello, this is the pizza line. What would you like to order?", False)
    choice, interrupted = agent[1]
    assert interrupted
    assert "in two sizes" in choice
    assert "Small or large?" not in choice
    assert agent[2][0].startswith("A large one, then.")
    assert agent[-1] == ("Thank you for your order. Goodbye.", False)
    assert order.caller.by_server
    assert wav.stat().st_size > 20 * 8_000 * 4

    shown = demo.show(order)
    said = [act.text for act in order.timeline.acts]
    for text in (said[0], *said[demo.BARGE_IN :]):
        assert f"\n{text} " in shown, shown
    assert "— interrupted" in shown
    assert "first sound → the agent silent" in shown
    assert order.noise_ms is not None, "the caller's noise is to pause the agent"
    assert f"— paused at “{said[demo.NOISE]}”, and went on" in shown
