"""`talkspurt doctor`: looks at the server, the machine and Asterisk, and prints each finding with what to do."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from bridge.commands.dialplan_text import CONTEXT
from bridge.config import Settings, WrongSetting, load_settings, misspelt_settings
from bridge.doctor import host, pbx
from bridge.doctor.asterisk import AsteriskCli, NoAsterisk
from bridge.doctor.finding import Finding, Level, advice, worst, wrong
from bridge.doctor.server import check_server


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
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the findings as they are made. Returns 1 if something is wrong, 2 where a setting is."""
    try:
        settings = load_settings()
    except WrongSetting as error:
        print(error, *misspelt_settings(), sep="\n", file=sys.stderr)
        return 2
    findings = []
    for finding in examine(settings, AsteriskCli(args.asterisk), args.context, args.asterisk_etc):
        print(finding, flush=True)
        findings.append(finding)
    count = sum(finding.level is Level.WRONG for finding in findings)
    print(f"\n{count} wrong, {sum(finding.level is Level.ADVICE for finding in findings)} could be better")
    return int(worst(findings) is Level.WRONG)


def examine(settings: Settings, asterisk: AsteriskCli, context: str, asterisk_etc: Path) -> Iterator[Finding]:
    """Yields everything that is found, the server first."""
    for line in misspelt_settings():
        yield advice(line, "correct the name")
    yield from asyncio.run(check_server(settings))
    yield from host.check_clock()
    yield from host.check_disk(settings.conversation.record_dir)
    try:
        version = asterisk.run("core show version")
        modules = asterisk.run("module show like audiosocket") + asterisk.run("module show like func_curl")
        server_part = asterisk.run(f"dialplan show {context}-server")
        record_check = asterisk.run("dialplan show sub-record-check")
    except NoAsterisk as error:
        yield advice(
            f"Asterisk was not looked at: {error}",
            "run this on the PBX, as root, or give --asterisk 'ssh root@pbx asterisk'",
        )
        return
    yield from pbx.check_version(version)
    yield from pbx.check_modules(modules)
    yield from pbx.check_dialplan(f"{context}-server", server_part, version)
    yield from pbx.check_recording(record_check, server_part)
    try:
        yield from pbx.check_contexts(_configuration(asterisk_etc), context)
    except OSError as error:
        yield wrong(f"{error.filename}: {error.strerror}", "run this as root, or as the user asterisk")


def _configuration(folder: Path) -> dict[str, str]:
    """Returns the text of every file in the folder that may hold dialplan, by its path."""
    if not folder.is_dir():
        return {}
    names = pbx.places_of_contexts(path.name for path in folder.iterdir())
    return {str(folder / name): (folder / name).read_text(errors="replace") for name in names}
