"""The text of the dialplan: what Asterisk is to do with a call, for one version of it and the servers' addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Final

from bridge.brains.destinations import is_destination
from bridge.commands.asterisk_version import DTMF, PLAIN_END, UUID_FUNCTION, WIDEBAND, CannotPrint, Feature, shown
from bridge.config import ServerSettings

CONTEXT: Final = "talkspurt"
ASTERISK_DIR: Final = PurePosixPath("/etc/asterisk")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?(?::([0-9]{1,5}))?")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+")
_FOLDER: Final = re.compile(r"/[A-Za-z0-9_./-]*")
COMMAND_MAX: Final = 1_000
"""Asterisk reads a longer line than 8 KiB as two, and the rest of a comment is none."""
NAME_MAX: Final = 70
"""Asterisk's AST_MAX_CONTEXT, less what is appended to the name."""
WATCH_S: Final = 2
"""How often the dialplan asks whether a server that has a call is alive."""


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
                f"--server {shown(text)}: must be HOST[:HTTP_PORT[:AUDIOSOCKET_PORT]], IPv6 in square brackets"
            )
        http_port, audiosocket_port = int(match[2] or settings.http_port), int(match[3] or settings.audiosocket_port)
        if not 0 < http_port < 65_536 or not 0 < audiosocket_port < 65_536:
            raise CannotPrint(f"--server {shown(text)}: ports are 1 to 65535")
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
    application: bool = False
    """True: calls run `AudioSocket()` instead of being bridged to a channel of that name."""
    watch: bool = True
    """True: a second channel looks after each call, and takes the caller back from a server that hangs."""
    context: str = CONTEXT
    fallback: str = ""
    """Where calls go that no agent took; if empty, they go back to the Custom Destination."""
    secret: bool = False
    """True: the servers want a token for each call, made with the secret that is in a file beside the dialplan."""
    folder: str = str(ASTERISK_DIR)
    """Asterisk's folder, in which that file is."""

    @property
    def secret_path(self) -> str:
        """Where Asterisk finds the secret."""
        return f"{self.folder}/{self.context}.secret"


def render(options: DialplanOptions, command: str) -> str:
    """Returns the dialplan. Its first line says that `command` prints it again. Raises CannotPrint."""
    _check(options)
    if len(command) > COMMAND_MAX or not command.isprintable():
        raise CannotPrint("the options are too long for a dialplan, or hold characters that cannot be printed")
    values = {
        "AFTER": (_part("watch") if options.watch else "") + ("" if options.application else _part("transferred")),
        "MOVED": "" if options.application else _MOVED,
        "WATCHED": _WATCHED if options.watch else "",
        "HEAD": _head(options, command),
        "UUID": "${UUID()}" if _has(options, UUID_FUNCTION) else "${SHELL(cat /proc/sys/kernel/random/uuid):0:36}",
        "BACK": options.fallback or "${STACK_PEEK(1,c,1)},${STACK_PEEK(1,e,1)},${STACK_PEEK(1,p,1)}",
        "AUTHORIZATION": _authorization(options),
        "SERVERS": "\n".join(_server(options, server) for server in options.servers),
        "FALLBACK": _fallback(options),
        "AUDIOSOCKET": _audiosocket(options),
        "WATCH_S": str(WATCH_S),
        "CONTEXT": options.context,  # comes last, because the other values contain it
    }
    text = _part("dialplan")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _part(name: str) -> str:
    return resources.files("bridge.commands").joinpath(f"{name}.conf").read_text()


_WATCHED: Final = (
    " same => n,TryExec(Originate(Local/watch_${UNIQUEID}@@CONTEXT@-watch/n,exten,@CONTEXT@-watch,quiet,1,5))\n"
)
_MOVED: Final = (
    " same => n,Set(TS_PEER=${IMPORT(AudioSocket/${ARG2}-${TS_CALL},BRIDGEPEER)})\n"
    ' same => n,GotoIf($["${TS_PEER}" != "" & "${TS_PEER}" != "${CHANNEL(name)}"]?h,1)\n'
)


def _check(options: DialplanOptions) -> None:
    if not _NAME.fullmatch(options.context) or len(options.context) > NAME_MAX:
        raise CannotPrint(f"--context {shown(options.context)}: letters, digits, - and _, {NAME_MAX} at most")
    if options.fallback and not is_destination(options.fallback):
        raise CannotPrint(
            f"--fallback {shown(options.fallback)}: must be context,extension,priority, as ext-queues,400,1"
        )
    if options.wideband and options.application:
        raise CannotPrint("--wideband: not with --application, which sends 8 kHz")
    if options.wideband and options.asterisk is None:
        raise CannotPrint(f"--wideband: say with --asterisk which version it is for; it needs {WIDEBAND}, or later")
    if options.wideband and not _has(options, WIDEBAND):
        raise CannotPrint(f"--wideband: needs Asterisk {WIDEBAND}, or later")
    if options.application and not _has(options, PLAIN_END):
        raise CannotPrint(
            f"--application: say with --asterisk that it is {PLAIN_END}, or later; before, callers of a server that "
            "dies stay in silence for good"
        )
    if not _FOLDER.fullmatch(options.folder):
        raise CannotPrint(f"{shown(options.folder)}: the folder's name holds what means something else in a dialplan")


def _has(options: DialplanOptions, feature: Feature) -> bool:
    return options.asterisk is not None and options.asterisk in feature


def _audiosocket(options: DialplanOptions) -> str:
    if options.application:
        return "AudioSocket(${TS_CALL},${ARG2})"
    return f"Dial(AudioSocket/${{ARG2}}/${{TS_CALL}}/c({'slin16' if options.wideband else 'slin'}),,g)"


def _head(options: DialplanOptions, command: str) -> str:
    lines = [f"; Made by: {command}"]
    if options.asterisk is None:
        lines.append("; For Asterisk 18 and later.")
    else:
        lines.append(f"; For Asterisk {options.asterisk[0]}.{options.asterisk[1]}.")
    if not _has(options, DTMF):
        lines.append(f"; Keys that the caller presses reach the agent with Asterisk {DTMF}, or later.")
    if options.secret:
        lines.append(f"; {options.secret_path} must hold what this prints: talkspurt dialplan --secret")
    lines += [
        ";",
        "; FreePBX: add a Custom Destination with Target @CONTEXT@,s,1 and Return "
        f"{'No' if options.fallback else 'Yes'}. docs/freepbx.md walks through it.",
    ]
    return "\n".join(lines)


def _server(options: DialplanOptions, server: ServerAddress) -> str:
    arguments = f"http://{server.host}:{server.http_port},{server.host}:{server.audiosocket_port}"
    return (
        f" same => n,Gosub({options.context}-server,s,1({arguments}))\n"
        ' same => n,GotoIf($["${GOSUB_RETVAL}" = "taken"]?next)'
    )


def _authorization(options: DialplanOptions) -> str:
    """Returns what makes this call's token. Asterisk's log shows the token, which is good for nothing else."""
    if not options.secret:
        return ""
    secret = f"${{FILE({options.secret_path},0,64)}}"
    return f" same => n,Set(CURLOPT(userpwd)=${{TS_CALL}}:${{SHA1({secret}${{SHA1({secret}${{TS_CALL}})}})}})\n"


def _fallback(options: DialplanOptions) -> str:
    if options.fallback:
        return f" same => n(fallback),Goto({options.fallback})\n"
    return (
        ' same => n(fallback),ExecIf($["${STACK_PEEK(1,c,1)}" != ""]?Return())\n'
        " same => n,Log(ERROR,Nowhere to return to: set Return to Yes in the Custom Destination)\n"
    )
