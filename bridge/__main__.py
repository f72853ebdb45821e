"""The command line: `talkspurt COMMAND`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import structlog

from bridge.commands import agents, dialplan, engine, reload, say
from bridge.converse import command as converse
from bridge.demo import command as demo
from bridge.dial import command as dial
from bridge.doctor import command as doctor
from bridge.review import call_command, judge_command

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # set before onnxruntime is imported, or it phones home


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    from bridge.logs import show_no_locals

    show_no_locals()
    parser = argparse.ArgumentParser(prog="talkspurt", description="The phone voice of a language model.")
    parser.add_argument("--version", action="version", version=f"talkspurt {version('talkspurt')}")
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_serve(sub)
    add_settings(sub)
    for module in (reload, engine, dial, say, demo, converse, call_command, judge_command, agents, dialplan, doctor):
        module.add_parser(sub)
    args = parser.parse_args(argv)
    return int(args.func(args))


def add_serve(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt serve`."""
    parser = sub.add_parser("serve", help="take calls and HTTP requests until SIGTERM")
    parser.add_argument(
        "--check", action="store_true", help="check the settings, ask the language model once, and exit"
    )
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)  # of a pipe: a byte tells that calls are taken
    parser.set_defaults(func=run_serve)


def add_settings(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt settings`."""
    parser = sub.add_parser("settings", help="list every setting with its default, as a Markdown table")
    parser.set_defaults(func=run_settings)


def run_settings(args: argparse.Namespace) -> int:
    """Prints the table of settings."""
    from bridge.config import settings_table

    print(settings_table(), end="")
    return 0


def run_serve(args: argparse.Namespace) -> int:
    """Checks the settings, then serves. Returns 2 where a setting is wrong, 1 where the server cannot start."""
    from bridge.config import WrongSetting, load_settings, misspelt_settings
    from bridge.logs import set_up_logs
    from bridge.masking import Masker, secrets_of

    misspelt = misspelt_settings()
    try:
        settings = load_settings()
    except WrongSetting as error:
        print(error, *misspelt, sep="\n", file=sys.stderr)
        return 2
    if args.check:
        from bridge.commands.check import check

        print(*misspelt, sep="\n", end="\n" if misspelt else "", file=sys.stderr)
        return check(settings)
    masker = Masker(secrets_of(settings.values()))
    set_up_logs(settings.server.log_format, settings.server.log_level, masker)
    for line in misspelt:
        structlog.get_logger(__name__).warning(line)
    if settings.server.workers == 1 and settings.server.run_dir is None:
        from bridge.app import serve

        serving = serve(settings)
    else:
        from bridge.workers.supervisor import supervise

        serving = supervise(settings, ready_fd=args.ready_fd)
    from engine.speech import SpeechError

    try:
        asyncio.run(serving)
    except (SpeechError, OSError) as error:
        print(masker(f"cannot start: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
