"""What Asterisk's own answers mean for calls with the agent. No I/O: each check is given the text of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bridge.commands.asterisk_version import (
    DTMF,
    OLDEST,
    PLAIN_END,
    UUID_FUNCTION,
    WIDEBAND,
    CannotPrint,
    Feature,
    parse_version,
)
from bridge.doctor.finding import Finding, advice, ok, wrong

SPIN_FIX: Final = Feature({18: 20, 20: 5, 21: 0})
"""Calls do not keep a CPU core busy after the agent's end of the socket closed."""
NO_DELAY: Final = Feature({20: 15, 21: 10, 22: 5, 23: 0})
COMFORT_NOISE: Final = Feature({20: 20, 22: 10, 23: 4})
_MISSING: Final = (
    (UUID_FUNCTION, "the function UUID()", "the printed dialplan takes an id from the kernel"),
    (DTMF, "keys that callers press", "update, if the agent is to react to keys, or colleagues are to hear briefs"),
    (NO_DELAY, "frames that leave at once, and calls that outlive a slow network", "update"),
    (WIDEBAND, "wideband calls (--wideband)", "update, if you want them"),
    (COMFORT_NOISE, "calls that outlive comfort noise from the caller's phone", "update, or turn it off in the phones"),
)
MODULES: Final = ("res_audiosocket.so", "app_audiosocket.so", "chan_audiosocket.so", "func_curl.so")
WEBSOCKET_MODULES: Final = ("res_websocket_client.so", "chan_websocket.so", "func_curl.so")
"""What a dialplan with `Dial(WebSocket/…)` needs in their place."""
SYSTEM_MODULE: Final = "app_system.so"
_CONTEXT: Final = re.compile(r"^\s*\[([A-Za-z0-9_-]+)\](?!\(\+)", re.MULTILINE)
_AUDIOSOCKET: Final = re.compile(r"\bAudioSocket\(")
"""The application; `Dial(AudioSocket/…)` is a channel."""
_RECORD_OPTION: Final = re.compile(r"MONITOR_REC_OPTION=(\w*)")


def check_version(text: str) -> list[Finding]:
    """Judges what `core show version` says."""
    first = (text.strip().splitlines() or [""])[0]
    try:
        version = parse_version(first.split(" built ")[0])
    except CannotPrint:
        return [wrong(f"this Asterisk does not tell its version: {first[:80]!r}", "run: asterisk -V")]
    name = f"Asterisk {version[0]}.{version[1]}"
    if version < OLDEST:
        return [wrong(f"{name} has no AudioSocket", "update to Asterisk 18 or later")]
    findings = [ok(name)]
    if version not in SPIN_FIX:
        findings.append(advice(f"{name} keeps a CPU core busy after some calls", f"update to {SPIN_FIX} or later"))
    findings += [
        advice(f"{name} does not have {what} (from {since})", remedy)
        for since, what, remedy in _MISSING
        if version not in since
    ]
    return findings


def check_modules(text: str, dialplan: str = "") -> list[Finding]:
    """Judges what `module show like NAME` says of these, one after the other."""
    running = {line.split()[0]: "Not Running" not in line for line in text.splitlines() if ".so " in line}
    findings = []
    for module in WEBSOCKET_MODULES if "Dial(WebSocket/" in dialplan else MODULES:
        if running.get(module):
            findings.append(ok(f"{module} is running"))
        elif module in running:
            findings.append(wrong(f"{module} is not running", f"asterisk -rx 'module load {module}'"))
        elif module == "func_curl.so":
            findings.append(
                wrong(f"{module} is missing", "install its package: asterisk22-curl on FreePBX 17 (for Asterisk 22)")
            )
        else:
            findings.append(
                wrong(f"{module} is missing", f"asterisk -rx 'module load {module}'; if there is none, update Asterisk")
            )
    if "TrySystem(" in dialplan and not running.get(SYSTEM_MODULE):
        findings.append(
            advice(
                f"{SYSTEM_MODULE} is not running: callers whom a colleague transfers to the agent may be taken for the "
                "colleague",
                f"asterisk -rx 'module load {SYSTEM_MODULE}'",
            )
        )
    return findings


def check_dialplan(context: str, text: str, version_text: str) -> list[Finding]:
    """Judges what `dialplan show CONTEXT-server` says: the part that offers a call to a server."""
    if "There is no existence" in text or f"[ Context '{context}" not in text:
        return [
            wrong(
                f"the context [{context}] is not in the dialplan",
                "put the output of `talkspurt dialplan` there, then: asterisk -rx 'dialplan reload'",
            )
        ]
    findings = [ok(f"the context [{context}] is in the dialplan")]
    try:
        version = parse_version(version_text.strip().splitlines()[0].split(" built ")[0])
    except (CannotPrint, IndexError):
        return findings
    if _AUDIOSOCKET.search(text) and version not in PLAIN_END:
        findings.append(
            wrong(
                f"a caller stays in silence for good when the server dies: [{context}] has AudioSocket(), which before "
                f"{PLAIN_END} does not notice it",
                "print the dialplan again: `talkspurt dialplan` uses Dial(AudioSocket/…), which does",
            )
        )
    return findings


def check_contexts(files: Mapping[str, str], context: str) -> list[Finding]:
    """Looks for a context that stands in the configuration more than once: Asterisk merges them, and the first wins."""
    places = [
        f"{path}:{text.count(chr(10), 0, match.start(1)) + 1}"
        for path, text in files.items()
        for match in _CONTEXT.finditer(text)
        if match[1] == context
    ]
    if len(places) > 1:
        return [
            wrong(
                f"[{context}] stands {len(places)} times in the dialplan, and the first wins: {', '.join(places)}",
                "keep the newest and delete the others",
            )
        ]
    return []


def check_recording(record_check: str, server_part: str) -> list[Finding]:
    """Judges FreePBX's recording: `dialplan show sub-record-check`, and how calls go to the server."""
    option = _RECORD_OPTION.search(record_check)
    if option is None or "b" not in option[1] or not _AUDIOSOCKET.search(server_part):
        return []
    return [
        advice(
            "FreePBX records nothing of the agent: it waits until channels are bridged, and AudioSocket() is no bridge",
            "Settings, Advanced Settings, Call Recording, Call Record Option: No; or print the dialplan again",
        )
    ]


def places_of_contexts(files: Iterable[str]) -> list[str]:
    """Returns which of a folder's files may hold dialplan."""
    return sorted(name for name in files if name.startswith("extensions") and name.endswith(".conf"))
