"""The doctor looks at a real Asterisk."""

from __future__ import annotations

import shlex
import uuid

import pytest

from bridge.commands.dialplan_text import DialplanOptions, ServerAddress, render
from bridge.config import Settings
from bridge.doctor.asterisk import AsteriskCli
from bridge.doctor.command import examine
from bridge.doctor.finding import Finding, Level
from tests.asterisk.conftest import GREETING
from tests.support.asterisk.asterisk import Asterisk
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
