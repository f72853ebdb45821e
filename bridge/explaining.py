"""Says in one line what is wrong with a value that an administrator has set."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bridge.masking import MASK, masked_url

SHOWN_MAX: Final = 80
"""Characters of a wrong value that are shown."""
EXPLAINED_MAX: Final = 400
"""Characters of the explanation that are shown; a part of a file may be quoted in it."""
_SECRETS: Final = ("_KEY", "_TOKEN", "_SECRET")


def explain(name: str, value: object, message: str) -> str:
    """Returns the name, the value (unless it is secret) and what is allowed, which `message` of pydantic's says."""
    allowed = message.removeprefix("Value error, ").removeprefix("Input should be ")
    allowed = _shortened(" ".join(allowed.split()), EXPLAINED_MAX)
    shown = "(hidden)" if name.upper().endswith(_SECRETS) else repr(_shown(name, str(value)))
    return f"{name}={shown}: must be {allowed}" if not allowed.startswith("must") else f"{name}={shown}: {allowed}"


def _shown(name: str, value: str) -> str:
    if name.upper().endswith("_URLS") and "@" in value:
        value = MASK
    return _shortened(masked_url(value) if name.upper().endswith(("_URL", "_ENDPOINT")) else value, SHOWN_MAX)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


@contextmanager
def naming(prefix: str, host: str, port: int) -> Iterator[None]:
    """Names the setting in an error of the system about an address to listen on."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number is not None and number > 0:
            reason = os.strerror(number).lower()
        else:
            reason = getattr(error, "strerror", None) or str(error)
        port_is_wrong = number in (errno.EADDRINUSE, errno.EACCES)
        setting = f"{prefix}_PORT={port}" if port_is_wrong else f"{prefix}_HOST={host}"
        raise OSError(f"{setting}: {reason}") from error
