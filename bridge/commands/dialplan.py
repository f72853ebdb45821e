"""`talkspurt dialplan`: prints what Asterisk is to do with a call, for the administrator's version and addresses."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_address
from typing import Final

from bridge.brains.destinations import is_destination
from bridge.config import ServerSettings, WrongSetting, load_settings
from bridge.explaining import SHOWN_MAX

CONTEXT: Final = "talkspurt"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?(?::([0-9]{1,5}))?")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+")
_NUMBER: Final = r"([0-9]{1,4})(?![0-9])"
_VERSION: Final = re.compile(rf"(?:Asterisk |certified[-/])*{_NUMBER}(?:\.{_NUMBER})?[ -~]{{0,200}}")
_UNFIT_FOR_A_KEY: Final = re.compile(r"[^!-~]|[,;\\${}()\[\]\"'`]")
"""What ends a word or means something to Asterisk in a `Set()`."""
COMMAND_MAX: Final = 1_000
"""Asterisk reads a longer line than 8 KiB as two, and the rest of a comment is none."""
KEY_MAX: Final = 1_000
NAME_MAX: Final = 70
"""Asterisk's AST_MAX_CONTEXT, less what is appended to the name."""


class CannotPrint(Exception):
    """No dialplan can be made of the options. The text says why in one line, for an administrator."""


@dataclass(frozen=True, slots=True)
class Feature:
    """The first release of each branch of Asterisk that has a certain feature."""

    since: dict[int, int]
    """The first minor version by branch. Later branches have the feature from their start; others never got it."""

    def __contains__(self, version: tuple[int, int]) -> bool:
        branch, minor = version
        return branch > max(self.since) or minor >= self.since.get(branch, sys.maxsize)

    def __str__(self) -> str:
        *some, last = [f"{branch}.{minor}" for branch, minor in self.since.items()]
        return f"{', '.join(some)} or {last}"


UUID_FUNCTION: Final = Feature({20: 12, 21: 7, 22: 2, 23: 0})
DTMF: Final = Feature({20: 14, 21: 9, 22: 4, 23: 0})
WIDEBAND: Final = Feature({20: 17, 21: 12, 22: 7, 23: 1})
OLDEST: Final = (18, 0)
"""The first version with AudioSocket."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The addresses at which Asterisk reaches a server."""

    host: str
    http_port: int
    audiosocket_port: int

    @classmethod
    def parse(cls, text: str, settings: ServerSettings) -> ServerAddress:
        """Returns the address in HOST, HOST:HTTP_PORT or HOST:HTTP_PORT:AUDIOSOCKET_PORT. Raises CannotPrint."""
        match = _SERVER.fullmatch(text)
        if not match or not (match[1].startswith("[") or _HOST.fullmatch(match[1])):
            raise CannotPrint(
                f"--server {_shown(text)}: must be HOST[:HTTP_PORT[:AUDIOSOCKET_PORT]], IPv6 in square brackets"
            )
        http_port, audiosocket_port = int(match[2] or settings.http_port), int(match[3] or settings.audiosocket_port)
        if not 0 < http_port < 65_536 or not 0 < audiosocket_port < 65_536:
            raise CannotPrint(f"--server {_shown(text)}: ports are 1 to 65535")
        return cls(match[1], http_port, audiosocket_port)

    @classmethod
    def configured(cls, settings: ServerSettings) -> ServerAddress:
        """Returns the address of the server that these settings describe. Raises CannotPrint."""
        host = settings.audiosocket_host
        try:
            address = ip_address(host)
        except ValueError:
            address = None
        if address is not None and address.is_unspecified:
            raise CannotPrint(f"AUDIOSOCKET_HOST={host} is every address: say with --server where Asterisk finds it")
        named = f"[{host}]" if address is not None and address.version == 6 else host
        return cls.parse(f"{named}:{settings.http_port}:{settings.audiosocket_port}", settings)


@dataclass(frozen=True, slots=True)
class DialplanOptions:
    """What the dialplan is made for."""

    servers: Sequence[ServerAddress]
    """The servers, which the dialplan tries in this order."""
    asterisk: tuple[int, int] | None = None
    """Branch and minor version of Asterisk; with None the dialplan works on every version from 18 on."""
    wideband: bool = False
    context: str = CONTEXT
    fallback: str = ""
    """Where calls go that no agent took; if empty, they go back to the Custom Destination."""
    api_key: str = ""


def render(options: DialplanOptions, command: str) -> str:
    """Returns the dialplan. Its first line says that `command` prints it again. Raises CannotPrint."""
    _check(options)
    if len(command) > COMMAND_MAX or not command.isprintable():
        raise CannotPrint("the options are too long for a dialplan, or hold characters that cannot be printed")
    values = {
        "HEAD": _head(options, command),
        "RETURN": "No" if options.fallback else "Yes",
        "UUID": "${UUID()}" if _has(options, UUID_FUNCTION) else "${SHELL(cat /proc/sys/kernel/random/uuid):0:36}",
        "AUTHORIZATION": _authorization(options.api_key),
        "SERVERS": "\n".join(_server(options, server) for server in options.servers),
        "FALLBACK": _fallback(options),
        "AUDIOSOCKET": (
            "Dial(AudioSocket/${ARG2}/${TS_CALL}/c(slin16),,g)"
            if options.wideband
            else "AudioSocket(${TS_CALL},${ARG2})"
        ),
        "CONTEXT": options.context,  # comes last, because the other values contain it
    }
    text = resources.files("bridge.commands").joinpath("dialplan.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def parse_version(text: str) -> tuple[int, int]:
    """Returns branch and minor version of `22.8`, `20.14.1`, `certified-20.7-cert4` or what `asterisk -V` says.

    Raises CannotPrint.
    """
    match = _VERSION.fullmatch(text.strip())
    if not match:
        raise CannotPrint(f"--asterisk {_shown(text)}: must be a version such as 20.14 or 22.8.2")
    version = int(match[1]), int(match[2] or 0)
    if version < OLDEST:
        raise CannotPrint(f"--asterisk {_shown(text)}: AudioSocket is in Asterisk from 18 on")
    return version


def _check(options: DialplanOptions) -> None:
    if not _NAME.fullmatch(options.context) or len(options.context) > NAME_MAX:
        raise CannotPrint(f"--context {_shown(options.context)}: letters, digits, - and _, {NAME_MAX} at most")
    if options.fallback and not is_destination(options.fallback):
        raise CannotPrint(
            f"--fallback {_shown(options.fallback)}: must be context,extension,priority, as ext-queues,400,1"
        )
    if options.wideband and options.asterisk is None:
        raise CannotPrint(f"--wideband: say with --asterisk which version it is for; it needs {WIDEBAND}, or later")
    if options.wideband and not _has(options, WIDEBAND):
        raise CannotPrint(f"--wideband: needs Asterisk {WIDEBAND}, or later")
    if _UNFIT_FOR_A_KEY.search(options.api_key) or len(options.api_key) > KEY_MAX:
        raise CannotPrint(
            "API_KEY holds a character that means something else in a dialplan, or too many; use letters and digits"
        )


def _shown(text: str) -> str:
    """Returns an argument fit for one line of an error message."""
    return text if text.isprintable() and len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]!a}…"


def _has(options: DialplanOptions, feature: Feature) -> bool:
    return options.asterisk is not None and options.asterisk in feature


def _head(options: DialplanOptions, command: str) -> str:
    lines = [f"; Made by: {command}"]
    if options.asterisk is None:
        lines.append("; For Asterisk 18 and later.")
    else:
        lines.append(f"; For Asterisk {options.asterisk[0]}.{options.asterisk[1]}.")
    if not _has(options, DTMF):
        lines.append(f"; Keys that the caller presses reach the agent with Asterisk {DTMF}, or later.")
    if options.api_key:
        lines.append("; This holds the API key: let nobody but Asterisk read it.")
    return "\n".join(lines)


def _server(options: DialplanOptions, server: ServerAddress) -> str:
    arguments = f"http://{server.host}:{server.http_port},{server.host}:{server.audiosocket_port}"
    return (
        f" same => n,Gosub({options.context}-server,s,1({arguments}))\n"
        ' same => n,GotoIf($["${GOSUB_RETVAL}" = "taken"]?next)'
    )


def _authorization(api_key: str) -> str:
    if not api_key:
        return ""
    return (
        f" same => n,Set(CURLOPT(httpheader)=Authorization: Bearer {api_key})\n"
        " same => n,Set(CURLOPT(httpheader)=Content-Type: application/x-www-form-urlencoded)\n"
    )


def _fallback(options: DialplanOptions) -> str:
    if options.fallback:
        return f" same => n(fallback),Goto({options.fallback})\n"
    return (
        ' same => n(fallback),ExecIf($["${STACK_PEEK(1,c,1)}" != ""]?Return())\n'
        " same => n,Log(ERROR,Nowhere to return to: set Return to Yes in the Custom Destination)\n"
    )


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `talkspurt dialplan`."""
    parser = sub.add_parser("dialplan", help="print what goes into extensions_custom.conf")
    parser.add_argument("--asterisk", metavar="VERSION", help="as `asterisk -V` says (default: any from 18 on)")
    parser.add_argument(
        "--server",
        action="append",
        metavar="HOST[:HTTP_PORT[:AUDIOSOCKET_PORT]]",
        help="where Asterisk finds the server (default: as the settings say); given twice, the second stands in",
    )
    parser.add_argument("--wideband", action="store_true", help="16 kHz both ways, for callers with wideband codecs")
    parser.add_argument("--context", default=CONTEXT, help="name of the context (default: %(default)s)")
    parser.add_argument(
        "--fallback",
        default="",
        metavar="CONTEXT,EXTEN,PRIORITY",
        help="where calls go that no agent took (default: back to the Custom Destination)",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the dialplan; where it cannot, prints one line on standard error and returns 2."""
    try:
        settings = load_settings()
        options = DialplanOptions(
            servers=[ServerAddress.parse(text, settings.server) for text in args.server or ()]
            or [ServerAddress.configured(settings.server)],
            asterisk=parse_version(args.asterisk) if args.asterisk else None,
            wideband=args.wideband,
            context=args.context,
            fallback=args.fallback,
            api_key=settings.speech.api_key.get_secret_value(),
        )
        print(render(options, _command(args)), end="")
    except (WrongSetting, CannotPrint) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _command(args: argparse.Namespace) -> str:
    words = ["talkspurt", "dialplan"]
    if args.asterisk:
        words += ["--asterisk", args.asterisk]
    for server in args.server or ():
        words += ["--server", server]
    if args.wideband:
        words.append("--wideband")
    if args.context != CONTEXT:
        words += ["--context", args.context]
    if args.fallback:
        words += ["--fallback", args.fallback]
    return shlex.join(words)
