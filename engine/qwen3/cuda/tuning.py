"""The way of making a frame that measured fastest for each batch, kept on disk so that the next start can skip it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import structlog

from engine.qwen3.model.cache_folder import cache_folder

log = structlog.get_logger(__name__)


class Tuning:
    """Entries by case, all under one key that names GPU, versions and model; another key starts afresh."""

    def __init__(self, key: str, folder: Path | None = None) -> None:
        self._path = (folder or cache_folder()) / "choices.json"
        self._key = key
        self._entries: dict[str, dict[str, object]] = self._read().get(key, {})

    def get(self, case: str) -> Mapping[str, object] | None:
        return self._entries.get(case)

    def put(self, case: str, entry: Mapping[str, object]) -> None:
        self._entries[case] = dict(entry)

    def save(self) -> None:
        """Writes the entries. A folder that cannot be written costs the next start its measuring, nothing else."""
        whole = self._read()
        whole[self._key] = self._entries
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, suffix=".json", delete=False) as file:
                json.dump(whole, file, indent=1, sort_keys=True)
            os.replace(file.name, self._path)
        except OSError as error:
            log.warning("cannot keep what was measured", error=str(error))

    def _read(self) -> dict[str, dict[str, dict[str, object]]]:
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
