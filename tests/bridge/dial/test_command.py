"""`talkspurt dial` against the whole application with a fake engine, and against servers that misbehave."""

import asyncio
import json
import re

import numpy as np
import pytest

from bridge.__main__ import main
from bridge.app import App
from bridge.config import Settings
from bridge.dial.caller import CannotCall
from bridge.dial.command import CallPlan, place_calls
from bridge.dial.wav import read_wav, write_wav
from bridge.line.audiosocket import Kind, encode
from bridge.line.playout import Interruption
from tests.support.fakes import LEVEL, FakeEngine


async def start_app(**settings):
    """Starts the application on free ports; its calls are silent."""
    settings = {"apology": "", "drain_timeout": 0} | settings
    app = App(Settings.of(audiosocket_port=0, http_port=0, **settings), FakeEngine())
    await app.start()
    return app


@pytest.fixture
async def app():
    app = await start_app()
    yield app
    await app.stop()


def plan(app, **arguments):
    return CallPlan(port=app.audiosocket_port, http_url=f"http://127.0.0.1:{app.http_port}", **arguments)


async def dial(app, *arguments):
    """Runs the command in a thread, because it runs an event loop of its own; returns its exit status."""
    return await asyncio.to_thread(main, ["dial", f"127.0.0.1:{app.audiosocket_port}", *arguments])


async def test_calls_are_measured(app):
    report = await place_calls(plan(app, calls=5, seconds=0.5))
    figures = report.figures()
    assert report.faults == {}
    assert figures["calls"] == 5
    assert figures["lateness"]["count"] == figures["frames_received"] == figures["frames_expected"]
    assert 5 * 24 <= figures["frames_received"] <= 5 * 26
    assert figures["longest_burst"] == 1
    assert figures["endings"] == {"we hung up, then EOF": 5}
    assert figures["first_voiced"] is None


async def test_settling_leaves_the_start_out_of_the_lateness(app):
    figures = (await place_calls(plan(app, seconds=0.5, settle_s=0.3))).figures()
    assert 8 <= figures["lateness"]["count"] <= 11


async def test_a_greeting_is_timed():
    app = await start_app(greeting="Hello.")
    figures = (await place_calls(plan(app, seconds=2.0))).figures()
    await app.stop()
    assert figures["first_voiced"]["count"] == 1
    assert figures["first_voiced"]["max"] >= figures["first_frame"]["max"]


async def test_a_text_is_handed_over_and_interrupted(app):
    report = await place_calls(plan(app, calls=2, seconds=1.5, say="A sentence of some length.", interrupt_after_s=0.2))
    assert report.faults == {}
    assert report.figures()["say"]["count"] == 2
    assert 0 < report.figures()["say"]["max"] < 500
    assert report.figures()["silence"]["count"] == 2
    assert 0 <= report.figures()["silence"]["max"] < 200
    for call in report.placed:
        voiced_s = call.caller.received.arrivals_s[call.caller.received.voiced]
        assert voiced_s[-1] - voiced_s[0] == pytest.approx(0.2, abs=0.1)


async def test_speech_that_goes_on_after_an_interrupt_is_a_fault(app, monkeypatch):
    monkeypatch.setattr("bridge.line.call.Call.interrupt", lambda call: Interruption(interrupted=False))
    report = await place_calls(plan(app, seconds=2.0, say="A sentence of great length.", interrupt_after_s=0.1))
    assert "goes on speaking after the interrupt" in report.faults


async def test_an_agent_that_never_speaks_is_a_fault(app):
    app.engine.gate.clear()
    report = await place_calls(plan(app, seconds=1.0, say="Nobody hears this.", interrupt_after_s=0.1))
    app.engine.gate.set()
    assert set(report.faults) == {"does not speak", "is silent"}


async def test_refused_requests_are_faults(app):
    wrong = CallPlan(port=app.audiosocket_port, http_url="http://127.0.0.1:1", seconds=1.0, say="Hello.")
    report = await place_calls(wrong)
    assert list(report.faults) == ["refuses"]
    assert "Cannot connect" in report.faults["refuses"][0]


async def test_a_guarded_server_is_called_with_its_key_and_after_registration():
    app = await start_app(api_key="secret", require_registration=True)
    with pytest.raises(CannotCall, match="key"):
        await place_calls(plan(app, register=True))
    report = await place_calls(plan(app, seconds=0.3, api_key="secret", register=True))
    unannounced = await place_calls(plan(app, seconds=0.3, api_key="secret"))
    await app.stop()
    assert report.figures()["endings"] == {"we hung up, then EOF": 1}
    assert unannounced.figures()["endings"] == {"the server: 00 00 00, then EOF": 1}


async def test_calls_that_the_server_ends_are_not_waited_for():
    app = await start_app(max_calls=1)
    report = await place_calls(plan(app, calls=3, seconds=0.3))
    await app.stop()
    assert report.figures()["endings"] == {"the server: 00 00 00, then EOF": 2, "we hung up, then EOF": 1}
    assert report.faults == {}


def test_a_folder_that_is_not_there_is_said_before_the_call(capsys):
    assert main(["dial", "--record", "/nonexistent/x.wav"]) == 2
    error = capsys.readouterr().err
    assert "--record: there is no folder /nonexistent" in error
    assert error.count("\n") == 1


async def test_no_server_at_all():
    with pytest.raises(CannotCall, match="Connection refused"):
        await place_calls(CallPlan(port=1, calls=2))


# The command ----------------------------------------------------------------------------------------------------------


async def test_the_table(app, capsys):
    assert await dial(app, "--seconds", "0.3", "--dtmf", "12") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ms +p50 +p99 +p99\.9 +max$", printed, re.M)
    assert re.search(r"^lateness against the 20 ms grid( +\d+\.\d\d){4}$", printed, re.M)
    assert re.search(r"^frames    (\d+) received of \1 expected, longest burst 1$", printed, re.M)
    assert "ended     1 × we hung up, then EOF" in printed
    assert "conforms" in printed


async def test_json(app, capsys):
    assert await dial(app, "--seconds", "0.3", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["calls"] == 1


async def test_digits_arrive(app, monkeypatch):
    monkeypatch.setattr("bridge.dial.command.DTMF_AFTER_S", 0.0)
    assert await dial(app, "--seconds", "1", "--dtmf", "4#") == 0
    (conversation,) = app.calls._ended.values()
    assert conversation.call.dtmf == "4#"


async def test_what_was_heard_is_recorded(tmp_path):
    app = await start_app(greeting="Hi.")
    wav = tmp_path / "heard.wav"
    assert await dial(app, "--seconds", "2", "--record", str(wav)) == 0
    await app.stop()
    heard = read_wav(wav, 8_000)
    assert np.count_nonzero(np.abs(heard - LEVEL) < 200) == pytest.approx(0.3 * 8_000, rel=0.1)


async def test_both_sides_of_several_calls_are_recorded(app, tmp_path):
    write_wav(tmp_path / "in.wav", np.full(800, 3_000, np.int16), 8_000)
    arguments = ("--calls", "2", "--wav", str(tmp_path / "in.wav"), "--record", str(tmp_path / "out.wav"), "--stereo")
    assert await dial(app, "--seconds", "0.3", *arguments) == 0
    for number in (1, 2):
        assert read_wav(tmp_path / f"out-{number}.wav", 8_000).max() == pytest.approx(1_500, rel=0.5)


async def test_wideband_is_answered_in_wideband(app, capsys):
    assert await dial(app, "--seconds", "0.8", "--rate", "16000") == 0
    assert "conforms" in capsys.readouterr().out


async def test_a_server_that_misbehaves_is_named_and_the_status_is_1(capsys):
    async def burst(reader, writer):
        writer.write(encode(Kind.SLIN8, bytes(320)) * 50 + encode(Kind.HANGUP))
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(burst, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(main, ["dial", f"127.0.0.1:{port}", "--seconds", "5"]) == 1
    printed = capsys.readouterr().out
    assert "FAULT on 1 of 1 calls: sends bursts" in printed
    assert "(50 frames)" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["127.0.0.1:1"], "talkspurt dial: cannot connect to 127.0.0.1:1: Connection refused"),
        (["nowhere"], "talkspurt dial: 'nowhere' is not HOST:PORT"),
        (["h:" + "9" * 5_000], "talkspurt dial: 'h:9"),
        (["h:²"], "talkspurt dial: 'h:²' is not HOST:PORT"),
        (["--say", "Hello."], "talkspurt dial: --register, --say and --interrupt-after need"),
        (["--uuid", "7a5f7d0e-6a0c-4f6a-8e5c-1c7b7f0d3b11", "--calls", "2"], "talkspurt dial: --uuid is for one call"),
        (["--wav", "missing.wav"], "talkspurt dial: cannot read --wav: "),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments, message, capsys):
    assert main(["dial", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--calls", "0"],
        ["--seconds", "-1"],
        ["--seconds", "nan"],
        ["--seconds", "inf"],
        ["--settle", "nan"],
        ["--interrupt-after", "nan"],
        ["--rate", "11025"],
        ["--dtmf", "12x"],
        ["--uuid", "5"],
    ],
)
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["dial", *arguments])
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err
