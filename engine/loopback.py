"""Tells this machine's own addresses from others."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Tells whether a host's name or address is one of the loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_any_address(host: str) -> bool:
    """Tells whether it is no host, but all addresses of this machine: 0.0.0.0 or ::."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
