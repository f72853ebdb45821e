"""The state that an engine reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The state of an engine, for /health and /metrics. A field that is None is one that the engine does not tell."""

    engine: str
    model_id: str
    model_loaded: bool
    queue_depth: int
    """Sentences that are being made or wait."""
    warnings: tuple[str, ...] = ()
    ready: bool = True
    """False while an engine that was lost is being started again: until then it refuses what is asked of it."""
    capacity: int | None = None
    """Number of sentences at once that the engine was measured to keep up with."""
    refused: int | None = None
    """Sentences refused for want of a place."""
    faults: int | None = None
    """Processes of the engine that were lost while they worked."""
    idle_unloads: int | None = None
    voice_cache_size: int | None = None
    voice_cache_max: int | None = None
    voice_cache_hits: int | None = None
    voice_cache_misses: int | None = None
    sentences_by_spare: int | None = None
    """Sentences that a spare engine has spoken for this one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further values, shown as they are. Those of a GPU are `cuda`, `gpu_name` and `gpu_…_mb`."""

    def told(self) -> dict[str, Any]:
        """Returns all that the engine tells, by name, as /health shows it."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "details"}
        return {name: value for name, value in values.items() if value is not None} | dict(self.details)
