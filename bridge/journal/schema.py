"""The JSON schema of a journal's lines, as a file: python -m bridge.journal.schema writes it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from bridge.journal.events import schema

PATH: Final = Path(__file__).with_name("schema.json")


def text() -> str:
    """Returns what the file holds."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
