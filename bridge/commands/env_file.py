"""The file of the server's settings, for commands that an administrator runs beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bridge.commands.asterisk_version import CannotPrint

ENV_FILES: Final = (Path(".env"), Path("/etc/talkspurt/talkspurt.env"), Path("/etc/talkspurt.env"))
"""Where settings may be beside the environment; the first that exists is read."""
ENV_FILE_HELP: Final = f"the server's settings (default: the first of {', '.join(map(str, ENV_FILES))} that exists)"


def find_env_file(chosen: Path | None) -> Path | None:
    """Returns the file of the settings; None if there is none. Raises CannotPrint if `chosen` cannot be read."""
    if chosen is not None:
        try:
            chosen.open("rb").close()
        except OSError as error:
            raise CannotPrint(f"--env-file {chosen}: {error.strerror}") from None
        return chosen
    for path in ENV_FILES:
        try:
            path.open("rb").close()
        except PermissionError:
            print(f"{path}: may not be read; run this as root, or as the server's user", file=sys.stderr)
        except OSError:
            continue
        else:
            return path
    return None
