"""The doctor looks at a real Asterisk."""

from __future__ import annotations

import re
import shlex
import uuid

import pytest

from bridge.commands.dialplan_options import DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render
from bridge.config import Settings
from bridge.doctor.asterisk import AsteriskCli
from bridge.doctor.command import examine, try_fallbacks
from bridge.doctor.finding import Finding, Level
from bridge.doctor.trial_server import Fault
from tests.asterisk.conftest import GREETING
from tests.support.asterisk.asterisk import Asterisk, free_port
from tests.support.asterisk.talkspurt import Talkspurt


@pytest.fixture
def context(asterisk: Asterisk, talkspurt: Talkspurt) -> str:
    """The name of a printed dialplan that is loaded."""
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    here = ServerAddress("127.0.0.1", int(talkspurt.url.rpartition(":")[2]), talkspurt.audiosocket_port)
    (asterisk.folder / "etc/extensions_custom.conf").write_text(render(DialplanOptions([here], context=name), ""))
    asterisk.cli("dialplan reload")
    return name


def findings(asterisk: Asterisk, talkspurt: Talkspurt, context: str) -> list[Finding]:
    settings = Settings.of(
        greeting=GREETING,
        http_port=int(talkspurt.url.rpartition(":")[2]),
        audiosocket_port=talkspurt.audiosocket_port,
    )
    cli = AsteriskCli(shlex.join(asterisk.command))
    return list(examine(settings, cli, context, asterisk.folder / "etc"))


def test_where_all_is_well_nothing_is_wrong(asterisk: Asterisk, talkspurt: Talkspurt, context: str) -> None:
    found = findings(asterisk, talkspurt, context)
    assert [finding for finding in found if finding.level is Level.WRONG] == []
    facts = "\n".join(finding.fact for finding in found)
    assert "a test call heard the greeting after" in facts
    assert "Asterisk 22." in facts
    assert "func_curl.so is running" in facts
    assert f"the context [{context}-server] is in the dialplan" in facts


def test_a_dialplan_that_was_forgotten_or_put_in_twice_is_wrong(
    asterisk: Asterisk, talkspurt: Talkspurt, context: str
) -> None:
    wrong = [str(found) for found in findings(asterisk, talkspurt, "forgotten") if found.level is Level.WRONG]
    assert len(wrong) == 1
    assert "the context [forgotten-server] is not in the dialplan" in wrong[0]
    with (asterisk.folder / "etc/extensions_custom.conf").open("a") as file:
        file.write(f"\n[{context}]\nexten => s,1,Hangup()\n")
    wrong = [str(found) for found in findings(asterisk, talkspurt, context) if found.level is Level.WRONG]
    assert len(wrong) == 1
    assert f"[{context}] stands 2 times in the dialplan" in wrong[0]


def test_a_module_that_was_unloaded_is_wrong(asterisk: Asterisk, talkspurt: Talkspurt, context: str) -> None:
    asterisk.cli("module unload chan_audiosocket.so")
    try:
        wrong = [str(found) for found in findings(asterisk, talkspurt, context) if found.level is Level.WRONG]
    finally:
        asterisk.cli("module load chan_audiosocket.so")
    assert len(wrong) == 1
    assert wrong[0].startswith("WRONG  chan_audiosocket.so is missing\n")


def trials(asterisk: Asterisk, context: str) -> list[Finding]:
    return try_fallbacks(Settings.of(), AsteriskCli(shlex.join(asterisk.command)), context)


def test_the_trials_show_that_each_caller_comes_to_the_fallback(asterisk: Asterisk, context: str) -> None:
    before = asterisk.cli("dialplan show")
    found = trials(asterisk, context)
    assert [finding.fact for finding in found if finding.level is not Level.OK] == []
    facts = [re.sub(r"\d+\.\d s", "… s", finding.fact) for finding in found]
    assert facts == [
        "trial: a call was taken and given back",
        "trial: where the server is down, the dialplan goes on after … s",
        "trial: where the server is full, the dialplan goes on after … s",
        "trial: where the server does not take the audio, the dialplan goes on after … s",
        "trial: where the server is killed in mid-call, the dialplan goes on after … s",
        "trial: where the server hangs in mid-call, the dialplan goes on after … s",
    ]
    assert asterisk.cli("dialplan show") == before, "the trials' context is gone"


def test_the_trials_find_a_dialplan_that_does_not_look_after_its_calls(
    asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.doctor.trials.PATIENCE_S", 4.0)
    here = ServerAddress("127.0.0.1", free_port(), free_port())
    dialplan = render(DialplanOptions([here], context="careless", watch=False), "")
    (asterisk.folder / "etc/extensions_custom.conf").write_text(dialplan)
    asterisk.cli("dialplan reload")
    wrong = [str(finding) for finding in trials(asterisk, "careless") if finding.level is Level.WRONG]
    assert len(wrong) == 1
    assert "where the server hangs in mid-call, the caller is alone for 4 s and more" in wrong[0]
    assert "without --no-watch" in wrong[0]


def test_without_the_printed_dialplan_nothing_of_it_works(asterisk: Asterisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.doctor.trials.PATIENCE_S", 1.0)
    found = trials(asterisk, "nowhere")
    assert {finding.level for finding in found} == {Level.WRONG}
    assert len(found) == len(Fault), "Asterisk has reached the doctor"
