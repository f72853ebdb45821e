"""LLM_EXTRA_BODY: more fields of the requests to a language model, as a JSON object."""

from __future__ import annotations

import json
from typing import Any, Final

OUR_FIELDS: Final = frozenset({"model", "messages", "stream", "tools"})
"""Fields that it may not name: the program fills them itself."""


def read_extra_body(text: str) -> dict[str, Any]:
    """Returns the fields, none for an empty text. Raises ValueError, which says what the text must be."""
    try:
        fields = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be a JSON object: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError("must be a JSON object")
    if ours := OUR_FIELDS & set(fields):
        raise ValueError(f"must not name {', '.join(sorted(ours))}")
    return fields
