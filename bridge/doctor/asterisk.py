"""Asks a running Asterisk by its command line, here or on another machine."""

from __future__ import annotations

import shlex
import subprocess
from typing import Final

TIMEOUT_S: Final = 15.0


class NoAsterisk(Exception):
    """Asterisk cannot be asked. Its text says why."""


class AsteriskCli:
    """Runs commands of Asterisk's command line, such as `core show version`."""

    def __init__(self, command: str = "asterisk") -> None:
        """`command` runs Asterisk's program, for example `asterisk` or `ssh root@pbx asterisk`."""
        self._command = shlex.split(command)
        self._is_remote = bool(self._command) and self._command[0] == "ssh"

    def run(self, line: str) -> str:
        """Returns what Asterisk prints for one command. Raises NoAsterisk."""
        # ssh gives all its arguments to a shell of the other machine, as one text.
        command = [*self._command, "-rx", shlex.quote(line) if self._is_remote else line]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
        except FileNotFoundError:
            raise NoAsterisk(f"there is no program {self._command[0]!r} here") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoAsterisk(str(error)) from None
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise NoAsterisk(lines[-1] if lines else f"{self._command[0]} ended with {done.returncode}")
        return done.stdout
