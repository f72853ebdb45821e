"""`talkspurt doctor`: looks at the server, the machine and Asterisk, and prints each finding with what to do."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from bridge.commands.asterisk_version import CannotPrint
from bridge.commands.dialplan_options import CONTEXT
from bridge.commands.env_file import ENV_FILE_HELP, find_env_file
from bridge.config import Settings, WrongSetting, load_settings, misspelt_settings
from bridge.doctor import host, pbx
from bridge.doctor.asterisk import AsteriskCli, NoAsterisk
from bridge.doctor.finding import Finding, Level, advice, worst, wrong
from bridge.doctor.server import check_server, local_host
from bridge.doctor.trials import Trials


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt doctor`."""
    parser = sub.add_parser(
        "doctor",
        help="look at the PBX and the server, and say what is wrong",
        description="Looks at the server of these settings, this machine and Asterisk, and prints what it finds, with "
        "remedies. Changes nothing. Exits with status 1 if something is wrong.",
    )
    parser.add_argument(
        "--asterisk",
        metavar="COMMAND",
        default="asterisk",
        help="how to run Asterisk's program, for example 'ssh root@pbx asterisk' (default: %(default)s)",
    )
    parser.add_argument(
        "--context", default=CONTEXT, metavar="NAME", help="of the printed dialplan (default: %(default)s)"
    )
    parser.add_argument(
        "--asterisk-etc",
        type=Path,
        default=Path("/etc/asterisk"),
        metavar="FOLDER",
        help="where Asterisk's configuration is (default: %(default)s)",
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help=ENV_FILE_HELP)
    parser.add_argument(
        "--trials",
        action="store_true",
        help="also try the fall-backs: six calls through the dialplan to throw-away servers that fail. A context is "
        "added to the running dialplan and removed again; nothing else is touched",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings as they are made. Returns 1 if something is wrong, 2 where a setting is."""
    env_file = None
    try:
        env_file = find_env_file(args.env_file)
        settings = load_settings(env_file)
    except (WrongSetting, CannotPrint) as error:
        print(error, *misspelt_settings(env_file), sep="\n", file=sys.stderr)
        return 2
    findings = []
    asterisk = AsteriskCli(args.asterisk)
    misspelt = [advice(line, "correct the name") for line in misspelt_settings(env_file)]
    found = chain(misspelt, examine(settings, asterisk, args.context, args.asterisk_etc))
    for finding in chain(found, try_fallbacks(settings, asterisk, args.context) if args.trials else ()):
        print(finding, flush=True)
        findings.append(finding)
    count = sum(finding.level is Level.WRONG for finding in findings)
    print(f"\n{count} wrong, {sum(finding.level is Level.ADVICE for finding in findings)} could be better")
    return int(worst(findings) is Level.WRONG)


def examine(settings: Settings, asterisk: AsteriskCli, context: str, asterisk_etc: Path) -> Iterator[Finding]:
    """Yields everything that is found, the server first."""
    yield from asyncio.run(check_server(settings))
    yield from host.check_clock()
    yield from host.check_disk(settings.conversation.record_dir)
    try:
        version = asterisk.run("core show version")
        modules = "".join(
            asterisk.run(f"module show like {name}") for name in ("audiosocket", "websocket", "func_curl", "app_system")
        )
        server_part = asterisk.run(f"dialplan show {context}-server")
        record_check = asterisk.run("dialplan show sub-record-check")
    except NoAsterisk as error:
        yield advice(
            f"Asterisk was not looked at: {error}",
            "run this on the PBX, as root, or give --asterisk 'ssh root@pbx asterisk'",
        )
        return
    yield from pbx.check_version(version)
    yield from pbx.check_modules(modules, server_part)
    yield from pbx.check_dialplan(f"{context}-server", server_part, version)
    yield from pbx.check_recording(record_check, server_part)
    try:
        yield from pbx.check_contexts(_configuration(asterisk_etc), context)
    except OSError as error:
        yield wrong(f"{error.filename}: {error.strerror}", "run this as root, or as the user asterisk")


def try_fallbacks(settings: Settings, asterisk: AsteriskCli, context: str) -> list[Finding]:
    """Places the trial calls, and returns what came of them."""
    try:
        if "WebSocket/" in asterisk.run(f"dialplan show {context}-server"):
            return [advice("no trial call was placed: the dialplan calls over a WebSocket", "dial it: docs/freepbx.md")]
    except NoAsterisk as error:
        return [advice(f"no trial call could be placed: {error}", "run this on the PBX, as root")]
    try:
        return asyncio.run(Trials(asterisk, context, local_host(settings.server.audiosocket_host)).run())
    except OSError as error:
        return [
            advice(f"no trial call could be placed: {error.strerror or error}", "is AUDIOSOCKET_HOST of this machine?")
        ]


def _configuration(folder: Path) -> dict[str, str]:
    """Returns the text of every file in the folder that may hold dialplan, by its path."""
    if not folder.is_dir():
        return {}
    names = pbx.places_of_contexts(path.name for path in folder.iterdir())
    return {str(folder / name): (folder / name).read_text(errors="replace") for name in names}
