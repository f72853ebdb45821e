"""Puts a dialplan into Asterisk's folder: a file of its own, and one line that includes it."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.commands.asterisk_version import CannotPrint

INCLUDERS: Final = ("extensions_custom.conf", "extensions.conf")
"""The file that gets the line, the first that exists: the former is FreePBX's, which never overwrites it."""
CLIENTS: Final = "websocket_client.conf"
"""The file that tells Asterisk where it may connect to by WebSocket."""
_RELOAD: Final = "Now: asterisk -rx 'dialplan reload'\n"
_RELOAD_CLIENTS: Final = "Now: asterisk -rx 'module reload res_websocket_client.so'\n"


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done."""

    text: str
    """For the administrator: the lines that changed, or that none did."""
    hidden_by: list[str]
    """Places of contexts of the same names, which Asterisk would take instead."""


def install(folder: Path, name: str, text: str, secret: str, client: str = "") -> Installed:
    """Puts the dialplan `text` into NAME.conf, `secret` into NAME.secret, and has the first included. Idempotent.

    `client`, if there is any, goes into NAME.websocket, which is included where Asterisk looks for WebSockets.
    Each file is replaced in one step, and belongs to whom the including file belongs. Raises CannotPrint.
    """
    try:
        includer = _includer(folder)
        changes = []
        if secret and _replace(folder / f"{name}.secret", f"{secret}\n", like=includer, mode=0o640) is not None:
            changes.append(f"{folder / f'{name}.secret'}: written\n")
        files = [(folder / f"{name}.conf", text), (includer, _with_include(includer.read_text(), f"{name}.conf"))]
        if client:
            clients = folder / CLIENTS
            known = clients.read_text() if clients.exists() else ""
            files += [(folder / f"{name}.websocket", client), (clients, _with_include(known, f"{name}.websocket"))]
        for path, new in files:
            old = _replace(path, new, like=includer)
            if old is not None:
                changes += difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(path), str(path), n=1)
        hidden_by = _others(folder, name)
    except (OSError, UnicodeDecodeError) as error:
        raise CannotPrint(f"--install {folder}: {error}") from None
    reloads = [_RELOAD, _RELOAD_CLIENTS] if client else [_RELOAD]
    lines = [*changes, *reloads] if changes else ["Nothing has changed.\n"]
    lines += [f"{place} hides what was installed: the first one wins. Delete it there.\n" for place in hidden_by]
    return Installed("".join(lines), hidden_by)


def _includer(folder: Path) -> Path:
    for name in INCLUDERS:
        if (folder / name).is_file():
            return (folder / name).resolve()
    raise CannotPrint(f"--install {folder}: neither {' nor '.join(INCLUDERS)} is there; is it Asterisk's folder?")


def _with_include(text: str, name: str) -> str:
    if re.search(rf'^\s*#(try)?include\s+[<"]?(\S*/)?{re.escape(name)}[>"]?\s*(;.*)?$', text, re.MULTILINE):
        return text
    return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}#include {name}\n"


def _replace(path: Path, text: str, like: Path, mode: int | None = None) -> str | None:
    """Makes `text` the contents of the file, in one step, and returns the old ones; None where they are the same."""
    model = path if path.exists() else like
    status = model.stat()
    old = path.read_text() if path.exists() else ""
    if old == text:
        return None
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if os.geteuid() == 0:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, (status.st_mode & 0o777) if mode is None else mode)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return old


def _others(folder: Path, name: str) -> list[str]:
    """Returns where else in the folder's dialplan this context is begun."""
    heading = re.compile(rf"^\s*\[{re.escape(name)}\](?!\(\+)", re.MULTILINE)
    return [
        f"{path}:{text.count(chr(10), 0, match.end()) + 1}: [{name}]"
        for path in sorted(folder.glob("extensions*.conf"))
        if (text := path.read_text(errors="replace"))
        for match in heading.finditer(text)
    ]
