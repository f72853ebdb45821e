"""What the doctor makes of Asterisk's answers, which are those of real ones."""

from __future__ import annotations

import pytest

from bridge.doctor import pbx
from bridge.doctor.finding import Finding, Level

V22_10 = "Asterisk 22.10.1 built by nobody @ buildd.debian.org on a x86_64 running Linux on 2026-07-09 20:22:56 UTC\n"
V18_12 = "Asterisk 18.12.1 built by root @ pbx on a x86_64 running Linux on 2022-06-01 09:00:00 UTC\n"
APPLICATION = """\
[ Context 'talkspurt-server' created by 'pbx_config' ]
  's' =>            1. Set(TS_REPLY=${CURL(${ARG1}/v1/calls,${TS_ABOUT})})        [extensions_custom.conf:30]
     [talk]         5. TryExec(AudioSocket(${TS_CALL},${ARG2}))                   [extensions_custom.conf:35]
"""
CHANNEL = APPLICATION.replace(
    "TryExec(AudioSocket(${TS_CALL},${ARG2}))", "Dial(AudioSocket/${ARG2}/${TS_CALL}/c(slin),,g)"
)
MODULES = """\
Module                         Description                              Use Count  Status      Support Level
app_audiosocket.so             AudioSocket Application                  0          Running              extended
chan_audiosocket.so            AudioSocket Channel                      0          Running              extended
res_audiosocket.so             AudioSocket support                      2          Running              extended
3 modules loaded
Module                         Description                              Use Count  Status      Support Level
func_curl.so                   Load external URL                        0          Running                  core
1 modules loaded
"""
RECORD_CHECK = """\
[ Context 'sub-record-check' created by 'pbx_config' ]
  'recordcheck' =>  1. Set(__MONITOR_REC_OPTION=b)                                [extensions_additional.conf:90]
"""


def facts(findings: list[Finding], level: Level) -> list[str]:
    return [finding.fact for finding in findings if finding.level is level]


def test_a_new_asterisk_lacks_nothing() -> None:
    assert pbx.check_version(V22_10) == [Finding(Level.OK, "Asterisk 22.10")]


def test_an_old_one_is_told_what_it_lacks_and_from_when_there_is_more() -> None:
    found = facts(pbx.check_version(V18_12), Level.ADVICE)
    assert "Asterisk 18.12 keeps a CPU core busy after some calls" in found
    assert "Asterisk 18.12 does not have keys that callers press (from 20.14, 21.9, 22.4 or 23.0)" in found
    assert len(found) == 6


@pytest.mark.parametrize("text", ["Asterisk 16.30.0 built by x", "Asterisk 13.1\n"])
def test_one_without_audiosocket_is_wrong(text: str) -> None:
    assert pbx.check_version(text)[0].level is Level.WRONG


@pytest.mark.parametrize("text", ["", "No such command 'core show version'", "\n\n"])
def test_an_answer_that_is_no_version_is_wrong(text: str) -> None:
    assert [finding.level for finding in pbx.check_version(text)] == [Level.WRONG]


def test_modules_that_run_are_well() -> None:
    assert facts(pbx.check_modules(MODULES), Level.OK) == [f"{module} is running" for module in pbx.MODULES]


def test_a_module_that_does_not_run_is_to_be_loaded_and_one_that_is_missing_to_be_installed() -> None:
    text = MODULES.replace("0          Running                  core", "0          Not Running              core")
    (finding,) = [found for found in pbx.check_modules(text) if found.level is Level.WRONG]
    assert (finding.fact, finding.remedy) == ("func_curl.so is not running", "asterisk -rx 'module load func_curl.so'")
    without = "\n".join(line for line in MODULES.splitlines() if "func_curl" not in line)
    (finding,) = [found for found in pbx.check_modules(without) if found.level is Level.WRONG]
    assert finding.fact == "func_curl.so is missing"
    assert "asterisk22-curl" in finding.remedy


def test_a_module_that_only_the_printed_dialplan_needs_is_asked_for_where_there_is_one() -> None:
    transfers = "     [h]  11. TrySystem(sleep 0.1)    [extensions_custom.conf:189]"
    (advice,) = [found for found in pbx.check_modules(MODULES, transfers) if found.level is Level.ADVICE]
    assert "app_system.so is not running" in advice.fact
    running = f"{MODULES}app_system.so      Generic System() application      0          Running       core\n"
    assert facts(pbx.check_modules(running, transfers), Level.ADVICE) == []
    assert facts(pbx.check_modules(MODULES), Level.ADVICE) == []


def test_a_dialplan_with_websockets_wants_other_modules() -> None:
    dialplan = "TryExec(Dial(WebSocket/${ARG2}/c(slin)f(json)v(id=${TS_CALL}),,g))"
    missing = facts(pbx.check_modules(MODULES, dialplan), Level.WRONG)
    assert missing == ["res_websocket_client.so is missing", "chan_websocket.so is missing"]
    new = "res_websocket_client.so  Client  1  Running core\nchan_websocket.so  Media  0  Running core\n"
    assert not facts(pbx.check_modules(MODULES + new, dialplan), Level.WRONG)


def test_a_dialplan_that_is_not_there_is_wrong() -> None:
    text = "There is no existence of 'talkspurt-server' context\nCommand 'dialplan show' failed.\n"
    assert facts(pbx.check_dialplan("talkspurt-server", text, V22_10), Level.WRONG) == [
        "the context [talkspurt-server] is not in the dialplan"
    ]


@pytest.mark.parametrize(
    ("dialplan", "version", "is_wrong"),
    [(APPLICATION, V18_12, True), (CHANNEL, V18_12, False), (APPLICATION, V22_10, False), (CHANNEL, V22_10, False)],
)
def test_the_application_on_an_old_asterisk_leaves_a_caller_in_silence(
    dialplan: str, version: str, is_wrong: bool
) -> None:
    found = facts(pbx.check_dialplan("talkspurt-server", dialplan, version), Level.WRONG)
    assert bool(found) is is_wrong
    assert all(fact.startswith("a caller stays in silence for good when the server dies") for fact in found)


def test_a_context_that_stands_twice_is_wrong_and_its_places_are_named() -> None:
    files = {
        "/etc/asterisk/extensions_custom.conf": "[other]\n\n[talkspurt]\nexten => s,1,NoOp()\n[talkspurt-server]\n",
        "/etc/asterisk/extensions_override_freepbx.conf": "\n[talkspurt]\n",
        "/etc/asterisk/extensions_additional.conf": "; [talkspurt]\n[talkspurt](+)\n",
    }
    assert facts(pbx.check_contexts(files, "talkspurt"), Level.WRONG) == [
        "[talkspurt] stands 2 times in the dialplan, and the first wins: "
        "/etc/asterisk/extensions_custom.conf:3, /etc/asterisk/extensions_override_freepbx.conf:2"
    ]
    assert pbx.check_contexts(files, "talkspurt-server") == []


def test_freepbx_records_the_application_only_without_its_default_option() -> None:
    assert facts(pbx.check_recording(RECORD_CHECK, APPLICATION), Level.ADVICE)
    assert pbx.check_recording(RECORD_CHECK, CHANNEL) == []
    assert pbx.check_recording(RECORD_CHECK.replace("OPTION=b", "OPTION="), APPLICATION) == []
