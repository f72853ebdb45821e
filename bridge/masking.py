"""Keeps secrets out of the log: keys, and what stands in the user-info and the query of addresses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from pydantic import SecretStr

MASK: Final = "***"
MIN_CHARS: Final = 4
"""A shorter secret is not looked for in texts: it would be found in every other word."""
_SECRET_NAME: Final = re.compile(r"key|token|secret|sig|auth|pass|pwd", re.IGNORECASE)


def masked_url(url: str) -> str:
    """Returns an address without its user-info and without its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user_info, at, host = parts.netloc.rpartition("@")
    host = MASK + at + host if user_info else host
    return urlunsplit((parts.scheme, host, parts.path, MASK if parts.query else "", ""))


def secrets_of(settings: Mapping[str, Any]) -> set[str]:
    """Returns the secrets among settings: the keys, and those in addresses."""
    found: set[str] = set()
    for name, value in settings.items():
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
            if name.endswith("_headers"):  # such as `api-key=…,x=y`
                found.update(part.partition("=")[2].strip() for part in value.get_secret_value().split(","))
        elif name.endswith(("_url", "_endpoint")) and isinstance(value, str):
            found.update(_secrets_in(value))
    return {secret for secret in found if len(secret) >= MIN_CHARS}


def _secrets_in(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    user_info = parts.netloc.rpartition("@")[0]
    _, colon, password = user_info.partition(":")
    if user_info:
        yield unquote(password if colon else user_info)
        yield base64.b64encode(unquote(user_info).encode()).decode()  # as the Authorization header has it
    yield from (value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name))


class Masker:
    """Replaces secrets in texts, also where they are written as in an address or in JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {
            form
            for secret in secrets
            for form in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
        }
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern is not None else text
