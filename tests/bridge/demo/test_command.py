"""`talkspurt demo` as a whole, and its picture and figures for a made-up call."""

import asyncio
import contextlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge.__main__ import main
from bridge.converse.server_process import CannotServe
from bridge.demo import command as demo
from bridge.demo.scripted_call import AgentText, BargeIn, ScriptedCall, SpokenText, figures
from bridge.demo.scripted_caller import LONG_ANSWER
from bridge.dial.caller import Caller
from bridge.dial.client import Rejected
from bridge.dial.wav import read_wav
from bridge.line.audiosocket import Kind, encode

HEARD = "Before you come, please have your order"


@pytest.fixture
def ended_call():
    """Returns a call with two seconds of speech, which the caller cuts after the first."""
    caller = Caller(keep_audio=True)
    caller.dialled_s, caller.first_sent_s = 99.990, 100.0
    caller.handset.speak(np.full(8_000, 3_000, "<i2").tobytes())
    for tick in range(100):
        caller.handset.tick()
        level = 5_000 if tick <= 50 else 0
        caller.received.feed(encode(Kind.SLIN8, np.full(160, level, "<i2").tobytes()), 100.0 + tick * 0.020)
    caller.hung_up_s, caller.closed_s, caller.close = 102.0, 102.0015, "EOF"
    greeting = AgentText("Hello.", 100.0, 100.3, 99.990, 100.28)
    cut = AgentText(HEARD + " number at hand.", 100.5, 101.02, 100.460, 101.0)
    return ScriptedCall(
        caller,
        [greeting, cut],
        [SpokenText("Sorry, one question.", 100.8, 101.4)],
        BargeIn(cut, 100.993, 101.0, HEARD + " ", 102.5),
    )


def test_the_figures(ended_call):
    table = figures(ended_call)
    for name, value in (
        ("dialled → first frame", "10.0 ms"),
        ("dialled → greeting heard", "10.0 ms"),
        ("text → heard: “Before you come, please …”", "40.0 ms"),
        ("interrupt → last voiced frame", "7.0 ms"),
        ("lateness of frames, worst", "0.00 ms"),
        ("frames received / expected", "100 / 100"),
        ("hang-up → server closed", "1.5 ms"),
    ):
        assert re.search(rf"^{re.escape(name)} +{re.escape(value)}$", table, re.M), name
    assert f"heard: {HEARD} …" in table
    assert "FAULT" not in table


def test_the_picture_marks_the_barge_in(ended_call, tmp_path):
    from bridge.demo import timeline

    timeline.draw(ended_call, tmp_path / "with.png")
    picture = np.asarray(Image.open(tmp_path / "with.png").convert("RGB")).astype(int)
    height, width, _ = picture.shape
    assert (width, height) == (1920, 1200)
    red, green, blue = np.moveaxis(picture, 2, 0)
    marked = np.flatnonzero(((red > 180) & (green < 90) & (blue < 90)).sum(axis=0) > height / 10)
    left, right = 0.05 * width, 0.985 * width
    at = left + (right - left) * (100.993 - 100.0) / 2.0
    assert np.abs(marked - at).min() < 3, "a red line stands where the interrupt was asked for"


def test_without_matplotlib_it_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["demo", "--short", "-o", str(tmp_path / "demo")]) == 1
    assert f"pip install '{Path(__file__).parents[3]}[demo]'" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CannotServe("the server did not start:\nAUDIOSOCKET_PORT in use"), "the server did not start"),
        (Rejected("POST …/say: no call"), "POST …/say: no call"),
        (EOFError("the call is over"), "the server ended the call before its time"),
    ],
)
def test_what_goes_wrong_is_said(monkeypatch, tmp_path, capsys, error, message):
    async def hold_call(dial):
        raise error

    monkeypatch.setattr(demo, "hold_call", hold_call)
    assert main(["demo", "--short", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"talkspurt demo: {message}")


@pytest.mark.parametrize("load", [0.1, 1_000.0])
def test_what_goes_wrong_on_a_busy_machine_is_put_down_to_that(monkeypatch, tmp_path, capsys, load):
    async def hold_call(dial):
        raise EOFError("the call is over")

    monkeypatch.setattr(demo, "hold_call", hold_call)
    monkeypatch.setattr(demo.os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert main(["demo", "--short", "-o", str(tmp_path)]) == 1
    assert ("the machine was busy" in capsys.readouterr().err) is (load > 1)


async def test_the_whole_demo(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "demo", "--short", "-o", str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    printed = (await process.communicate())[0].decode()
    assert "interrupt → last voiced frame" in printed
    assert LONG_ANSWER in printed
    heard = re.search(r"^heard: (.+) …$", printed, re.M)
    assert heard is not None
    assert LONG_ANSWER.startswith(heard[1])
    assert 0.3 < len(heard[1]) / len(LONG_ANSWER) < 0.7
    both = read_wav(tmp_path / "call.wav", 8_000)
    assert 15 < both.size / 8_000 < 40
    assert Image.open(tmp_path / "call.png").size == (1920, 1200)
    assert process.returncode == (1 if "FAULT" in printed else 0)


async def test_a_conversation_that_goes_wrong_does_not_cost_the_call(monkeypatch, tmp_path, capsys):
    from bridge.demo import spoken_order

    call = object()

    async def hold_call(dial):
        with contextlib.suppress(asyncio.BrokenBarrierError):
            await dial.wait()
        return call

    async def fails(dial):
        raise spoken_order.WentWrong("the recogniser took a noise for words")

    shown = []
    monkeypatch.setattr(demo, "hold_call", hold_call)
    monkeypatch.setattr(spoken_order, "_hold", fails)
    monkeypatch.setattr(spoken_order, "available", lambda: True)
    monkeypatch.setattr(demo, "_leave", lambda left, output: shown.append(left) or 0)
    with pytest.raises(spoken_order.WentWrong):
        await asyncio.wait_for(demo._hold_calls(tmp_path, spoken=True), 30)
    assert shown == [call]
