"""`talkspurt dialplan`: prints or installs what Asterisk is to do with a call, for its version and the addresses."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bridge.calls_api.call_token import dialplan_secret
from bridge.commands.asterisk_version import CannotPrint, parse_version
from bridge.commands.dialplan_folder import install
from bridge.commands.dialplan_options import ASTERISK_DIR, CONTEXT, DialplanOptions, ServerAddress
from bridge.commands.dialplan_text import render, render_client
from bridge.commands.env_file import ENV_FILE_HELP, find_env_file
from bridge.config import Settings, WrongSetting, load_settings
from engine.loopback import is_loopback


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt dialplan`."""
    parser = sub.add_parser("dialplan", help="print or install what Asterisk is to do with a call")
    parser.add_argument("--asterisk", metavar="VERSION", help="as `asterisk -V` says (default: any from 18 on)")
    parser.add_argument(
        "--server",
        action="append",
        metavar="HOST[:HTTP_PORT[:AUDIOSOCKET_PORT]]",
        help="where Asterisk finds the server (default: as the settings say); given twice, the second stands in",
    )
    parser.add_argument("--wideband", action="store_true", help="16 kHz both ways, for callers with wideband codecs")
    parser.add_argument(
        "--application",
        action="store_true",
        help="run AudioSocket() instead of Dial(AudioSocket/…); docs/freepbx.md tells what you lose",
    )
    parser.add_argument(
        "--websocket",
        action="store_true",
        help="run Dial(WebSocket/…), on the HTTP port, instead of Dial(AudioSocket/…)",
    )
    parser.add_argument("--tls", action="store_true", help="with --websocket: a proxy before the server speaks TLS")
    parser.add_argument(
        "--no-watch", action="store_true", help="leave out what takes callers back from a server that hangs"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="have another server go on with the call of one that is lost; the servers share a Redis (REDIS_URL)",
    )
    parser.add_argument("--context", default=CONTEXT, help="name of the context (default: %(default)s)")
    parser.add_argument(
        "--fallback",
        default="",
        metavar="CONTEXT,EXTEN,PRIORITY",
        help="where calls go that no agent took (default: back to the Custom Destination)",
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help=ENV_FILE_HELP)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--install",
        type=Path,
        nargs="?",
        const=Path(ASTERISK_DIR),
        metavar="DIR",
        help=f"put it into a file of its own in Asterisk's folder (default: {ASTERISK_DIR}), and say what changed",
    )
    action.add_argument(
        "--websocket-client", action="store_true", help="print only what --websocket needs in CONTEXT.websocket"
    )
    action.add_argument(
        "--secret", action="store_true", help="print only the secret that the dialplan reads from CONTEXT.secret"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints or installs the dialplan; where it cannot, prints one line on standard error and returns 2."""
    try:
        env_file = find_env_file(args.env_file)
        settings = load_settings(env_file)
        api_key = settings.speech.api_key.get_secret_value()
        if args.secret:
            return _print_secret(api_key)
        options = _options(args, settings, bool(api_key))
        text = render(options, _command(args))
        client = render_client(options) if options.websocket else ""
        for note in _notes(options, env_file is not None):
            print(note, file=sys.stderr)
        if args.install is None:
            print(client if args.websocket_client else text, end="")
            return 0
        done = install(args.install, options.context, text, dialplan_secret(api_key) if api_key else "", client)
    except (WrongSetting, CannotPrint) as error:
        print(error, file=sys.stderr)
        return 2
    print(done.text, end="")
    return 1 if done.hidden_by else 0


def _options(args: argparse.Namespace, settings: Settings, has_key: bool) -> DialplanOptions:
    return DialplanOptions(
        servers=[ServerAddress.parse(text, settings.server) for text in args.server or ()]
        or [ServerAddress.configured(settings.server)],
        asterisk=parse_version(args.asterisk) if args.asterisk else None,
        wideband=args.wideband,
        application=args.application,
        websocket=args.websocket or args.websocket_client,
        tls=args.tls,
        watch=not args.no_watch,
        resume=args.resume,
        context=args.context,
        fallback=args.fallback,
        secret=has_key,
        folder=str(args.install.absolute() if args.install is not None else ASTERISK_DIR),
    )


def _notes(options: DialplanOptions, known: bool) -> list[str]:
    """Returns what the administrator should know: a server whose key is not known here refuses every call."""
    if options.secret or (known and all(is_loopback(server.host.strip("[]")) for server in options.servers)):
        return []
    return ["No API_KEY was found. If the server has one, it refuses every call: tell where with --env-file."]


def _print_secret(api_key: str) -> int:
    if not api_key:
        raise CannotPrint("no API_KEY was found, so there is no secret: tell with --env-file where the settings are")
    print(dialplan_secret(api_key))
    return 0


def _command(args: argparse.Namespace) -> str:
    words: list[str] = ["talkspurt", "dialplan"]
    if args.asterisk:
        words += ["--asterisk", args.asterisk]
    for server in args.server or ():
        words += ["--server", server]
    flags = ("wideband", "application", "websocket", "tls", "no_watch", "resume")
    words += [f"--{flag.replace('_', '-')}" for flag in flags if getattr(args, flag)]
    words += _unless_default("--context", args.context, CONTEXT)
    words += _unless_default("--fallback", args.fallback, "")
    words += _unless_default("--env-file", str(args.env_file or ""), "")
    words += _unless_default("--install", str(args.install or ""), "")
    return shlex.join(words)


def _unless_default(option: str, value: str, default: str) -> Sequence[str]:
    return [option, value] if value != default else []
