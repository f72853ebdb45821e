"""What the console may do beyond showing calls."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.config import ServerSettings


@dataclass(frozen=True, slots=True)
class Rights:
    """Whether the console may play calls, and whether it may act in them: speak, interrupt, hang up."""

    listen: bool
    act: bool

    @classmethod
    def of(cls, settings: ServerSettings) -> Rights:
        """Returns what the settings allow."""
        return cls(listen=settings.console_listen, act=settings.console_act)
