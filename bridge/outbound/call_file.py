"""Call files: the text files from which Asterisk places calls (`pbx_spool`), without AMI or ARI.

Asterisk reads a file as soon as it stands in the folder, so it is written elsewhere on the same disk and moved in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

CALL_VARIABLE: Final = "TS_OUTBOUND"
"""The channel variable that tells the printed dialplan the call's id."""
MAX_LINE_BYTES: Final = 250
"""Asterisk reads lines of up to 255 bytes."""


@dataclass(frozen=True, slots=True)
class CallFile:
    """One call that Asterisk is to place. Every text is one line of printable ASCII."""

    call_id: UUID
    channel: str
    """What Asterisk dials, such as `Local/201@from-internal`."""
    destination: str
    """Where the dialplan goes on when somebody answers: `context,extension,priority`."""
    caller_id: str = ""
    ring_s: int = 30
    retries: int = 0
    """How often Asterisk tries again when nobody answers."""
    retry_after_s: int = 300

    @property
    def text(self) -> str:
        """The lines of the file. Raises ValueError if one is too long or is not one line."""
        context, extension, priority = self.destination.split(",")
        lines = [
            f"Channel: {self.channel}",
            *([f"CallerID: {self.caller_id}"] if self.caller_id else []),
            f"WaitTime: {self.ring_s}",
            f"MaxRetries: {self.retries}",
            f"RetryTime: {self.retry_after_s}",
            f"Context: {context}",
            f"Extension: {extension}",
            f"Priority: {priority}",
            f"Setvar: __{CALL_VARIABLE}={self.call_id}",
        ]
        for line in lines:
            if not (line.isascii() and line.isprintable() and len(line) <= MAX_LINE_BYTES):
                raise ValueError(
                    f"a line of a call file is at most {MAX_LINE_BYTES} printable characters: {line[:80]!r}"
                )
        return "".join(f"{line}\n" for line in lines)

    @property
    def name(self) -> str:
        """The file's name in Asterisk's folder."""
        return file_name(self.call_id)

    @property
    def lasts_s(self) -> float:
        """How long Asterisk may try at most."""
        return (self.retries + 1) * self.ring_s + self.retries * self.retry_after_s

    def place(self, spool: Path) -> None:
        """Puts the file into Asterisk's folder, whole. Raises OSError and ValueError."""
        beside = spool.parent
        # It can be moved in only from the same disk. The dot keeps Asterisk from reading it before the name is right.
        may_be_beside = os.access(beside, os.W_OK) and beside.stat().st_dev == spool.stat().st_dev
        unfinished = (beside if may_be_beside else spool) / f".{self.name}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self.text)
            os.rename(unfinished, spool / self.name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def file_name(call_id: UUID) -> str:
    """Returns the name of a call's file in Asterisk's folder."""
    return f"talkspurt-{call_id}.call"
