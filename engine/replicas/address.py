"""Where a replica is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from engine.loopback import is_loopback


@dataclass(frozen=True, slots=True)
class Address:
    """A replica's host and port, and whether it is reached over TLS."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Returns the address in `host:port`, or `tls://host:port` for TLS on loopback too. Raises ValueError."""
        if "@" in text:
            raise ValueError("must hold no user and no password; ENGINE_TOKEN is shown to every replica")
        parts = urlsplit(text if "://" in text else f"tcp://{text}")
        if parts.scheme not in ("tcp", "tls") or not parts.hostname or parts.path or parts.query:
            raise ValueError(f"must be addresses as host:7070,host:7071; {text!r} is none")
        if not parts.port:
            raise ValueError(f"must be addresses as host:7070,host:7071; {text!r} has no port")
        try:
            parts.hostname.encode("idna")  # else connecting would fail with an error that is none of the network's
        except UnicodeError:
            raise ValueError(f"must be addresses as host:7070,host:7071; {text!r} has no host's name") from None
        return cls(parts.hostname, parts.port, parts.scheme == "tls" or not is_loopback(parts.hostname))


def read_addresses(text: str) -> tuple[Address, ...]:
    """Returns the addresses in a list with commas. Raises ValueError."""
    addresses = tuple(Address.read(part.strip()) for part in text.split(",") if part.strip())
    if len(set(addresses)) < len(addresses):
        raise ValueError("must not name an address twice")
    return addresses
