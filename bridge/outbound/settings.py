"""The settings of calls that the agent places."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, field_validator

from bridge.brains.destinations import is_destination
from bridge.outbound.numbers import Numbers

_CHANNEL: Final = re.compile(r"[A-Za-z0-9]+/[!-~]*\{to\}[!-~]*")


class OutboundSettings(BaseModel):
    """Whom the agent may call, and how Asterisk reaches them."""

    outbound_spool: Path | None = Field(
        None, description="Asterisk's folder for call files, /var/spool/asterisk/outgoing; empty: no outbound calls"
    )
    outbound_allow: str = Field("", description="numbers that may be dialled: `2??; +4930*`; empty: none")
    outbound_channel: str = Field("Local/{to}@from-internal", description="how a number is dialled")
    outbound_destination: str = Field("talkspurt,s,1", description="where the dialplan gives who answers to the agent")
    outbound_caller_id: str = Field("", description='shown to who is called: `"Front desk" <5550100>`')

    @field_validator("outbound_allow")
    @classmethod
    def _is_list(cls, value: str) -> str:
        Numbers(value)
        return value

    @field_validator("outbound_channel")
    @classmethod
    def _is_channel(cls, value: str) -> str:
        if not _CHANNEL.fullmatch(value):
            raise ValueError("must be like Local/{to}@from-internal or PJSIP/{to}@trunk")
        return value

    @field_validator("outbound_destination")
    @classmethod
    def _is_destination(cls, value: str) -> str:
        if not is_destination(value):
            raise ValueError("must be context,extension,priority")
        return value

    @field_validator("outbound_caller_id")
    @classmethod
    def _is_line(cls, value: str) -> str:
        if not (value.isascii() and (value.isprintable() or not value) and len(value) <= 100):
            raise ValueError("must be at most 100 printable ASCII characters")
        return value
