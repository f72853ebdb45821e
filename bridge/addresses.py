"""Addresses of services as settings hold them. One that could not be connected to is refused at the start."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from yarl import URL


def _web_socket(text: str) -> str:
    if text and not text.startswith(("ws://", "wss://")):
        raise ValueError("must start with ws:// or wss://")
    if text and not _has_host(text):
        raise ValueError("must be an address as ws://host:port/path")
    return text


def _http(text: str) -> str:
    if text and not (text.startswith(("http://", "https://")) and _has_host(text)):
        raise ValueError("must start with http:// or https:// and a host")
    return text


def _has_host(text: str) -> bool:
    """Tells whether there is a host to connect to, and a port that can be."""
    try:
        return bool(URL(text).host)
    except ValueError:
        return False


WebSocketAddress = Annotated[str, AfterValidator(_web_socket)]
"""Such as `wss://host/v1/realtime`; empty for none."""
HttpAddress = Annotated[str, AfterValidator(_http)]
"""Such as `https://host/v1`; empty for none."""
