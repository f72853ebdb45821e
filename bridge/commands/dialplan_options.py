"""What a dialplan is made for: servers, a version of Asterisk, and a form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Final

from bridge.brains.destinations import is_destination
from bridge.commands.asterisk_version import DTMF, PLAIN_END, WEBSOCKET, WIDEBAND, CannotPrint, Feature, shown
from bridge.config import ServerSettings

CONTEXT: Final = "talkspurt"
ASTERISK_DIR: Final = PurePosixPath("/etc/asterisk")
NAME_MAX: Final = 70
"""Asterisk's AST_MAX_CONTEXT, less what is appended to the name."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?(?::([0-9]{1,5}))?")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+")
_FOLDER: Final = re.compile(r"/[A-Za-z0-9_./-]*")


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
    websocket: bool = False
    """True: calls are bridged to a WebSocket channel, on the HTTP port."""
    tls: bool = False
    """True: a proxy before the servers speaks TLS on their HTTP ports."""
    watch: bool = True
    """True: a second channel looks after each call, and takes the caller back from a server that hangs."""
    resume: bool = False
    """True: the servers share a Redis, and one of them goes on with the call of another that is lost."""
    context: str = CONTEXT
    fallback: str = ""
    """Where calls go that no agent took; if empty, they go back to the Custom Destination."""
    secret: bool = False
    """True: the servers want a token for each call, made with the secret that is in a file beside the dialplan."""
    folder: str = str(ASTERISK_DIR)
    """Asterisk's folder, in which that file is."""

    @property
    def client_path(self) -> str:
        """Where Asterisk finds how to connect to the servers by WebSocket."""
        return f"{self.folder}/{self.context}.websocket"

    def client(self, index: int) -> str:
        """Returns the name under which Asterisk knows how to connect to a server by WebSocket."""
        return f"{self.context}-{index + 1}"

    @property
    def secret_path(self) -> str:
        """Where Asterisk finds the secret."""
        return f"{self.folder}/{self.context}.secret"

    def has(self, feature: Feature) -> bool:
        """Tells whether the Asterisk that it is made for is known to have a feature."""
        return self.asterisk is not None and self.asterisk in feature

    @property
    def hears_keys(self) -> bool:
        """Whether the server is known to be told of keys."""
        return self.websocket or self.has(DTMF)

    def check(self) -> None:
        """Checks that there is such a dialplan. Raises CannotPrint."""
        if not _NAME.fullmatch(self.context) or len(self.context) > NAME_MAX:
            raise CannotPrint(f"--context {shown(self.context)}: letters, digits, - and _, {NAME_MAX} at most")
        if self.fallback and not is_destination(self.fallback):
            raise CannotPrint(
                f"--fallback {shown(self.fallback)}: must be context,extension,priority, as ext-queues,400,1"
            )
        if self.wideband and self.application:
            raise CannotPrint("--wideband: not with --application, which sends 8 kHz")
        if self.wideband and self.asterisk is None:
            raise CannotPrint(f"--wideband: say with --asterisk which version it is for; it needs {WIDEBAND}, or later")
        if self.wideband and not self.has(WIDEBAND):
            raise CannotPrint(f"--wideband: needs Asterisk {WIDEBAND}, or later")
        if self.websocket and self.application:
            raise CannotPrint("--websocket: not with --application, which is AudioSocket's")
        if self.websocket and self.asterisk is None:
            raise CannotPrint(
                f"--websocket: say with --asterisk which version it is for; it needs {WEBSOCKET}, or later"
            )
        if self.websocket and not self.has(WEBSOCKET):
            raise CannotPrint(f"--websocket: needs Asterisk {WEBSOCKET}, or later")
        if self.tls and not self.websocket:
            raise CannotPrint("--tls: only with --websocket; AudioSocket has no encryption")
        if self.application and not self.has(PLAIN_END):
            raise CannotPrint(
                f"--application: say with --asterisk that it is {PLAIN_END}, or later; before, callers of a server "
                "that dies stay in silence for good"
            )
        if not _FOLDER.fullmatch(self.folder):
            raise CannotPrint(f"{shown(self.folder)}: the folder's name holds what means something else in a dialplan")
